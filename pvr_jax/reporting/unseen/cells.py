"""The results as numbers: a row per cell, per replica, and per cell and tracked monomial."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.unseen.definitions import MEASURES
from pvr_jax.reporting.unseen.definitions import THEORIES as KNOWN_THEORIES
from pvr_jax.reporting.unseen.labels import arm_names, in_order, monomial_text, task_names
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, WIDE_NTK, Cell

UNFITTED_SHARE = 0.01  # of ½ E f²; a larger in-distribution error: the fit is not finished
ERROR = "_unseen_error"  # after the name of a theory: what it predicts
UNEXPLAINED = "unexplained_"  # before the name of a theory: what it misses of the learned function
FEWEST_RATES = 3  # that say something of a trend


def cell_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return a row per cell, means over the replicas that did not diverge.

    `<name>_low` and `<name>_high` bound the 95 % interval of the mean (`statistics.mean_interval`).
    Errors are half squared errors at the last evaluation. `<theory>_unseen_error` is exact.
    Shares are of the MDI's own unseen error: `distance_share` the distance to the MDI,
    `error_share` that to the target, `nearer_margin` the first minus the second; `nearer` is "MDI"
    or "target" where the interval of that leaves out 0, "neither" where not, and empty without an
    interval or where the MDI is `far`. `unexplained_<theory>` is ½ E(g − theory)² over the unseen
    inputs, `unexplained_margin` that of the MDI minus that of the wide NTK, replica by replica.
    """
    tasks, arms = task_names(cells), arm_names(cells)
    theories = _theories(cells)
    return pd.DataFrame(
        [
            {"task_short": tasks[cell.name], "arm": arms[cell.name]} | _row(cell, theories)
            for cell in in_order(cells)
        ]
    )


def replica_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per replica, diverged ones too, with its values at the last evaluation."""
    names = _measures(cells)
    rows = []
    for cell in in_order(cells):
        for i, replica in enumerate(cell.replicas):
            row = _settings(cell) | {
                "replica": replica.name,
                "seed": replica.seed,
                "diverged_at": replica.diverged_at,
            }
            for name in names:
                known = name in cell.measures
                row[name] = float(cell.measures[name][-1, i]) if known else math.nan
            for name in _theories(cells):
                values = cell.unexplained.get(name)
                row[f"{UNEXPLAINED}{name}"] = math.nan if values is None else float(values[i])
            rows.append(row)
    return pd.DataFrame(rows).astype({"diverged_at": "Int64"})


def coefficient_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return a row per cell and tracked monomial: what target, theories and networks have of it.

    `learned` is the mean over counted replicas at the last evaluation, `learned_low` and
    `learned_high` bound its 95 % interval.
    """
    tasks, arms, theories = task_names(cells), arm_names(cells), _theories(cells)
    rows = []
    for cell in in_order(cells):
        values = cell.coefficients[-1, cell.counted].T  # [M, c]
        means = statistics.mean(values)
        low, high = statistics.mean_interval(values)
        for i, monomial in enumerate(cell.monomials):
            row = {"task_short": tasks[cell.name], "arm": arms[cell.name]} | _settings(cell)
            row |= {
                "monomial": monomial_text(monomial.coordinates),
                "coordinates": " ".join(map(str, monomial.coordinates)),
                "target": monomial.target,
                MIN_DEGREE: monomial.min_degree,
                "far": cell.far,
            }
            for name in theories:
                if name != MIN_DEGREE:
                    found = cell.theories.get(name)
                    row[name] = math.nan if found is None else float(found.coefficients[i])
            rows.append(
                row
                | {
                    "learned": float(means[i]),
                    "learned_low": float(low[i]),
                    "learned_high": float(high[i]),
                }
            )
    return pd.DataFrame(rows)


def theories_of(table: pd.DataFrame) -> list[str]:
    """Return the theories that predict an unseen error in some row of a cell table."""
    names = [c.removesuffix(ERROR) for c in table.columns if c.endswith(ERROR)]
    return [name for name in names if table[f"{name}{ERROR}"].notna().any()]


def rate_groups(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the title and cells of every task and model with at least three learning rates."""
    tasks = task_names(cells)
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in in_order(cells):
        if cell.learning_rate is not None and np.isfinite(cell.final("dropped_share")).any():
            key = (tasks[cell.name], cell.model_label, cell.optimizer, cell.size, cell.init_scale)
            groups.setdefault(key, []).append(cell)
    found = []
    for (task, model, _, _, scale), own in groups.items():
        if len({cell.learning_rate for cell in own}) >= FEWEST_RATES:
            several = sum(key[:2] == (task, model) for key in groups) > 1
            title = f"{task}, {model}" + (f", init scale {scale:g}" if several and scale else "")
            found.append((title, sorted(own, key=lambda cell: cell.learning_rate or 0.0)))
    return found


def leak_by_rate(cells: Sequence[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """Return learning rate [N] and dropped share [N] of the counted replicas of all cells."""
    rates = [np.full(len(cell.counted), cell.learning_rate) for cell in cells]
    return np.concatenate(rates), np.concatenate([cell.final("dropped_share") for cell in cells])


def is_unfitted(cell: Cell) -> bool:
    """Return whether the counted replicas have not finished to fit what they saw."""
    error = statistics.mean(cell.final("in_distribution_error"))
    return bool(error > UNFITTED_SHARE * cell.mean_square / 2)


def _settings(cell: Cell) -> dict[str, object]:
    return {
        "run": cell.name,
        "setting": cell.setting,
        "task": cell.task,
        "task_label": cell.task_label,
        "n": cell.n,
        "seen": cell.seen,
        "seen_fraction": cell.seen_fraction,
        "exact": cell.exact,
        "model": cell.model,
        "model_label": cell.model_label,
        "optimizer": cell.optimizer,
        "learning_rate": math.nan if cell.learning_rate is None else cell.learning_rate,
        "init_scale": math.nan if cell.init_scale is None else cell.init_scale,
        "size": cell.size,
        "loss": cell.loss,
        "step": int(cell.steps[-1]),
    }


def _row(cell: Cell, theories: Sequence[str]) -> dict[str, object]:
    row = _settings(cell) | {
        "points": cell.points,
        "training_samples": cell.training_samples,
        "replicas": len(cell.counted),
        "excluded": len(cell.excluded),
        "excluded_replicas": "; ".join(
            f"{replica.name} diverged at step {replica.diverged_at}" for replica in cell.excluded
        ),
        "target_mean_square": cell.mean_square,
        "unfitted": is_unfitted(cell),
        "far": cell.far,
    }
    for name in theories:
        row[f"{name}{ERROR}"] = cell.predicted_error(name)
    degree = cell.highest_degree
    row["highest_degree"] = math.nan if degree is None else degree
    above = None if degree is None else cell.target_degree_profile
    row["target_mass_above"] = math.nan if above is None else float(above[degree + 1 :].sum())
    for name, values in _values(cell, theories).items():
        low, high = statistics.mean_interval(values)
        row[name] = float(statistics.mean(values))
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    row["nearer"] = _nearer(row)
    return row


def _values(cell: Cell, theories: Sequence[str]) -> dict[str, np.ndarray]:
    """Return, by column, the values [c] of counted replicas of which the table has the mean."""
    unknown = np.full(len(cell.counted), np.nan)
    values = {name: cell.final(name) for name in _measures([cell])}
    values |= {name: unknown for name in MEASURES if name not in values}
    own = cell.predicted_error(MIN_DEGREE)
    own = own if own > 0 else math.nan  # nothing is unseen, or the MDI is the target
    values["distance_share"] = values["unseen_distance"] / own
    values["error_share"] = values["unseen_error"] / own
    values["nearer_margin"] = values["distance_share"] - values["error_share"]
    values["mass_above"] = cell.mass_above()
    for name in theories:
        missed = cell.unexplained.get(name)
        # Of the MDI it is a measure already, known without predictions too.
        absent = values["unseen_distance"] if name == MIN_DEGREE else unknown
        values[f"{UNEXPLAINED}{name}"] = absent if missed is None else missed[cell.counted]
    if WIDE_NTK in theories:
        pair = (values.get(f"{UNEXPLAINED}{name}", unknown) for name in (MIN_DEGREE, WIDE_NTK))
        values["unexplained_margin"] = np.subtract(*pair)
    return values


def _nearer(row: dict[str, object]) -> str:
    low, high = row["nearer_margin_low"], row["nearer_margin_high"]
    if row["far"] or math.isnan(low) or math.isnan(high):
        return ""
    return "target" if low > 0 else "MDI" if high < 0 else "neither"


def _measures(cells: Sequence[Cell]) -> list[str]:
    names = {name for cell in cells for name in cell.measures}
    return [name for name in MEASURES if name in names] + sorted(names - MEASURES.keys())


def _theories(cells: Sequence[Cell]) -> list[str]:
    names = {name for cell in cells for name in cell.theories}
    ordered = [name for name in KNOWN_THEORIES if name in names]
    return ordered + sorted(names - KNOWN_THEORIES.keys())
