"""Begin a run with the checkpoints and evaluations of a shorter one."""

import contextlib
import os
import shutil
from pathlib import Path

from pvr_jax.training import run_log
from pvr_jax.training.checkpoint import MANIFEST

CHECKPOINTS = "checkpoints"


def adopt(source: Path, directory: Path, run: str) -> list[int]:
    """Copy the checkpoints and evaluations of a run to another run directory.

    Arrays are linked where the file system can, so they take no space twice.

    Args:
        source: run directory; not in use.
        directory: run directory that has not begun.
        run: identity of the new run, for its checkpoints.

    Returns:
        The steps of the checkpoints, ascending; none if no state is complete.
    """
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)
    finished = {
        int(path.parent.name): path.parent
        for path in (source / CHECKPOINTS).glob(f"[0-9]*/{MANIFEST}")
    }
    whole = [step for step, path in finished.items() if (path / "optimizer").is_dir()]
    steps = sorted(step for step in finished if whole and step <= max(whole))
    for step in steps:
        target = directory / CHECKPOINTS / str(step)
        shutil.copytree(finished[step], target, copy_function=_link)
        manifest = run_log.read_json(finished[step] / MANIFEST) | {"run": run}
        (target / MANIFEST).unlink()
        run_log.write_json(target / MANIFEST, manifest)
    if steps and (source / run_log.METRICS).is_file():
        shutil.copyfile(source / run_log.METRICS, directory / run_log.METRICS)
    return steps


def _link(source: str, target: str) -> None:
    """Link a file with data of arrays; copy metadata, which Orbax rewrites in place."""
    if Path(source).parent.name == "d":
        with contextlib.suppress(OSError):  # a file system without links
            os.link(source, target)
            return
    shutil.copyfile(source, target)
