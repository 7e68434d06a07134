"""TPU slices that need not be here: their devices, to compile for with the TPU's own compiler."""

import importlib.util
import math
import os
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from pvr_jax.refusal import Refusal
from pvr_jax.training import cost
from pvr_jax.training.cost import Memory
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import AXIS

EXAMPLES = "v5e:4x4, v6e:2x4, v4:2x2x1 or v5p:2x2x2"
# What libtpu would ask the machines of a slice; and several processes may compile at once.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
# As JAX has them by default: one device for the two cores of a chip.
OPTIONS = {"v4": {"chip_config_name": "megacore"}}
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
TOO_LARGE = 1 << 20  # the side of a matrix that no device holds


def devices_of(name: str) -> list[jax.Device]:
    """Return the devices of a slice, such as "v5e:4x4"; nothing can run on them.

    Raises:
        Refusal: no such slice, or its compiler is not installed; starts with "topology".
    """
    if importlib.util.find_spec("libtpu") is None:
        raise Refusal(
            f"topology: given {name}, for which the TPU's compiler, libtpu, is missing; allowed "
            "with the extra tpu: ./launch.sh setup tpu"
        )
    os.environ |= ENVIRONMENT
    kind, _, layout = name.partition(":")
    sides = re.findall(r"\d+", layout)
    options = dict(OPTIONS.get(kind, {}))
    if math.prod(map(int, sides)) == 1:  # by default a host has four chips
        options["chips_per_host_bounds"] = [1, 1, 1]
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
    except (jax.errors.JaxRuntimeError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        allowed = f"KIND:LAYOUT of chips, such as {EXAMPLES}"
        raise Refusal(f"topology: given {name!r}; allowed {allowed} ({reason})") from error
    return list(found.devices)


def usable_bytes(device: jax.Device) -> int | None:
    """Return how much memory programs of a device may take, as its compiler says; None if not.

    It says so when it refuses a program that is too large.
    """
    x = jax.ShapeDtypeStruct(
        (TOO_LARGE, TOO_LARGE), jnp.float32, sharding=SingleDeviceSharding(device)
    )
    try:
        jax.jit(jnp.negative).lower(x).compile()
    except jax.errors.JaxRuntimeError as error:
        if found := re.search(r"available HBM \(([\d.]+)([KMGT])\)", str(error)):
            return int(float(found[1]) * UNITS[found[2]])
    return None


class Fit(NamedTuple):
    """Whether a run fits the devices of a slice.

    `memory` is that of a device, an estimate if the run does not fit; `largest` is the number of
    replicas that would fit. Each is None if it is not known.
    """

    fits: bool
    memory: Memory | None
    largest: int | None
    collectives: tuple[str, ...]


def fit(planned: Ensemble, usable: int | None) -> Fit:
    """Compile the programs of an ensemble for a slice, and say whether they fit.

    The compiler refuses a program that does not fit. Memory is nearly affine in the replicas of a
    device, which a compilation with half as many tells: from the largest number, halved until it
    fits, and half of that.

    Args:
        planned: from `Ensemble.planned`.
        usable: bytes of a device, from `usable_bytes`; None: not known.
    """
    groups, share = planned.mesh.shape[AXIS], planned.share
    known: dict[int, cost.Programs] = {}

    def holds(share: int) -> bool:
        own = planned.planned(planned.mesh, planned.mode, share * groups)
        try:
            known[share] = cost.compiled(own)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return False
        return max(known[share].memory) <= (usable or math.inf)

    fits = found = holds(share)
    at = share
    while not found and at > 1:
        at //= 2
        found = holds(at)
    if not found:
        return Fit(False, known[share].memory if share in known else None, 0, ())
    collectives = known[at].collectives
    if len(known) == 1:
        holds(at // 2 or 2)
    if len(known) == 1:  # one replica on a device, and two are too many
        return Fit(fits, known[at].memory, at * groups, collectives)
    low, high = sorted(known)[:2]
    few, many = known[low].memory, known[high].memory
    slopes = [max(1, (b - a) / (high - low)) for a, b in zip(few, many, strict=True)]
    lines = list(zip(few, slopes, strict=True))
    needed = Memory(*(round(own + slope * (share - low)) for own, slope in lines))
    memory = known[share].memory if share in known else needed
    largest = usable and int(min(low + (usable - own) // slope for own, slope in lines)) * groups
    return Fit(fits, memory, largest, collectives)
