"""The tables: iterations and errors of both arms, the stages, and every replica."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.number_text import exact
from pvr_jax.reporting import statistics
from pvr_jax.reporting.curriculum.arms import Arm, Pair, SignTest
from pvr_jax.reporting.tables import format_interval, format_number, seeds_text

TITLES = {
    "table": "Iterations to the end and error on the whole cube",
    "stages": "What every stage of the curriculum took",
}
_ERRORS = ("generalization_error", "in_distribution_error", "target_coefficient")
_SETTINGS = {
    "run": "run",
    "learning_rate": "learning rate",
    "init_scale": "init scale",
    "leap": "leap",
}


def summary_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return one row per pair: both arms' iterations to the end, and what they learned.

    Columns that end in `_normal` and `_curriculum` are of the two arms; `iterations` are means
    over the replicas that ended, errors over those that did not diverge, with the bounds of their
    95 % intervals in `_low` and `_high`, and the values of a few seeds, or two groups of seeds, as
    text in `_by_seed`. `ratio` is the geometric mean, over the seeds of which
    both ended, of the iterations of normal training over those of the curriculum.
    `learned` counts the replicas with less than half the best constant's error in the end, of
    `measured` of which the error is known.
    `fewer_iterations` of `iterations_compared` seeds took fewer with the curriculum, `p_iterations`
    is the exact two-sided sign test's; `smaller_error`, `errors_compared` and `p_error` the same
    for the error on the whole cube.
    """
    return pd.DataFrame([_row(pair) for pair in pairs])


def _row(pair: Pair) -> dict[str, object]:
    arm = pair.curriculum
    row: dict[str, object] = {
        "run": arm.directory.name,
        "task": arm.task,
        "model": arm.model,
        "optimizer": arm.optimizer,
        "learning_rate": arm.learning_rate,
        "init_scale": arm.init_scale,
        "n": arm.n,
        "samples": arm.samples,
        "leap": arm.leap,
        "seeds": len(pair.seeds),
    }
    for side, own in (("normal", pair.normal), ("curriculum", arm)):
        ended = np.where(own.finished, own.iterations_to_end, math.nan)
        row[f"ended_{side}"] = int(own.finished.sum())
        row[f"replicas_{side}"] = len(own.replicas)
        row[f"learned_{side}"] = int(own.learned.sum())
        row[f"measured_{side}"] = int(own.measured.sum())
        row[f"diverged_{side}"] = int((~own.counted).sum())
        row |= _mean(f"iterations_{side}", ended)
        row[f"iterations_{side}_by_seed"] = seeds_text(ended)
        for name in _ERRORS:
            row |= _mean(f"{name}_{side}", own.final(name))
        error = own.final("generalization_error")
        row[f"generalization_error_{side}_by_seed"] = seeds_text(error)
    row["ratio"], row["ratio_low"], row["ratio_high"] = pair.ratio
    row["ratio_by_seed"] = ratio_seeds(pair.log_ratios)
    row["ratio_seeds"] = int(np.isfinite(pair.log_ratios).sum())
    fewer, smaller = pair.fewer_iterations, pair.smaller_error
    return row | {
        "fewer_iterations": fewer.smaller,
        "iterations_compared": fewer.compared,
        "p_iterations": fewer.p,
        "smaller_error": smaller.smaller,
        "errors_compared": smaller.compared,
        "p_error": smaller.p,
    }


def ratio_seeds(log_ratios: np.ndarray) -> str:
    """Return `tables.seeds_text` of ratios; two groups are those of the logarithms [s].

    Shown is the geometric mean of a group.
    """
    groups = statistics.groups_of_seeds(log_ratios)
    if groups is None:
        few = np.isfinite(log_ratios).sum() < statistics.FEW_SEEDS
        return seeds_text(np.exp(log_ratios)) if few else ""
    return f" ({' and '.join(f'{len(g)} at {format_number(np.exp(g.mean()), 3)}' for g in groups)})"


def _mean(name: str, values: np.ndarray) -> dict[str, float]:
    """Return the mean of values [r] and its 95 % interval, as columns.

    Iterations and errors are positive; the learned share of the target can have any sign and size.
    """
    scale = "real" if name.startswith("target_coefficient") else "positive"
    low, high = statistics.mean_interval(values, scale)
    mean = float(statistics.mean(values))
    return {name: mean, f"{name}_low": float(low), f"{name}_high": float(high)}


def stage_table(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return one row per curriculum arm and radius: samples inside, and iterations of the stage.

    Means over the replicas that passed the stage, `passed` of `seeds`.
    """
    rows = []
    for arm in arms:
        if arm.is_normal:
            continue
        spent: dict[int, list[tuple[int, int]]] = {}
        for replica in arm.replicas:
            for stage, taken in replica.spent:
                spent.setdefault(stage.radius, []).append((stage.samples, taken))
        for radius, values in sorted(spent.items()):
            inside, taken = np.array(values, dtype=float).T
            rows.append(
                {
                    "run": arm.directory.name,
                    "learning_rate": arm.learning_rate,
                    "init_scale": arm.init_scale,
                    "samples": arm.samples,
                    "leap": arm.leap,
                    "radius": radius,
                    "passed": len(values),
                    "seeds": len(arm.replicas),
                    "inside": float(inside.mean()),
                    **_mean("iterations", taken),
                    "iterations_by_seed": seeds_text(taken),
                }
            )
    return pd.DataFrame(rows)


def replica_table(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return one row per replica, diverged and unfinished ones too, with its last values.

    `run` names the arm; `iterations` are all it took, `finished` says whether training ended;
    `constant_error` is the error of the best constant, ½ Var f.
    """
    rows = [
        {
            "run": arm.name,
            "replica": replica.name,
            "seed": replica.seed,
            "leap": arm.leap,
            "samples": arm.samples,
            "learning_rate": arm.learning_rate,
            "init_scale": arm.init_scale,
            "finished": replica.finished,
            "iterations": replica.iterations,
            "epochs": replica.epochs,
            "radius": replica.radius,
            "stage_iterations": " ".join(str(stage.iterations) for stage in replica.stages),
            "diverged_at": replica.diverged_at,
            "constant_error": arm.half_variance,
            **{name: float(arm.measures[name][-1, i]) for name in _ERRORS},
        }
        for arm in arms
        for i, replica in enumerate(arm.replicas)
    ]
    return pd.DataFrame(rows).astype({"diverged_at": "Int64", "epochs": "Int64"})


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary table as text; settings that all rows share are left out."""
    columns = _settings(table)
    columns["ended: normal, curriculum"] = _both(table, "ended", "replicas")
    for side in ("normal", "curriculum"):
        columns[f"iterations, {side} [95 %]"] = _counts(table, f"iterations_{side}")
    columns["ratio [95 %]"] = _intervals(table, "ratio")
    columns["fewer with curriculum"] = _shares(table, "fewer_iterations", "iterations_compared")
    columns["p"] = [format_p(value) for value in table["p_iterations"]]
    columns["learned: normal, curriculum"] = _both(table, "learned", "measured")
    for side in ("normal", "curriculum"):
        columns[f"error, {side} [95 %]"] = _intervals(table, f"generalization_error_{side}")
    columns["smaller with curriculum"] = _shares(table, "smaller_error", "errors_compared")
    columns["p of errors"] = [format_p(value) for value in table["p_error"]]
    return pd.DataFrame(columns, index=table.index)


def shown_stages(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of stages as text."""
    if table.empty:
        return table
    columns = _settings(table)
    columns["radius"] = table["radius"].astype(str).tolist()
    columns["passed"] = _shares(table, "passed", "seeds")
    columns["samples inside"] = [f"{value:.0f}" for value in table["inside"]]
    columns["iterations of the stage [95 %]"] = _counts(table, "iterations")
    return pd.DataFrame(columns, index=table.index)


def _settings(table: pd.DataFrame) -> dict[str, list[str]]:
    columns = {
        title: [value if isinstance(value, str) else exact(value) for value in table[name]]
        for name, title in _SETTINGS.items()
        if table[name].nunique() > 1
    }
    return columns | {"samples": table["samples"].astype(str).tolist()}


def _both(table: pd.DataFrame, name: str, whole: str) -> list[str]:
    """Return how many replicas of the two arms did something, such as "9, 10 of 10"."""
    sides = ("normal", "curriculum")
    counts = [table[f"{name}_{side}"] for side in sides]
    wholes = [table[f"{whole}_{side}"] for side in sides]
    return [
        f"{a}, {b} of {first}" if first == second else f"{a} of {first}, {b} of {second}"
        for a, b, first, second in zip(*counts, *wholes, strict=True)
    ]


def _intervals(table: pd.DataFrame, name: str) -> list[str]:
    """Return a mean with its interval, all with the decimals that give it three digits."""
    return _with_seeds(table, name, (10 * table[name].abs()).tolist())


def _counts(table: pd.DataFrame, name: str) -> list[str]:
    """Return a mean number of iterations with its interval, as whole numbers."""
    return _with_seeds(table, name, [1e3] * len(table))


def _with_seeds(table: pd.DataFrame, name: str, sizes: Sequence[float]) -> list[str]:
    """Return a column with its intervals, and beside them the seeds where a mean would mislead."""
    numbers = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()
    rows = zip(numbers, sizes, table[f"{name}_by_seed"], strict=True)
    return [f"{format_interval(*row, size)}{seeds}" for row, size, seeds in rows]


def _shares(table: pd.DataFrame, part: str, whole: str) -> list[str]:
    return [f"{a} of {b}" for a, b in zip(table[part], table[whole], strict=True)]


def format_p(value: float) -> str:
    """Return a p-value with two significant digits; a dash for NaN."""
    return format_number(value, 2) if value >= 0.0001 or math.isnan(value) else f"{value:.0e}"


def table_notes(pairs: Sequence[Pair], *tables: pd.DataFrame) -> list[str]:
    """Return the notes that belong under the tables."""
    thresholds = sorted({pair.normal.threshold for pair in pairs})
    last = sorted({int(pair.normal.epochs[-1]) for pair in pairs})
    notes = [
        "Iterations: optimiser steps until the mean batch loss of an epoch over all samples is "
        f"below {_words(thresholds)} (full squared error), within {_words(last)} epochs; means "
        "over the replicas that ended, of a stage over those that passed it.",
        "Ratio: iterations of normal training over those of the curriculum, geometric mean over "
        "the seeds of which both ended; above 1 the curriculum takes fewer.",
        "p: exact two-sided sign test over seeds; the arms of a seed share samples and initial "
        "parameters. A replica that did not end within its epochs, or diverged, counts as having "
        "taken more iterations than one that did; two that did not are a tie and left out.",
        "Errors are half squared errors over the whole cube at the end of training, of all "
        "replicas that did not diverge, ended or not. Learned: an error of less than half that of "
        "the best constant; the others have done no more than fit their samples.",
        f"[95 %]: {statistics.INTERVAL_WORDS}. The ratio's is that of its mean logarithm, over the "
        "seeds of which both ended; a stage's is over the replicas that passed it, ended or not.",
    ]
    if any(table.filter(regex="_by_seed$").ne("").any(axis=None) for table in tables):
        notes.append(
            f"In parentheses: the values of fewer than {statistics.FEW_SEEDS} seeds, or, where the "
            "seeds fall into two groups, the number and the mean of each, geometric for "
            "ratios: the mean of all describes neither."
        )
    arms = {id(arm): arm for pair in pairs for arm in (pair.normal, pair.curriculum)}.values()
    for arm in arms:
        names = "; ".join(
            f"{replica.name} diverged at epoch {replica.diverged_at}"
            for replica in arm.replicas
            if replica.diverged_at is not None
        )
        notes += [f"Excluded from errors and iterations to the end: {names}."] if names else []
    return notes


def _words(values: Sequence[float]) -> str:
    return " or ".join(f"{value:g}" for value in values)


def describe(test: SignTest, what: str) -> str:
    """Return a sign test in words, such as "fewer in 9 of 10 seeds (p = 0.021)"."""
    if test.compared == 0:
        return f"{what}: nothing to compare"
    return f"{what} in {test.smaller} of {test.compared} seeds (p = {format_p(test.p)})"
