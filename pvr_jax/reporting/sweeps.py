"""The table of a sweep: a row per cell and replica, from the result files of its cells."""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.publish import write_text

FAILED_FILE = "failed.json"
DONE_FILE = "analyse.done"
TABLE = "table"
DONE, FAILED, MISSING = "done", "failed", "missing"
# Integer columns with missing values.
WHOLE = ("n", "frozen_bit", "seed", "diverged_at", "step")
NUMBERS = ("learning_rate", "init_scale", "influence")
# Columns of a study that do not belong in the table of a sweep.
OF_STUDY = ["run", "optimizer", "setting"]
TEXTS = ("cell", "status", "reason", "task", "model", "size", "replica")


@dataclass(frozen=True)
class SweepCell:
    """A cell of a sweep: the directory of its results, and its settings.

    `refused` says why its configuration is invalid; such a cell has no directory.
    """

    name: str
    directory: Path | None
    settings: Mapping[str, Any]
    refused: str = ""


class Status(NamedTuple):
    """The status of a cell: done, failed or missing, and why."""

    status: str
    reason: str = ""


def status_of(cell: SweepCell) -> Status:
    """Return the status of a cell, from its files."""
    if cell.directory is None:
        return Status(FAILED, cell.refused)
    measures = cell.directory / results.MEASURES_FILE
    if measures.is_file() and (cell.directory / DONE_FILE).is_file():
        return Status(DONE)
    if (cell.directory / FAILED_FILE).is_file():
        return Status(FAILED, _reason(cell.directory / FAILED_FILE))
    return Status(MISSING)


def _reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["reason"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(f"damaged file {path}: {error}; remove it to try its cell again") from error


def mark_failed(directory: Path, reason: str, details: str) -> None:
    """Record the reason of a failure, in one line, and its details."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {"reason": reason, "details": details.splitlines()}
    write_text(directory / FAILED_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def sweep_table(cells: Sequence[SweepCell], statuses: Sequence[Status]) -> pd.DataFrame:
    """Return a row per replica of finished cells, and a row per cell for the others.

    Columns: cell, status, reason; the settings that the sweep varies and the fields that flags set,
    by name (lists as strings); task, model, n, size; replica, frozen_bit, seed, learning_rate,
    init_scale, diverged_at, step, influence; aggregation, complexity, withheld and other columns of
    classification subtasks; and every scalar measure at the last evaluation.
    Errors are half squared errors. Missing values are null.
    """
    rows = []
    for cell, status in zip(cells, statuses, strict=True):
        head = {"cell": cell.name, "status": status.status, "reason": status.reason or None}
        head |= {name: _plain(value) for name, value in cell.settings.items()}
        if status.status != DONE:
            rows.append(head)
            continue
        try:
            rows += [head | row for row in replica_rows(cell.directory)]
        except Refusal as error:  # a damaged file
            rows.append(head | {"status": FAILED, "reason": str(error)})
    return _typed(pd.DataFrame(rows))


def replica_rows(directory: Path) -> list[dict[str, Any]]:
    """Return a row per replica of an analyzed run, with its measures at the last evaluation.

    Raises:
        Refusal: a file is damaged.
    """
    found = results.open(directory).final().drop(columns=OF_STUDY, errors="ignore")
    found["diverged_at"] = found["diverged_at"].where(found["diverged_at"] >= 0)
    return found.astype(object).where(found.notna(), None).to_dict("records")


def write_sweep_table(table: pd.DataFrame, directory: Path) -> tuple[Path, Path]:
    """Write table.parquet and table.csv atomically; return both paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / f"{TABLE}.parquet", directory / f"{TABLE}.csv"
    # Shards that finish at once, on different hosts, each write their own file.
    temporary = [path.with_name(f".{path.name}.{uuid.uuid4().hex}") for path in paths]
    table.to_parquet(temporary[0], index=False)
    table.to_csv(temporary[1], index=False, lineterminator="\n")
    return temporary[0].replace(paths[0]), temporary[1].replace(paths[1])


def count_statuses(statuses: Sequence[Status]) -> dict[str, int]:
    """Return how many cells are done, failed and missing."""
    counted = Counter(status.status for status in statuses)
    return {status: counted[status] for status in (DONE, FAILED, MISSING)}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns and types do not depend on the status of its cells."""
    first = ["cell", "status", "reason"]
    standard = ["task", "model", "n", "size", "replica", *WHOLE[1:], *NUMBERS]
    varied = [name for name in table.columns if "." in name]
    others = [name for name in table.columns if name not in {*first, *standard, *varied}]
    table = table.reindex(columns=list(dict.fromkeys([*first, *varied, *standard, *others])))
    for name in table.columns:
        if name in WHOLE:
            table[name] = pd.to_numeric(table[name]).astype("Int64")
        elif name in NUMBERS:
            table[name] = pd.to_numeric(table[name]).astype("Float64")
        elif name in TEXTS:
            table[name] = table[name].astype("string")
        elif table[name].dtype == object:
            table[name] = _one_type(table[name])
    return table


def _one_type(column: pd.Series) -> pd.Series:
    """Convert a column of mixed values to Booleans, else numbers, else strings."""
    values = column.dropna()
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return column.astype("boolean")
    if kinds <= {int, float}:  # a measure without any value is numeric, too
        return pd.to_numeric(column).astype("Int64" if kinds == {int} else "Float64")
    return column.map(lambda value: str(value), na_action="ignore").astype("string")


def _plain(value: Any) -> Any:
    """Return a setting for the table; lists become strings, "0.0001, 0.001"."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
