"""The machine of a benchmark: processor, caches, memory, accelerator, versions."""

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import jax

from pvr_jax.training import hosts
from pvr_jax.training.environment import git_commit

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "torch")
CACHE_FIELDS = ("level", "type", "size")
# Environment variables that change measurements.
SWITCHES = ("JAX_NUM_CPU_DEVICES", "JAX_ENABLE_X64", "XLA_FLAGS", "OMP_NUM_THREADS")


def describe() -> dict[str, Any]:
    """Return the machine, the versions, the date (UTC) and the commit, ready for JSON."""
    device = jax.devices()[0]
    hardware = {
        "processor": processor(),
        "cores": hosts.usable_cores(),
        "caches": caches(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "platform": device.platform,
        "devices": len(jax.devices()),
        "device_kind": device.device_kind,
    }
    if (stats := device.memory_stats()) and "bytes_limit" in stats:
        hardware["device_memory_gib"] = round(stats["bytes_limit"] / 2**30, 1)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "git_commit": git_commit(Path(__file__).parent),
        "description": sentence(hardware),
        "hardware": hardware,
        "versions": {"python": platform.python_version(), **versions()},
        "switches": {name: os.environ[name] for name in SWITCHES if name in os.environ},
    }


def load() -> float | None:
    """Return the mean number of running processes over the last minute, if available.

    Call this before a benchmark begins: other processes make its numbers worthless.
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def sentence(hardware: dict[str, Any]) -> str:
    """Return the hardware as one sentence."""
    parts = [
        f"{hardware['processor']}, {hardware['cores']} cores",
        *(f"{name} {size}" for name, size in hardware["caches"].items()),
        f"{hardware['memory_gib']} GiB of memory",
        f"{hardware['devices']} JAX device(s) of kind {hardware['device_kind']}",
    ]
    return ", ".join(parts)


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's name, with family and model if the name is not specific."""
    fields = {}
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.is_file() else ():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    return name


def caches() -> dict[str, str]:
    """Return {"L1d": "32K", "L2": …} of the first core, if available."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in CACHE_FIELDS)
        if kind != "Instruction":
            found[f"L{level}" + ("d" if kind == "Data" else "")] = size
    return found


def memory_bytes() -> int:
    """Return the memory of the machine."""
    information = Path("/proc/meminfo")
    if information.is_file():
        match = re.search(r"MemTotal:\s+(\d+) kB", information.read_text())
        if match:
            return int(match.group(1)) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
