"""The coefficients of monomials that training cannot tell apart, where the learned ones ended."""

from collections.abc import Sequence

import pandas as pd

from pvr_jax.reporting.labels import arm_labels, consecutive, natural, short_labels
from pvr_jax.reporting.runs import Pair, Run
from pvr_jax.reporting.tables import (
    BY_SEED,
    first_of_each,
    format_exact,
    format_interval,
    render_markdown,
    seeds_text,
)
from pvr_jax.results import statistics

# A target with more touched pairs, or a study with more rows, is better told by its leak.
MOST_PAIRS = 8
MOST_ROWS = 48

READING = (
    "Coefficients at the last evaluation, means over replicas with 95 % intervals. The "
    "low-degree monomial T and its twin with the frozen bit are one function on the seen inputs; "
    "the low-degree prediction gives T the sum of both target coefficients, and its twin zero."
)


def touched_pairs(run: Run, bit: int) -> list[int]:
    """Return the indices of the pairs whose twin is in the target, the largest first."""
    pairs = run.pairs.get(bit, ())
    touched = [i for i, pair in enumerate(pairs) if pair.target_high != 0]
    return sorted(touched, key=lambda i: (-abs(pairs[i].target_high), i))


def twin_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per run, frozen bit and touched pair, as numbers; empty where any has many.

    Columns: task_short, frozen_bit, arm, low and high (monomials as text), their target
    coefficients, the predicted `limit` of the low one, and for both the mean of the learned
    coefficient, the bounds of its interval and its `seeds_text` (low_mean, low_low, low_high,
    low_by_seed, high_mean, …).
    """
    arms = arm_labels(runs)
    tasks = short_labels(run.task_label for run in runs)
    rows = []
    for run in runs:
        for bit in run.bits:
            touched = touched_pairs(run, bit)
            if len(touched) > MOST_PAIRS:
                return pd.DataFrame()
            if bit not in run.pair_coefficients:  # all replicas diverged
                continue
            for i in touched:
                names = {"task_short": tasks[run.task_label], "frozen_bit": bit}
                rows.append(names | {"arm": arms[run.name]} | _row(run, bit, i))
    if len(rows) > MOST_ROWS:
        return pd.DataFrame()
    rows.sort(key=lambda row: (natural(row["task_short"]), row["frozen_bit"], natural(row["arm"])))
    return pd.DataFrame(rows)


def _row(run: Run, bit: int, i: int) -> dict[str, object]:
    pair: Pair = run.pairs[bit][i]
    final = run.pair_coefficients[bit][-1, :, i]
    row = {
        "low": monomial_text(pair.low),
        "high": monomial_text(pair.high),
        "target_low": pair.target_low,
        "target_high": pair.target_high,
        "limit": pair.limit,
    }
    for name, values in zip(("low", "high"), final.T, strict=True):
        lowest, highest = statistics.mean_interval(values)
        row |= {
            f"{name}_mean": float(statistics.mean(values)),
            f"{name}_low": float(lowest),
            f"{name}_high": float(highest),
            f"{name}{BY_SEED}": seeds_text(values),
        }
    return row


def monomial_text(coordinates: tuple[int, ...]) -> str:
    """Return a product of coordinates as text, such as "x6 x7"; runs of more than 3 shortened."""
    if not coordinates:
        return "1"
    parts = [
        f"x{run[0]}…x{run[-1]}" if len(run) > 3 else " ".join(f"x{i}" for i in run)
        for run in consecutive(coordinates)
    ]
    return " ".join(parts)


def shown_twins(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text."""
    keys = table[["task_short", "frozen_bit", "arm"]]
    first = keys.ne(keys.shift()).any(axis=1)
    return pd.DataFrame(
        {
            "task": first_of_each(table, "task_short"),
            "frozen bit": table["frozen_bit"].map(str).where(first, ""),
            "model": table["arm"].where(first, ""),
            "T": table["low"],
            "predicted": table["limit"].map(format_exact),
            "coefficient of T [95 %]": _intervals(table, "low"),
            "twin": table["high"],
            "in the target": table["target_high"].map(format_exact),
            "coefficient of twin [95 %]": _intervals(table, "high"),
        }
    )


def render_twins(table: pd.DataFrame) -> str:
    """Return the table as aligned Markdown with a title and how to read it."""
    title = "### Monomials that training cannot tell apart\n"
    return "\n".join([title, render_markdown(shown_twins(table)), READING, ""])


def _intervals(table: pd.DataFrame, twin: str) -> list[str]:
    columns = [table[f"{twin}_{part}"] for part in ("mean", "low", "high")]
    scales = table["limit"].abs().clip(lower=1)
    numbers = zip(*columns, scales, strict=True)
    return [
        format_interval(*row) + seeds
        for row, seeds in zip(numbers, table[f"{twin}{BY_SEED}"], strict=True)
    ]
