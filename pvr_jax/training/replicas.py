"""Replication: one function of one replica, run for all of them in one compiled program.

Replicas never talk to each other. So the program is one `shard_map` over every local device, in
which each device runs its own share; it holds no collectives. Within a device there are three
ways to run the share, all with the same results up to rounding:

- `vmap`: all replicas at once, as one batched computation. Fills an accelerator.
- `map`: one replica after the other. Keeps one replica's parameters in a CPU's cache.
- `chunked`: `group_size` replicas at once, group after group.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

EXECUTIONS = ("auto", "vmap", "map", "chunked")
AXIS = "replicas"
# Batched small networks gain more from fewer, larger operations than from staying in cache.
CACHE_BYTES_PER_REPLICA = 1 << 20


class Replicas(NamedTuple):
    """What distinguishes the replicas of an ensemble; every leaf has a leading axis R.

    `init_key` and `data_key` are typed PRNG keys, derived from the replica's own seed and
    condition and never from its position, so a replica does not depend on how many others there
    are. `init_scale` multiplies every initial parameter. `conditions` holds per-replica data of the
    experiment, such as the frozen bit.
    """

    init_key: jax.Array
    data_key: jax.Array
    learning_rate: jax.Array
    init_scale: jax.Array
    conditions: dict[str, jax.Array]


def device_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """Return the one-dimensional mesh over `devices` (all devices when None)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def choose_execution(execution: str, platform: str, bytes_per_replica: int) -> str:
    """Return the execution mode that `auto` stands for; any other mode is returned as it is.

    On a CPU, replicas larger than about a core's share of the cache run one after the other
    (`map`): batched, their parameters and optimiser state would stream through memory at every
    step. Everything else is batched (`vmap`).

    Raises:
        ValueError: an unknown mode.
    """
    if execution not in EXECUTIONS:
        raise ValueError(f"execution: given {execution!r}; allowed {', '.join(EXECUTIONS)}")
    if execution != "auto":
        return execution
    return "map" if platform == "cpu" and bytes_per_replica > CACHE_BYTES_PER_REPLICA else "vmap"


def over_replicas(
    function: Callable[..., Any],
    mesh: Mesh,
    execution: str,
    *,
    mapped: int = 1,
    group_size: int = 1,
    donate: bool = False,
) -> Callable[..., Any]:
    """Compile `function(*replica, *shared)` of ONE replica for trees with a leading axis R.

    Args:
        function: pure; its first `mapped` arguments are trees that belong to the replica (without
            the axis R), the others are the same for all replicas.
        mesh: from `device_mesh`; R must be a multiple of its size (see `pad`).
        execution: "vmap", "map" or "chunked".
        mapped: how many arguments have the axis R.
        group_size: replicas per group, for "chunked".
        donate: the output has the form of the first argument and takes its place, so the program
            may overwrite that argument's buffers.

    Returns:
        The jitted function, whose outputs have the leading axis R.
    """

    def on_one_device(replicas: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
        def of_one(replica: tuple[Any, ...]) -> Any:
            return function(*replica, *shared)

        if execution == "vmap":
            return jax.vmap(of_one)(replicas)
        if execution == "chunked":
            return lax.map(of_one, replicas, batch_size=group_size)
        return _map_in_place(of_one, replicas) if donate else lax.map(of_one, replicas)

    # check_vma=False: the replication checker would ask for casts around the inner loops; there is
    # nothing to check where no value crosses devices.
    sharded = jax.shard_map(
        on_one_device, mesh=mesh, in_specs=(P(AXIS), P()), out_specs=P(AXIS), check_vma=False
    )

    def over_all(*arguments: Any) -> Any:
        return sharded(arguments[:mapped], arguments[mapped:])

    return jax.jit(over_all, donate_argnums=(0,) if donate else ())


def _map_in_place(function: Callable[[Any], Any], replicas: tuple[Any, ...]) -> Any:
    """Replace `replicas[0]` by the outputs, one replica after the other, in its own buffers.

    `lax.map` would hold the old and the new states of all replicas at once, and copy them.
    """

    def replace(index: jax.Array, first: Any) -> Any:
        one = jax.tree.map(lambda leaf: leaf[index], (first, *replicas[1:]))
        return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), first, function(one))

    count = jax.tree.leaves(replicas[0])[0].shape[0]
    return lax.fori_loop(0, count, replace, replicas[0])


def padded_count(count: int, mesh: Mesh) -> int:
    """Return the least multiple of the mesh's size that holds `count` replicas."""
    return -(-count // mesh.size) * mesh.size


def pad(replicas: Any, mesh: Mesh) -> Any:
    """Repeat the last replica until every device holds as many, and place them on the mesh.

    The padding is trained like the others and dropped from every result by `unpad`.
    """

    def extend(leaf: jax.Array) -> jax.Array:
        missing = padded_count(leaf.shape[0], mesh) - leaf.shape[0]
        if missing:
            leaf = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])
        return jax.device_put(leaf, NamedSharding(mesh, P(AXIS)))

    return jax.tree.map(extend, replicas)


def unpad(tree: Any, count: int) -> Any:
    """Return `tree` without the padding: the first `count` replicas of every leaf."""
    return jax.tree.map(lambda leaf: leaf if leaf.shape[0] == count else leaf[:count], tree)


def to_host(tree: Any, count: int) -> Any:
    """Fetch `tree` as NumPy arrays, without the padding."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], tree)
