"""Where the runs of a test lie, and how far they have come."""

import glob
import time
from pathlib import Path

PATIENCE_SECONDS = 120


def found(workdir, pattern):
    """Return the paths of a pattern below a work directory, in which a process may be at work."""
    # `Path.glob` of Python 3.11 raises where a directory goes while it looks.
    return [Path(path) for path in glob.glob(f"{workdir}/{pattern}")]  # noqa: PTH207


def only_run(workdir):
    """Return the directory of the one run below a work directory."""
    (directory,) = (path.parent for path in found(workdir, "*/*/config.json"))
    return directory


def finished_steps(workdir):
    """Return the steps of all checkpoints that are written to the end, ascending."""
    manifests = found(workdir, "*/*/checkpoints/*/seal.json")
    return sorted(int(path.parent.name) for path in manifests if path.parent.name.isdigit())


def evaluations(workdir):
    """Return how many evaluations are written."""
    return sum(path.read_text().count("\n") for path in found(workdir, "*/*/metrics.jsonl"))


def wait_until(reached, *processes):
    """Wait until the runs of these processes have reached something, while all of them work."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if reached():
            return
        time.sleep(0.02)
    for process in processes:
        process.kill()
    raise AssertionError([process.communicate()[0] for process in processes])


def wait_for_checkpoint(workdir, least, *processes):
    """Wait until the processes of a run have finished a checkpoint of at least that step."""
    wait_until(lambda: any(step >= least for step in finished_steps(workdir)), *processes)
