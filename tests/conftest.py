"""Strict switches for every test; which tests run, how long each may take, where programs are kept.

Set before JAX starts its backend, so that the whole suite runs as on a machine with four devices.
"""

import contextlib
import gc
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

SWITCHES = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # of every operation, for readers of its program
}
for name, value in SWITCHES.items():
    os.environ.setdefault(name, value)

# A folder per machine and version: a program compiled for another processor may not run here.
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvr_jax" / "tests"
CACHE = CACHES / f"{version('jax')}-{version('jaxlib')}-{platform.node()}"
IS_FIRST = "JAX_COMPILATION_CACHE_DIR" not in os.environ  # processes that it starts inherit it
# Here, as a folder's conftest.py that is named on the command line imports JAX before any hook.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
MOST_BYTES = 1 << 30
MOST_SECONDS = 5.0  # of a test that is not marked slow, where CI is set
# Folders whose slow tests are of speed, or of programs that have to round alike. In all others XLA
# optimizes little, in half of the time: what a program computes is the same. A run in a process of
# its own is a user's.
OPTIMIZED = {"benchmarks", "training"}
ORDER = {name: place for place, name in enumerate(("launch", "experiments", "models", "theory"))}
LEFT_OUT = pytest.StashKey[int]()
TAKEN, TOLD = pytest.StashKey[dict[str, float]](), pytest.StashKey[bool]()
BEGAN = pytest.StashKey[float]()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="the tests marked slow too")


def pytest_configure(config):
    gc.set_threshold(100_000)  # the programs that JAX keeps are long-lived: looking at them is dear
    if IS_FIRST:
        with contextlib.suppress(OSError):  # a home that is read-only or full does without
            CACHE.mkdir(parents=True, exist_ok=True)
            prune(CACHES, MOST_BYTES)


def prune(folder, most_bytes):
    """Remove the files that were not used for longest until the others take `most_bytes`.

    And files without contents, which a process that was killed leaves, and JAX never replaces. All
    sizes are small next to the limit; JAX's own limit reads every file's time at each new one.
    """
    found = []
    for path in folder.rglob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another session removes too
            found.append((path, path.stat()))
    found.sort(key=lambda each: max(each[1].st_atime, each[1].st_mtime))
    total = sum(status.st_size for _, status in found)
    for path, status in found:
        is_torn = status.st_size == 0 and time.time() - status.st_mtime > 60
        if total > most_bytes or is_torn:
            path.unlink(missing_ok=True)
            total -= status.st_size


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out unless they are asked for; put the folders that take longest first.

    Processes take whole files, in this order: the last ones are short, and none works on alone.
    """
    left_out = []
    if not (config.option.all or config.option.markexpr):
        left_out = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: ORDER.get(item.path.parent.name, len(ORDER)))
    config.stash[LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = len(left_out)


def pytest_collection_finish():
    # From here on: Python takes a module that a test edits within a second for the one before.
    sys.dont_write_bytecode = True


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if count := config.stash.get(LEFT_OUT, 0):
        nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        tests = f"all {count} tests given are" if nothing else f"{count} tests are"
        terminalreporter.write_line(f"{tests} marked slow and left out; --all runs them too")


def pytest_sessionfinish():
    gc.freeze()  # pytest looks through all garbage at its end


def computed():
    """Return the seconds that this process and the ended ones it started have computed."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if jax := sys.modules.get("jax"):
        is_quick = item.path.parent.name not in OPTIMIZED or not item.get_closest_marker("slow")
        jax.config.update("jax_disable_most_optimizations", is_quick)
    item.stash[BEGAN] = computed()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test of the default suite that takes too long, on CI, where CI is set.

    By the clock and by what it computes: on a machine that others use, a test waits.
    """
    report = yield
    taken = item.stash[TAKEN] = item.stash.get(TAKEN, {}) | {report.when: report.duration}
    total = sum(taken.values())
    is_over = total > MOST_SECONDS and computed() - item.stash[BEGAN] > MOST_SECONDS
    is_judged = os.environ.get("CI") and not item.get_closest_marker("slow")
    is_judged = is_judged and report.passed and report.when != "setup" and TOLD not in item.stash
    if is_judged and is_over:
        item.stash[TOLD] = True
        report.outcome = "failed"
        phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken.items())
        report.longrepr = (
            f"{item.nodeid} took {total:.1f} s ({phases}); a test of the default suite may take "
            f"{MOST_SECONDS:g} s: mark it @pytest.mark.slow or make it faster"
        )
    return report
