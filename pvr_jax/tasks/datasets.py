"""Training sets as pure functions of (key, step): no data is stored, no loader has a state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.boolean.cube import coordinate_mask, points_at
from pvr_jax.tasks.holdouts import VALUES, freeze
from pvr_jax.tasks.permutation import permuted
from pvr_jax.tasks.seen_sets import SeenSet

SOURCES = ("sampled", "whole", "fresh")
ORDERS = ("fixed", "shuffled")
# The fields of a configuration that say which rows are shown; a training set checks them closely.
FIELDS: dict[str, checks.Rule] = {
    "data.source": checks.one_of(*SOURCES),
    "data.samples": checks.integer(1),
    "data.batch_size": checks.integer(1),
    "data.order": checks.one_of(*ORDERS),
}
LARGEST_N = 30
MAX_SAMPLES = 2**30

# Streams of one data key: rows of the data set, shuffles of its epochs, endless fresh rows.
ROWS, SHUFFLES, FRESH_ROWS = 0, 1, 2

Batch = dict[str, jax.Array]


def arguments_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a training set that the fields `FIELDS` give; a whole has no size."""
    chosen = {name: data[name] for name in ("source", "samples", "batch_size", "order")}
    return chosen | ({"samples": None} if data["source"] == "whole" else {})


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Batches to train on, `batch(key, step, bit) -> {"x": [b, n], "y": [b], "weight": [b]}`.

    A pure function for one replica: its data key, the step and its frozen bit may all be traced
    and vmapped; a set without a frozen bit has `batch(key, step)`. `weight` is 1 for data and 0
    for padding. An epoch has `steps_per_epoch` steps and shows `samples` rows (fewer where the
    last partial batch is left out).
    """

    batch: Callable[..., Batch]
    samples: int
    steps_per_epoch: int


def canonical_training_set(
    target: Callable[[jax.Array], jax.Array],
    n: int,
    *,
    frozen: bool = True,
    value: int = 1,
    source: str = "sampled",
    samples: int | None = 1900,
    batch_size: int = 64,
    order: str = "fixed",
    drop_remainder: bool = False,
) -> TrainingSet:
    """Training set of the canonical holdout, inputs with one coordinate frozen to `value`.

    source "sampled" is the authors' data: rows drawn from the whole cube with replacement, then
    frozen, then labeled. Neither the draw nor the order depends on the frozen bit, so one key
    gives the same rows for every bit (the authors seed data by the run alone). "whole" is every
    seen point once, in the order of the cube, with samples = None, as there are 2^(n-1). "fresh"
    draws new rows at every step; `samples` then only says how long an epoch is.

    order "fixed" is the authors' loader, which is not shuffled: the same batches in the same
    order every epoch, the last one smaller. Here it is padded to `batch_size` with rows of
    weight 0. "shuffled" permutes the rows anew every epoch. `drop_remainder` leaves the last
    batch out where it is not full.

    frozen False is the matched setting: no coordinate is frozen, training sees the whole cube (a
    "whole" set has 2^n points), and the batch's `bit` plays no part.

    The authors freeze to +1 alone, and their default frozen bit is 7: both are choices of the
    caller here, and so is that they average the training loss over batches, not over rows.

    Raises ValueError for a parameter out of range. Source: Abbe et al. 2022, the authors' code.
    """
    if not callable(target):
        raise checks.invalid("target", target, "a function target(x[..., n]) -> y[...]")
    n = checks.integer(1, LARGEST_N).check("n", n)
    value = checks.one_of(*VALUES).check("value", value)
    source = checks.one_of(*SOURCES).check("source", source)
    orders = ("fixed",) if source == "fresh" else ORDERS
    order = checks.one_of(*orders).check("order", order)
    drop_remainder = checks.one_of(False, True).check("drop_remainder", drop_remainder)
    frozen = checks.one_of(True, False).check("frozen", frozen)
    size = _size(n - frozen, source, samples)
    note = " (samples) with drop_remainder" if drop_remainder else ""
    most = size if drop_remainder else MAX_SAMPLES
    batch_size = checks.integer(1, most, f"1 to {most}{note}").check("batch_size", batch_size)
    steps = size // batch_size if drop_remainder else -(-size // batch_size)

    def numbers(key: jax.Array, step: jax.Array, bit: Any) -> tuple[jax.Array, jax.Array]:
        """Numbers of the points of one batch, before freezing, and their weights."""
        if source == "fresh":
            drawn = fresh_numbers(key, step, batch_size, n)
            return drawn, jnp.ones(batch_size, jnp.float32)
        rows, weight = epoch_rows(key, step, size, batch_size, steps, order)
        if source != "whole":
            return row_numbers(key, rows, n), weight
        return half_cube_numbers(rows, bit, n) if frozen else rows, weight

    def batch(key: jax.Array, step: jax.Array, bit: jax.Array) -> Batch:
        bit = checks.bit_number(bit, n) if frozen else bit
        drawn, weight = numbers(key, jnp.asarray(step, jnp.int32), bit)
        x = points_at(drawn, n)
        x = freeze(x, bit, value) if frozen else x
        return {"x": x, "y": target(x).astype(jnp.float32), "weight": weight}

    return TrainingSet(batch, size, steps)


def seen_training_set(
    target: Callable[[jax.Array], jax.Array],
    seen: SeenSet,
    *,
    mask: np.ndarray | None = None,
    source: str = "whole",
    samples: int | None = None,
    batch_size: int = 64,
    order: str = "shuffled",
) -> TrainingSet:
    """Training set of any seen set: `batch(key, step)`, as `canonical_training_set` otherwise.

    source "whole" is every seen point once (samples = None), which needs `mask`, the seen set as
    bool[2^n]. "sampled" draws rows uniformly from the seen inputs, with replacement, at any n; row
    i depends on the key and i alone. "fresh" draws new rows at every step, `samples` being the
    length of an epoch. order "shuffled" permutes the rows anew every epoch.

    Args:
        target: target(x[..., n]) -> y[...].
        seen: what training shows.
        mask: the same as bool[2^n], where the cube can be enumerated.
        source, samples, batch_size, order: as above.

    Raises ValueError for a parameter out of range, and as `SeenSet.sample`. Source: Abbe et al.
    2023, the authors' code.
    """
    source = checks.one_of(*SOURCES).check("source", source)
    order = checks.one_of(*(("fixed",) if source == "fresh" else ORDERS)).check("order", order)
    numbers = None if mask is None else np.flatnonzero(mask).astype(np.int32)
    if source == "whole":
        if numbers is None:
            allowed = "sampled, fresh (the cube is too large to show as a whole)"
            raise checks.invalid("source", source, allowed)
        if samples is not None:
            raise checks.invalid(
                "samples", samples, f"None with source whole ({len(numbers)} points)"
            )
        size = len(numbers)
    else:
        size = checks.integer(1, MAX_SAMPLES).check("samples", samples)
        draw = seen.sample
    batch_size = checks.integer(1, MAX_SAMPLES).check("batch_size", batch_size)
    steps = -(-size // batch_size)

    def batch(key: jax.Array, step: jax.Array) -> Batch:
        step = jnp.asarray(step, jnp.int32)
        if source == "fresh":
            stream = jax.random.fold_in(jax.random.fold_in(key, FRESH_ROWS), step)
            rows, weight = jnp.arange(batch_size), jnp.ones(batch_size, jnp.float32)
        else:
            stream = jax.random.fold_in(key, ROWS)
            rows, weight = epoch_rows(key, step, size, batch_size, steps, order)
        if source == "whole":
            x = points_at(jnp.asarray(numbers)[rows], seen.n)
        else:
            x = jax.vmap(lambda row: draw(jax.random.fold_in(stream, row)))(rows)
        return {"x": x, "y": target(x).astype(jnp.float32), "weight": weight}

    return TrainingSet(batch, size, steps)


def row_numbers(key: jax.Array, rows: jax.Array, n: int) -> jax.Array:
    """Point numbers of some rows of the sampled data set that belongs to a key.

    rows int32[b] -> int32[b] in 0..2^n-1, uniform over the whole cube and independent, so with
    duplicates as in the authors' data (x = 1 - 2 Binomial(1, 1/2), rows with replacement). Row i
    depends on the key and i alone. Freezing comes afterwards.
    """
    stream = jax.random.fold_in(key, ROWS)
    draw = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(stream, row), (), jnp.uint32))
    return _first_bits(draw(rows), n)


def row_points(
    key: jax.Array, rows: jax.Array, n: int, bit: int | jax.Array, value: int = 1
) -> jax.Array:
    """Rows of the sampled data set as points with the frozen coordinate set, x[b, n]."""
    return freeze(points_at(row_numbers(key, rows, n), n), bit, value)


def fresh_numbers(key: jax.Array, step: jax.Array, count: int, n: int) -> jax.Array:
    """Point numbers int32[count] of the step of an endless stream, uniform over the cube."""
    stream = jax.random.fold_in(jax.random.fold_in(key, FRESH_ROWS), step)
    return _first_bits(jax.random.bits(stream, (count,), jnp.uint32), n)


def half_cube_numbers(rows: jax.Array, bit: int | jax.Array, n: int) -> jax.Array:
    """Point numbers of the rows of a half cube, with -1 at the frozen coordinate.

    rows int32[b] in 0..2^(n-1)-1 -> int32[b]: the digits of the row are those of the other
    coordinates, and the frozen one is inserted at its place.
    """
    low = rows & (coordinate_mask(bit, n) - 1)
    return 2 * (rows - low) + low


def epoch_rows(
    key: jax.Array, step: jax.Array, size: int, batch_size: int, steps: int, order: str
) -> tuple[jax.Array, jax.Array]:
    """Rows int32[b] that a step shows, and their weight float32[b]: 1, or 0 for padding.

    A step counts on over the epochs of `steps` steps. Padding repeats the last place of the
    epoch, so that every row is a true one.
    """
    epoch, within = step // steps, step % steps
    places = within * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    weight = (places < size).astype(jnp.float32)
    rows = jnp.minimum(places, size - 1)
    if order == "shuffled":
        stream = jax.random.fold_in(jax.random.fold_in(key, SHUFFLES), epoch)
        rows = permuted(stream, rows, size)
    return rows, weight


def _first_bits(words: jax.Array, n: int) -> jax.Array:
    """First n bits of uniform uint32 words, as numbers int32 in 0..2^n-1."""
    return (words >> (32 - n)).astype(jnp.int32)


def _size(free: int, source: str, samples: Any) -> int:
    """Rows of one epoch, `free` coordinates being free."""
    if source != "whole":
        return checks.integer(1, MAX_SAMPLES).check("samples", samples)
    if samples is not None:
        raise checks.invalid("samples", samples, f"None with source whole (all {2**free} points)")
    return 2**free
