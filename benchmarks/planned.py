"""Does `./launch.sh plan` predict the time and the memory of the quickstart?

The plan and the run each have a fresh process (`fresh.py`), one after the other, without a
persistent compilation cache. Time is the whole run's, from the start of Python to the report;
memory is the peak of its process.
"""

from collections.abc import Iterator

from benchmarks.fresh import ask
from benchmarks.measuring import Measurement, measurement

TIME_RANGE, MEMORY_RANGE = (1 / 1.5, 1.5), (1 / 1.3, 1.3)


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield what was planned over what was measured."""
    planned, measured = ask("planned", tiny=tiny), ask("whole_run", tiny=tiny)
    yield measurement(
        "quickstart: time",
        planned["seconds"] / measured["seconds"],
        "planned over measured",
        within=None if tiny else TIME_RANGE,
        details={
            "measured_seconds": measured["seconds"],
            "planned_seconds": planned["seconds"],
            "plan_took_seconds": planned["took_seconds"],
        },
    )
    yield measurement(
        "quickstart: memory of the process",
        planned["process_bytes"] / measured["process_bytes"],
        "planned over measured",
        within=None if tiny else MEMORY_RANGE,
        details={
            "measured_MiB": measured["process_bytes"] / 2**20,
            "planned_MiB": planned["process_bytes"] / 2**20,
        },
    )
