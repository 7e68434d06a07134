"""What a run was made with: versions, devices, commit, command."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("pvr_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


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
        "command": " ".join(["python -m experiments.main", *sys.argv[1:]]),
    }


def git_commit(directory: Path) -> str | None:
    """Return the commit of the checkout that holds `directory`, "+changes" if it has any.

    None where there is no checkout or no git.
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
