"""Measure time; write measurements.

A benchmark is a module with `measurements(tiny) -> Iterator[Measurement]`; `python -m benchmarks`
runs it. Its results are two files: NAME.jsonl, whose first line is the machine and whose other
lines are one measurement each, and NAME.md, tables made from the first file alone.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 200  # of printed tables, so that no column is truncated


@dataclass(frozen=True)
class Measurement:
    """A measured value, with its parameters and whether it meets its bar.

    `spread` is the smallest and largest of the repetitions behind a median. `bar` is None if there
    is no requirement. `details` are numbers that explain the value (parts, the other side of a
    ratio), by names that end in their unit.
    """

    case: str
    value: float
    unit: str
    parameters: dict[str, Any] = field(default_factory=dict)
    spread: tuple[float, float] | None = None
    bar: str | None = None
    met: bool | None = None
    details: dict[str, Any] = field(default_factory=dict)


def measurement(
    case: str,
    value: float,
    unit: str,
    parameters: dict[str, Any] | None = None,
    *,
    spread: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    within: tuple[float, float] | None = None,
    details: dict[str, Any] | None = None,
) -> Measurement:
    """Return a measurement, compared with its bar: `at_least`, `at_most` or `within`, if any."""
    bar, met = None, None
    if within is not None:
        bar, met = f"{within[0]:g} … {within[1]:g}", bool(within[0] <= value <= within[1])
    elif at_least is not None:
        bar, met = f"≥ {at_least:g}", bool(value >= at_least)
    elif at_most is not None:
        bar, met = f"≤ {at_most:g}", bool(value <= at_most)
    return Measurement(case, value, unit, parameters or {}, spread, bar, met, details or {})


class Timing(NamedTuple):
    """Seconds of several repetitions of one thing."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the repetitions."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest of the repetitions."""
        return min(self.seconds), max(self.seconds)


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds of one call, until all arrays that it returns are ready."""
    begin = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - begin


def timed(work: Callable[[], Any], repetitions: int = 5, warm_up: int = 1) -> Timing:
    """Time `repetitions` calls after `warm_up` calls, which may compile."""
    for _ in range(warm_up):
        jax.block_until_ready(work())
    return Timing(tuple(seconds_of(work) for _ in range(repetitions)))


class Alternation(NamedTuple):
    """Two functions timed in alternation; `ratios` are first / second, pair by pair."""

    first: Timing
    second: Timing
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio."""
        return min(self.ratios), max(self.ratios)

    def scaled(self, factor: float) -> "Alternation":
        """Return the ratios times `factor`, the work of second over that of first."""
        return self._replace(ratios=tuple(ratio * factor for ratio in self.ratios))


def alternate(
    first: Callable[[], Any], second: Callable[[], Any], pairs: int = 5, warm_up: int = 1
) -> Alternation:
    """Time two functions in alternation, `pairs` times, after `warm_up` calls of each.

    Other load on the machine affects both sides of a pair alike. Every other pair runs in the
    opposite order, so that drift cancels.
    """
    for _ in range(warm_up):
        jax.block_until_ready(first())
        jax.block_until_ready(second())
    times: list[tuple[float, float]] = []
    for pair in range(pairs):
        if pair % 2 == 0:
            before = seconds_of(first)
            times.append((before, seconds_of(second)))
        else:
            after = seconds_of(second)
            times.append((seconds_of(first), after))
    return Alternation(
        Timing(tuple(one for one, _ in times)),
        Timing(tuple(two for _, two in times)),
        tuple(one / two for one, two in times),
    )


def write(directory: Path, name: str, machine: dict[str, Any], rows: list[Measurement]) -> Path:
    """Write NAME.jsonl and NAME.md, each atomically; return the first.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"benchmark": name, "machine": machine}, ensure_ascii=False)]
    for row in rows:
        record = {"benchmark": name, **asdict(row), "date": machine["date"]}
        lines.append(json.dumps(record, ensure_ascii=False))
    path = directory / f"{name}.jsonl"
    _replace(path, "\n".join(lines) + "\n")
    _replace(path.with_suffix(".md"), markdown(path))
    return path


def read(path: Path) -> tuple[dict[str, Any], list[Measurement]]:
    """Return the machine and the measurements of NAME.jsonl."""
    first, *others = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    known = Measurement.__dataclass_fields__
    return first["machine"], [
        Measurement(**{name: value for name, value in record.items() if name in known})
        for record in others
    ]


def markdown(path: Path) -> str:
    """Return the tables of NAME.jsonl as Markdown, with the machine."""
    machine, rows = read(path)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['date']}, commit {machine['git_commit']}.",
        f"{machine['description']}; load before the start {machine['load_before']}.",
        f"{versions}.",
    ]
    for header, cells in tables(rows):
        lines += ["", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join(lines) + "\n"


def show(rows: list[Measurement], console: Console | None = None) -> None:
    """Print the tables."""
    console = console or Console(width=max(WIDTH, Console().width))
    for header, cells in tables(rows):
        table = Table(*header, box=box.SIMPLE)
        for row in cells:
            table.add_row(*row)
        console.print(table)


def tables(rows: Iterable[Measurement]) -> list[tuple[list[str], list[list[str]]]]:
    """Return tables of (header, cells); neighbors with the same columns share one.

    Empty columns are left out.
    """

    def columns(row: Measurement) -> tuple[str, ...]:
        return (row.unit, *row.parameters, "|", *row.details)

    found = []
    for (unit, *_), some in groupby(rows, columns):
        group = list(some)
        parameters, details = group[0].parameters, group[0].details
        header = ["case", *parameters, unit, "spread", "bar", "met", *details]
        cells = [_cells(row) for row in group]
        kept = [column for column in range(len(header)) if any(row[column] for row in cells)]
        found.append(
            (
                [header[column].replace("_", " ") for column in kept],
                [[row[column] for column in kept] for row in cells],
            )
        )
    return found


def _cells(row: Measurement) -> list[str]:
    spread = "" if row.spread is None else " – ".join(map(_text, row.spread))
    met = {None: "", True: "yes", False: "no"}[row.met]
    return [
        row.case,
        *map(_text, row.parameters.values()),
        _text(row.value),
        spread,
        row.bar or "",
        met,
        *map(_text, row.details.values()),
    ]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
