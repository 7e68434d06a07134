"""Where the runs of a test lie, and how far they have come."""

import time
from pathlib import Path

PATIENCE_SECONDS = 120


def only_run(workdir):
    """Return the directory of the one run below a work directory."""
    (directory,) = (path.parent for path in Path(workdir).glob("*/*/config.json"))
    return directory


def finished_steps(workdir):
    """Return the steps of all checkpoints that are written to the end, ascending."""
    seals = Path(workdir).glob("*/*/checkpoints/*/seal.json")
    return sorted(int(path.parent.name) for path in seals if path.parent.name.isdigit())


def wait_for_checkpoint(workdir, least, *processes):
    """Wait until the processes of a run have finished a checkpoint of at least that step."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if any(step >= least for step in finished_steps(workdir)):
            return
        time.sleep(0.02)
    for process in processes:
        process.kill()
    said = [process.communicate()[0] for process in processes]
    raise AssertionError(f"no checkpoint at step {least}: {said}")
