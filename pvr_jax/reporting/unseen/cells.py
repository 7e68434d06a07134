"""The results as numbers: a row per cell, per replica, and per cell and tracked monomial."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.number_text import exact
from pvr_jax.reporting.tables import BY_SEED, seeds_text
from pvr_jax.reporting.unseen.definitions import MEASURES, UNEXPLAINED, scale
from pvr_jax.reporting.unseen.definitions import THEORIES as KNOWN_THEORIES
from pvr_jax.reporting.unseen.labels import arm_names, in_order, monomial_text, task_names
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, WIDE_NTK, Cell
from pvr_jax.reporting.verdicts import nearest_theories
from pvr_jax.results import statistics

UNFITTED_SHARE = 0.01  # of ½ E f²; a larger in-distribution error: the fit is not finished
ERROR = "_unseen_error"  # after the name of a theory: what it predicts
CLOSE_SHARE = 0.1  # of the MDI's own error; a distance below it is called close
FEWEST_RATES = 3  # that say something of a trend


def cell_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return a row per cell, means over the replicas that did not diverge.

    `<name>_low` and `<name>_high` bound the 95 % interval of the mean (`statistics.mean_interval`),
    on the scale of `definitions.scale`. Errors are half squared errors at the last evaluation, and
    `<theory>_unseen_error` is exact. `<measure>_by_seed` is its `seeds_text`. `fit` is that of
    `fit`.

    Shares are of the MDI's own unseen error: `distance_share` the distance to the MDI,
    `error_share` that to the target, `nearer_margin` the first minus the second. `nearer` is "MDI"
    or "target" where the interval `judged_low` to `judged_high` of the margin leaves out 0, else
    "not told apart", and `close` says whether the distance is below `CLOSE_SHARE` with its whole
    interval; either's intervals hold for all cells at once with 95 %. `nearer` is empty where
    nothing is judged: before the fit is finished, where the MDI is `far` or the target itself,
    without an interval, and for `two_groups` of seeds, which have no mean to speak of.

    `unexplained_<theory>` is ½E(g − theory)² over the unseen inputs, `rival_margin` that of the MDI
    minus that of the wide NTK, replica by replica, and `nearest` the theories that leave the least
    (`verdicts.nearest_theories`), where the fit is finished. `not_computed` says why there is no
    MDI.
    """
    tasks, arms = task_names(cells), arm_names(cells)
    theories = _theories(cells)
    confidence = judged_confidence(cells)
    return pd.DataFrame(
        [
            {"task_short": tasks[cell.name], "arm": arms[cell.name]}
            | _row(cell, theories)
            | _judged(cell, confidence)
            | {"nearest": _nearest(cell, theories)}
            for cell in in_order(cells)
        ]
    )


def judged_confidence(cells: Sequence[Cell]) -> float:
    """Return the confidence of the interval that judges a cell, so that all hold with 95 %."""
    return statistics.simultaneous(
        sum(np.isfinite(_margins(cell)).sum() > 1 and not cell.far for cell in cells)
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
    `learned_high` bound its 95 % interval, `learned_by_seed` is its `seeds_text`; `judged_low` and
    `judged_high` bound intervals that hold for all monomials of the cell at once with 95 %.
    """
    tasks, arms, theories = task_names(cells), arm_names(cells), _theories(cells)
    rows = []
    for cell in in_order(cells):
        values = cell.coefficients[-1, cell.counted].T  # [M, c]
        means = statistics.mean(values)
        low, high = statistics.mean_interval(values)
        confidence = statistics.simultaneous(len(cell.monomials))
        judged = statistics.mean_interval(values, confidence=confidence)
        for i, monomial in enumerate(cell.monomials):
            row = {"task_short": tasks[cell.name], "arm": arms[cell.name]} | _settings(cell)
            row |= {
                "monomial": monomial_text(monomial.coordinates),
                "coordinates": " ".join(map(str, monomial.coordinates)),
                "target": monomial.target,
                MIN_DEGREE: monomial.min_degree,
                "far": cell.far,
                "fit": fit(cell),
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
                    f"learned{BY_SEED}": seeds_text(values[i]),
                    "judged_low": float(judged[0][i]),
                    "judged_high": float(judged[1][i]),
                }
            )
    return pd.DataFrame(rows)


def theories_of(table: pd.DataFrame) -> list[str]:
    """Return the theories that predict an unseen error in some row of a cell table."""
    names = [c.removesuffix(ERROR) for c in table.columns if c.endswith(ERROR)]
    return [name for name in names if table[f"{name}{ERROR}"].notna().any()]


def rate_groups(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the title and cells of every task and model with at least three learning rates.

    The cells of a scan differ in nothing else that tells arms apart, so no rate is in it twice.
    """
    tasks, arms = task_names(cells), arm_names(cells)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in in_order(cells):
        if cell.learning_rate is not None and np.isfinite(cell.final("dropped_share")).any():
            scale = f"init scale {exact(cell.init_scale)}" if cell.init_scale else ""
            model = (tasks[cell.name], cell.model_label)
            key = (*model, arms[cell.name], scale, cell.size, cell.optimizer)
            groups.setdefault(key, []).append(cell)
    found = []
    for key, own in groups.items():
        if len({cell.learning_rate for cell in own}) >= FEWEST_RATES:
            alike = zip(*(other for other in groups if other[:2] == key[:2]), strict=True)
            differing = [text for text, all_ in zip(key, alike, strict=True) if len(set(all_)) > 1]
            # A label that differs says the model, and what else it holds.
            words = [key[0], key[2] if key[2] in differing else key[1]]
            words += [text for text in differing if text and text not in ", ".join(words)]
            ordered = sorted(own, key=lambda cell: cell.learning_rate or 0.0)
            found.append((", ".join(words), ordered))
    return found


def leak_by_rate(cells: Sequence[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """Return learning rate [N] and dropped share [N] of the counted replicas of all cells."""
    rates = [np.full(len(cell.counted), cell.learning_rate) for cell in cells]
    return np.concatenate(rates), np.concatenate([cell.final("dropped_share") for cell in cells])


def fit(cell: Cell) -> str:
    """Return whether the counted replicas fitted what they saw, in the mean.

    "finished" where the in-distribution error is at most `UNFITTED_SHARE` of ½ E f², else
    "unfinished"; "not measured" where either is missing, if only of one replica.
    """
    errors = cell.final("in_distribution_error")
    error = float(errors.mean()) if len(errors) else math.nan
    if not (math.isfinite(error) and math.isfinite(cell.mean_square)):
        return "not measured"
    return "finished" if error <= UNFITTED_SHARE * cell.mean_square / 2 else "unfinished"


def cell_shares(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Return distance to the MDI [c] and unseen error [c] over the MDI's own unseen error.

    NaN where that is not known or 0: nothing is unseen, or the MDI is the target.
    """
    own = math.nan if cell.is_target else cell.predicted_error(MIN_DEGREE)
    return cell.final("unseen_distance") / own, cell.final("unseen_error") / own


def _margins(cell: Cell) -> np.ndarray:
    """Return the distance to the MDI minus that to the target [c], as shares."""
    distance, error = cell_shares(cell)
    return distance - error


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
        "fit": fit(cell),
        "far": cell.far,
        "mdi_is_target": cell.is_target,
        "not_computed": cell.not_defined.get(MIN_DEGREE, "").rstrip("."),
    }
    for name in theories:
        row[f"{name}{ERROR}"] = cell.predicted_error(name)
    degree = cell.highest_degree
    row["highest_degree"] = math.nan if degree is None else degree
    above = None if degree is None else cell.target_degree_profile
    row["target_mass_above"] = math.nan if above is None else float(above[degree + 1 :].sum())
    for name, values in _values(cell, theories).items():
        low, high = statistics.mean_interval(values, scale(name))
        row[name] = float(statistics.mean(values))
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
        row[f"{name}{BY_SEED}"] = seeds_text(values)
    return row


def _values(cell: Cell, theories: Sequence[str]) -> dict[str, np.ndarray]:
    """Return, by column, the values [c] of counted replicas of which the table has the mean."""
    unknown = np.full(len(cell.counted), np.nan)
    values = {name: cell.final(name) for name in _measures([cell])}
    values |= {name: unknown for name in MEASURES if name not in values}
    values["distance_share"], values["error_share"] = cell_shares(cell)
    values["nearer_margin"] = _margins(cell)
    values["mass_above"] = cell.mass_above()
    left = {name: _unexplained(cell, name) for name in theories}
    values |= {f"{UNEXPLAINED}{name}": missed for name, missed in left.items()}
    if {MIN_DEGREE, WIDE_NTK} <= left.keys():
        values["rival_margin"] = left[MIN_DEGREE] - left[WIDE_NTK]
    return values


def _unexplained(cell: Cell, theory: str) -> np.ndarray:
    """Return what a theory leaves unexplained of counted replicas [c], NaN if unknown."""
    if theory in cell.unexplained:
        return cell.unexplained[theory][cell.counted]
    # Of the MDI it is a measure already, known without predictions too.
    return cell.final("unseen_distance" if theory == MIN_DEGREE else "")


def _judged(cell: Cell, confidence: float) -> dict[str, object]:
    margins, (distance, _) = _margins(cell), cell_shares(cell)
    low, high = statistics.mean_interval(margins, confidence=confidence)
    _, largest = statistics.mean_interval(distance, scale("distance_share"), confidence)
    one_group = statistics.can_be_judged(margins)
    verdict = {"below": "MDI", "above": "target", "inside": "not told apart"}.get(
        statistics.against(low, high, 0.0), ""
    )
    if fit(cell) != "finished" or cell.far or not one_group:
        verdict = ""
    return {
        "judged_low": float(low),
        "judged_high": float(high),
        "two_groups": bool(np.isfinite(low) and not one_group),
        "nearer": verdict,
        "close": bool(verdict) and bool(largest < CLOSE_SHARE),
    }


def _nearest(cell: Cell, theories: Sequence[str]) -> str:
    """Return the names of the theories that leave the least unexplained; none before the fit."""
    left = {name: _unexplained(cell, name) for name in theories}
    left = {name: values for name, values in left.items() if np.isfinite(values).any()}
    if fit(cell) != "finished" or not all(map(statistics.can_be_judged, left.values())):
        return ""
    return " ".join(nearest_theories({name: values[None] for name, values in left.items()}))


def _measures(cells: Sequence[Cell]) -> list[str]:
    names = {name for cell in cells for name in cell.measures}
    return [name for name in MEASURES if name in names] + sorted(names - MEASURES.keys())


def _theories(cells: Sequence[Cell]) -> list[str]:
    names = {name for cell in cells for name in cell.theories}
    ordered = [name for name in KNOWN_THEORIES if name in names]
    return ordered + sorted(names - KNOWN_THEORIES.keys())
