"""The environment of a run: versions, devices, commit, command."""

import contextlib
import importlib.metadata
import os
import platform
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("pvr_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


@contextlib.contextmanager
def arithmetic(dtype: str) -> Iterator[None]:
    """Enable 64-bit types of JAX within the context if `dtype` is "float64".

    The mode is set for the whole process, unlike `jax.enable_x64`: checkpoints are read by other
    threads, which would round them.
    """
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", before or dtype == "float64")
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def describe() -> dict[str, Any]:
    """Return the versions, devices, git commit and command of this process, ready for JSON."""
    devices = jax.devices()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "devices": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
            "host_cores": os.cpu_count(),
        },
        "git_commit": git_commit(Path(__file__).parent),
        "command": command_line(sys.argv),
    }


def command_line(arguments: Sequence[str]) -> str:
    """Return what to type for the same; of a script or a notebook, what Python was given."""
    program, *rest = arguments
    path = Path(program)
    is_own = path.parent.name == "experiments"
    return shlex.join(
        ["python", *(["-m", f"experiments.{path.stem}"] if is_own else [program]), *rest]
    )


def git_commit(directory: Path) -> str | None:
    """Return the commit of the checkout of `directory`, with "+changes" if modified.

    None without a checkout or git.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def resident_bytes() -> tuple[int, int]:
    """Return the memory that this process has, or its peak if that is not known, and its peak.

    On Linux from its status, as `getrusage` would include the memory of the parent when it forked.
    """
    status, unit = Path("/proc/self/status"), 1 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if not status.exists():
        return peak, peak
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, most = (int(lines[name].split()[0]) * 2**10 for name in ("VmRSS", "VmHWM"))
    return now, most


def machine_bytes() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
