"""Check, before training, that all rows it will show are seen inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.training.replicas import Replicas
from pvr_jax.training.run_log import RunError

MAX_ROWS = 2**19  # checked rows: a second or two on a CPU
AT_ONCE = 2**12
# The program is small and runs once: on a CPU it takes longer to compile than to run.
COMPILER_OPTIONS = {"cpu": {"xla_backend_optimization_level": 0}}

Batch = dict[str, jax.Array]


def count_rows(
    batch: Callable[..., Batch],
    kinds: dict[str, Callable[..., jax.Array]],
    replicas: Replicas,
    steps: int,
) -> dict[str, int]:
    """Return the number of "checked" training rows, and how many of them are of each kind.

    Checks the rows of the first `steps` steps, up to `MAX_ROWS`, of all replicas with different
    data keys or conditions.

    Args:
        batch: `batch(key, step, **conditions)` of one replica, with weight [b] among others.
        kinds: `is_of_kind(batch, **conditions) -> bool[b]`, by name.
        replicas: leading axis R.
        steps: number of steps with new rows, such as the first epoch of a fixed set.

    Raises:
        RunError: some row is of the kind "unseen".
    """
    each = _different(replicas)
    one = jax.eval_shape(lambda: _batch_of(batch, replicas, 0, 0)[0])
    size = one["weight"].shape[0]
    steps = max(1, min(steps, MAX_ROWS // (size * len(each))))
    count = len(each) * steps

    def counted(place: jax.Array) -> dict[str, jax.Array]:
        replica = jnp.asarray(each)[place // steps % len(each)]
        shown, conditions = _batch_of(batch, replicas, replica, place % steps)
        is_row = (shown["weight"] > 0) & (place < count)
        found = {name: is_kind(shown, **conditions) for name, is_kind in kinds.items()}
        return {
            "checked": jnp.sum(is_row),
            **{name: jnp.sum(is_row & of_kind) for name, of_kind in found.items()},
        }

    together = max(1, min(count, AT_ONCE // size))
    places = jnp.arange(-(-count // together) * together).reshape(-1, together)
    options = COMPILER_OPTIONS.get(jax.default_backend())
    program = jax.jit(lambda: jax.lax.map(jax.vmap(counted), places), compiler_options=options)
    totals = {name: int(np.sum(column)) for name, column in program().items()}
    if unseen := totals.get("unseen"):
        raise RunError(
            f"{unseen:,} of {totals['checked']:,} training rows are withheld inputs: nothing was "
            "trained"
        )
    return totals


def _batch_of(
    batch: Callable[..., Batch],
    replicas: Replicas,
    replica: int | jax.Array,
    step: int | jax.Array,
) -> tuple[Batch, dict[str, jax.Array]]:
    """Return the batch of a replica at a step, and the replica's conditions."""
    conditions = {name: leaf[replica] for name, leaf in replicas.conditions.items()}
    return batch(replicas.data_key[replica], step, **conditions), conditions


def _different(replicas: Replicas) -> np.ndarray:
    """Return the first replica with each data key and conditions, int[D]."""
    rows = []
    for leaf in (replicas.data_key, *replicas.conditions.values()):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        numbers = np.asarray(jax.random.key_data(leaf) if is_key else leaf, np.int64)
        rows.append(numbers.reshape(len(leaf), -1))
    return np.unique(np.concatenate(rows, axis=1), axis=0, return_index=True)[1]
