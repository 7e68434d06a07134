"""Replication: run a function of one replica for all replicas, in one compiled program.

Replicas never communicate, so the program is one `shard_map` over all devices of all hosts, without
collectives; each device runs its share of the replicas. If one replica is too large for a device, a
second axis of the mesh splits the rows of its batches. A device runs its share in one of three
modes, with equal results up to rounding:

- `vmap`: all replicas at once, as one batched computation. Fills an accelerator.
- `map`: one replica at a time. Keeps the parameters of a replica in a CPU's cache.
- `chunked`: `group_size` replicas at a time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pvr_jax.number_text import exact
from pvr_jax.refusal import Refusal
from pvr_jax.training import hosts

EXECUTIONS = ("auto", "vmap", "map", "chunked")
AXIS, BATCH_AXIS = "replicas", "batch"
# Small networks gain more from fewer, larger operations than from staying in cache.
CACHE_BYTES_PER_REPLICA = 1 << 20
# Where `map` needs no trial: for the MLP, Mixer, Transformer and mean-field network of the paper,
# of 10 to 76 MB, every probe on two cores found it faster than `vmap`.
LARGE_BYTES_PER_REPLICA = 8 << 20


class Replicas(NamedTuple):
    """What distinguishes the replicas of an ensemble; every leaf has a leading axis R.

    `init_key` and `data_key` are typed PRNG keys derived from seed and conditions, never from the
    position, so a replica does not depend on the others. `init_scale` multiplies every initial
    parameter. `conditions` are data of the experiment per replica, such as the frozen bit.
    """

    init_key: jax.Array
    data_key: jax.Array
    learning_rate: jax.Array
    init_scale: jax.Array
    conditions: dict[str, jax.Array]


def replica_names(
    conditions: Sequence[str], rates: Sequence[float], scales: Sequence[float], seeds: Sequence[int]
) -> list[str]:
    """Return the names of replicas [R], such as "bit3-rate0.001-scale2-seed0".

    Learning rate and init scale are included if replicas differ in them, with six digits, or in
    full if six do not distinguish them. A condition may be "".
    """
    parts = (
        conditions,
        _words("rate", rates),
        _words("scale", scales),
        map("seed{}".format, seeds),
    )
    return ["-".join(filter(None, own)) for own in zip(*parts, strict=True)]


def _words(name: str, values: Sequence[float]) -> list[str]:
    values = list(map(float, values))
    short = {value: f"{value:g}" for value in values}
    if len(short) < 2:
        return [""] * len(values)
    counts = Counter(short.values())
    return [name + (short[v] if counts[short[v]] == 1 else exact(v)) for v in values]


def device_mesh(devices: list[jax.Device] | None = None, batch_devices: int = 1) -> Mesh:
    """Return the mesh over `devices` (None: `hosts.devices`): replicas x shares of a batch.

    Raises:
        Refusal: `batch_devices` does not divide their number; starts with "batch_devices".
    """
    devices = hosts.devices() if devices is None else devices
    if len(devices) % batch_devices:
        divisors = [str(d) for d in range(1, len(devices) + 1) if len(devices) % d == 0]
        raise Refusal(
            f"batch_devices: given {batch_devices}; allowed a divisor of the number of devices, "
            f"{len(devices)}: {', '.join(divisors)}"
        )
    shape = (len(devices) // batch_devices, batch_devices)
    automatic = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, (AXIS, BATCH_AXIS), axis_types=automatic, devices=devices)


def needed_devices(
    count: int, devices: list[jax.Device], batch_devices: int = 1
) -> list[jax.Device]:
    """Return the fewest devices on which `count` replicas take no longer than on all.

    Five replicas take two rounds on four devices, and on three. Joined processes keep all devices,
    since all must take part.
    """
    groups = len(devices) // batch_devices
    if groups == 0 or hosts.together():
        return devices
    rounds = -(-count // groups)
    return devices[: -(-count // rounds) * batch_devices]


class Mode(NamedTuple):
    """How a device runs its share of the replicas; see the module docstring."""

    execution: str
    group_size: int = 1

    def __str__(self) -> str:
        return f"{self.execution} {self.group_size}" if self.group_size > 1 else self.execution


def possible_modes(
    execution: str, group_size: int, platform: str, share: int, bytes_per_replica: int
) -> tuple[Mode, ...]:
    """Return the modes to try for `execution`, the most promising first.

    Any value but "auto" is a mode. "auto" is `map` for replicas larger than a CPU core's share of
    the cache (batched, parameters and optimizer state would stream through memory at every step),
    else `vmap`. On a CPU whose devices have a `share` of several replicas, the other of the two is
    tried as well, unless they are so large that it would lose. `chunked` was never the fastest, and
    each mode costs a compilation.

    Raises:
        ValueError: an unknown mode.
    """
    if execution not in EXECUTIONS:
        raise Refusal(f"execution: given {execution!r}; allowed {', '.join(EXECUTIONS)}")
    if execution != "auto":
        return (Mode(execution, group_size if execution == "chunked" else 1),)
    if platform != "cpu":
        return (Mode("vmap"),)
    large = bytes_per_replica > CACHE_BYTES_PER_REPLICA
    first, second = ("map", "vmap") if large else ("vmap", "map")
    decided = share == 1 or bytes_per_replica > LARGE_BYTES_PER_REPLICA
    return (Mode(first),) if decided else (Mode(first), Mode(second))


def over_replicas(
    function: Callable[..., Any],
    mesh: Mesh,
    mode: Mode,
    *,
    mapped: int = 1,
    donate: bool = False,
) -> Callable[..., Any]:
    """Compile `function(*replica, *shared)` of ONE replica for trees with a leading axis R.

    Args:
        function: pure; its first `mapped` arguments are trees of one replica (without the axis R),
            the others are shared by all replicas.
        mesh: from `device_mesh`; R must be a multiple of its first axis (see `pad`).
        mode: how a device runs its share.
        mapped: number of arguments with the axis R.
        donate: whether to donate the buffers of the first argument to the output, which has the
            same structure.

    Returns:
        The jitted function, whose outputs have the leading axis R.
    """

    def on_one_device(replicas: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
        def of_one(replica: tuple[Any, ...]) -> Any:
            return function(*replica, *shared)

        if mode.execution == "vmap":
            return jax.vmap(of_one)(replicas)
        if mode.execution == "chunked":
            return lax.map(of_one, replicas, batch_size=mode.group_size)
        return _map_in_place(of_one, replicas) if donate else lax.map(of_one, replicas)

    # check_vma=False: the replication checker would require casts around the inner loops, and has
    # nothing to check, since no value crosses devices.
    sharded = jax.shard_map(
        on_one_device, mesh=mesh, in_specs=(P(AXIS), P()), out_specs=P(AXIS), check_vma=False
    )

    def over_all(*arguments: Any) -> Any:
        return sharded(arguments[:mapped], arguments[mapped:])

    return jax.jit(over_all, donate_argnums=(0,) if donate else ())


def _map_in_place(function: Callable[[Any], Any], replicas: tuple[Any, ...]) -> Any:
    """Replace `replicas[0]` by the outputs, one replica at a time, in place.

    `lax.map` would hold the old and new states of all replicas at once, and copy them.
    """

    def replace(index: jax.Array, first: Any) -> Any:
        one = jax.tree.map(lambda leaf: leaf[index], (first, *replicas[1:]))
        return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), first, function(one))

    count = jax.tree.leaves(replicas[0])[0].shape[0]
    return lax.fori_loop(0, count, replace, replicas[0])


def padded_count(count: int, mesh: Mesh) -> int:
    """Return the smallest multiple of the mesh's first axis that is at least `count`."""
    shares = mesh.shape[AXIS]
    return -(-count // shares) * shares


def on_devices(mesh: Mesh) -> NamedSharding:
    """Return the sharding of leaves with a leading axis R."""
    return NamedSharding(mesh, P(AXIS))


def pad(replicas: Any, mesh: Mesh) -> Any:
    """Pad with copies of the last replica to equal shares, and place them on the mesh.

    The padding is trained too; `to_host` drops it from results.
    """

    def extend(leaf: jax.Array) -> jax.Array:
        missing = padded_count(leaf.shape[0], mesh) - leaf.shape[0]
        if missing:
            leaf = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])
        return _place(leaf, on_devices(mesh))

    return jax.tree.map(extend, replicas)


def _place(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Shard an array that every process has over the devices of all."""
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _place(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def to_host(tree: Any, count: int) -> Any:
    """Fetch `tree` from all devices as NumPy arrays, in every process, without padding."""

    def fetch(leaf: jax.Array) -> np.ndarray:
        if not leaf.is_fully_addressable:
            with hosts.explained():
                return multihost_utils.process_allgather(leaf, tiled=True)[:count]
        return np.asarray(leaf)[:count]

    return jax.tree.map(fetch, tree)
