"""Data sets of drawn examples: every row is a pure function of a key and its index.

`draw(key, part, conditions) -> {"x", "y"}` draws one example of a part: "train", "iid" (from the
same distribution, for tests) or "withheld" (only what training never shows). Sizes and conditions
may be traced, so that replicas of one program differ in them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.tasks.datasets import FRESH_ROWS, ROWS, epoch_rows

# The stream of a seed's key for training sets.
DATA_STREAM = 0
PARTS = ("train", "iid", "withheld")
SOURCES = ("sampled", "fresh")
# Test rows have their own keys: they are the same for all seeds.
TEST_SEEDS = {"iid": 2**31 - 1, "withheld": 2**31 - 2}

Example = dict[str, jax.Array]
Draw = Callable[[jax.Array, str, dict[str, Any]], Example]


def training_rows(draw: Draw, key: jax.Array, rows: jax.Array, conditions: Any) -> Example:
    """Return rows int32[b] of the fixed training set of a data key, {"x": [b, ...], "y": [b]}.

    Row i depends only on key, conditions and i: a smaller set is a prefix of a larger one.
    """
    return _rows(partial(draw, part="train", conditions=conditions), key, ROWS, rows)


def test_rows(draw: Draw, part: str, rows: jax.Array, conditions: Any) -> Example:
    """Return rows int32[b] of a test set, "iid" or "withheld"; see `training_rows`."""
    part = checks.one_of(*TEST_SEEDS).check("part", part)
    key = jax.random.key(TEST_SEEDS[part])
    return _rows(partial(draw, part=part, conditions=conditions), key, ROWS, rows)


def drawn_batches(
    draw: Draw, *, source: str = "sampled", batch_size: int = 256
) -> Callable[..., dict[str, jax.Array]]:
    """Return `batch(key, step, *, samples, **conditions) -> {x [b, ...], y [b], weight [b]}`.

    "sampled" is a fixed set of `samples` rows, reshuffled every epoch of ceil(samples / b) steps;
    the last batch of an epoch is padded with rows of weight 0. "fresh" draws new rows at every step
    and ignores `samples`.

    Raises:
        Refusal: another source, or a batch_size below 1.
    """
    source = checks.one_of(*SOURCES).check("source", source)
    batch_size = checks.integer(1, 2**20).check("batch_size", batch_size)

    def batch(
        key: jax.Array, step: jax.Array, *, samples: jax.Array, **conditions: jax.Array
    ) -> dict[str, jax.Array]:
        step = jnp.asarray(step, jnp.int32)
        if source == "fresh":
            stream = jax.random.fold_in(key, FRESH_ROWS)
            one = partial(draw, part="train", conditions=conditions)
            examples = _rows(one, stream, step, jnp.arange(batch_size))
            return {**examples, "weight": jnp.ones(batch_size, jnp.float32)}
        steps = -(-samples // batch_size)
        rows, weight = epoch_rows(key, step, samples, batch_size, steps, "shuffled")
        return {**training_rows(draw, key, rows, conditions), "weight": weight}

    return batch


def _rows(
    one: Callable[..., Example], key: jax.Array, stream: int | jax.Array, rows: jax.Array
) -> Example:
    """Return the rows of one stream of a key; each has its own key."""
    root = jax.random.fold_in(key, stream)
    return jax.vmap(lambda row: one(jax.random.fold_in(root, row)))(rows)
