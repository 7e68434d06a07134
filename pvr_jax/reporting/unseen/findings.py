"""Plain sentences that say what the numbers show, agreement and disagreement alike."""

import math
import re
from collections.abc import Sequence

import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.findings import count
from pvr_jax.reporting.tables import format_exact, format_number
from pvr_jax.reporting.unseen.cells import (
    ERROR,
    UNEXPLAINED,
    UNFITTED_SHARE,
    is_unfitted,
    leak_by_rate,
    rate_groups,
)
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, WIDE_NTK, Cell
from pvr_jax.reporting.unseen.tables import interval_text, row_interval

CLOSE_SHARE = 0.1  # of the MDI's own error; a distance below it is called close
NOTABLE_LEAK = 0.1  # of the difference between target and MDI; a coefficient off by more is named
MOST_LEAKS = 4
_MINUS = re.compile(r"(?<![^\s(\[])-(?=[0-9])")  # before a number; not that of an exponent


def overview(table: pd.DataFrame) -> str:
    """Return one paragraph over all cells of a cell table."""
    replicas, excluded = int(table["replicas"].sum()), int(table["excluded"].sum())
    sentences = [
        "The low-degree bias predicts the min-degree interpolator (MDI) on the unseen inputs; here "
        "it is set beside what the networks learned there, in "
        f"{count(len(table), 'setting')} (task, model and learning rate) with "
        f"{count(replicas, 'counted replica')}; {excluded or 'no'} "
        f"{'replica' if excluded == 1 else 'replicas'} diverged"
        f"{' and is excluded' if excluded == 1 else ' and are excluded' if excluded else ''}."
    ]
    judged = table[(table["nearer"] != "") & ~table["unfitted"]]
    if len(judged):
        counts = judged["nearer"].value_counts()
        close = int((judged["distance_share_high"] < CLOSE_SHARE).sum())
        sentences.append(
            f"Of {count(len(judged), 'setting')} that fitted what they saw and have an interval, "
            f"the networks end nearer to the MDI than to the target in {counts.get('MDI', 0)}, "
            f"nearer to the target in {counts.get('target', 0)}, and clearly nearer to neither in "
            f"{counts.get('neither', 0)}. The distance to the MDI is below "
            f"{100 * CLOSE_SHARE:.0f} % of the MDI's own unseen error, interval included, in "
            f"{close} of {len(judged)}."
        )
    else:
        sentences.append("In none of them can a fitted network's distance be judged.")
    if unfitted := int(table["unfitted"].sum()):
        sentences.append(
            f"{count(unfitted, 'setting')} did not finish the fit (†) and "
            f"{'is' if unfitted == 1 else 'are'} not counted here."
        )
    far = table["far"] & ~table["unfitted"]
    if far.any():
        sentences.append(
            f"In {count(int(far.sum()), 'setting')} the MDI is so large on the unseen inputs that "
            "no network comes near it; there the testable claim is the mass above its degree r."
        )
    return " ".join(sentences)


def all_findings(
    cells: Sequence[Cell], table: pd.DataFrame, coefficients: pd.DataFrame
) -> list[tuple[str, str]]:
    """Return title and paragraph of every cell, and of every scan of learning rates."""
    found = []
    for _, row in table.iterrows():
        own = coefficients
        if len(coefficients):
            own = coefficients[coefficients["run"] == row["run"]]
        found.append((cell_title(row), " ".join(_sentences(row, own))))
    found += [(f"Learning rates, {t}", rate_finding(own)) for t, own in rate_groups(cells)]
    return [(title, _MINUS.sub("−", text)) for title, text in found]


def cell_title(row: pd.Series) -> str:
    """Return what was learned, with what, at which learning rate."""
    rate = row["learning_rate"]
    parts = [row["task_short"], row["arm"]]
    parts += [f"learning rate {rate:g}"] if math.isfinite(rate) else []
    scale = row["init_scale"]
    parts += [f"init scale {scale:g}"] if math.isfinite(scale) and scale != 1 else []
    return ", ".join(parts)


def rate_correlation(cells: Sequence[Cell]) -> tuple[str, tuple[float, float]]:
    """Return Spearman's correlation of leak with learning rate as text, and its 95 % interval."""
    rates, leaks = leak_by_rate(cells)
    correlation = statistics.rank_correlation(rates, leaks)
    low, high = statistics.rank_correlation_interval(rates, leaks)
    if math.isnan(correlation):
        return "not defined", (low, high)
    bounds = "no interval" if math.isnan(low) else f"[{low:.2f}, {high:.2f}]"
    return f"{correlation:.2f} {bounds}", (low, high)


def rate_finding(cells: Sequence[Cell]) -> str:
    """Return whether the leak grows with the learning rate, over the replicas of these cells."""
    rates = {cell.learning_rate for cell in cells}
    replicas = sum(len(cell.counted) for cell in cells)
    text, bounds = rate_correlation(cells)
    sentences = [
        f"Over {count(replicas, 'replica')} at {count(len(rates), 'learning rate')}, Spearman's "
        f"rank correlation of the share of dropped monomials that is learned with the learning "
        f"rate is {text} (95 %, bootstrap over replicas): {_trend(bounds)}."
    ]
    unfitted = [cell for cell in cells if is_unfitted(cell)]
    if unfitted:
        names = ", ".join(f"{cell.learning_rate:g}" for cell in unfitted)
        sentences.append(f"The fit is not finished at learning rate {names}.")
        fitted = [cell for cell in cells if cell not in unfitted]
        if len({cell.learning_rate for cell in fitted}) > 2:
            text, bounds = rate_correlation(fitted)
            sentences.append(f"Without these it is {text}: {_trend(bounds)}.")
        else:
            sentences.append("Without these too few rates are left to say anything.")
    if excluded := sum(len(cell.excluded) for cell in cells):
        verb = "is" if excluded == 1 else "are"
        sentences.append(f"{count(excluded, 'replica')} diverged and {verb} not counted.")
    return " ".join(sentences)


def _trend(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if math.isnan(low):
        return "too few different values to say more"
    if low > 0:
        return "the leak grows with the learning rate"
    if high < 0:
        return "the leak shrinks as the learning rate grows"
    return "the interval holds 0, so no trend is shown"


def _sentences(row: pd.Series, coefficients: pd.DataFrame) -> list[str]:
    if row["replicas"] == 0:
        return ["All replicas diverged: nothing was measured."]
    sentences = [_fit(row)]
    own = row.get(f"{MIN_DEGREE}{ERROR}", math.nan)
    if math.isnan(own):
        sentences.append("The MDI is not known here, so there is nothing to judge.")
    elif own == 0:
        sentences.append("The MDI is the target here, so the unseen inputs tell them not apart.")
    elif row["far"]:
        sentences += _beyond_reach(row, own)
    else:
        sentences += _nearness(row, own)
        sentences += _leaks(row, coefficients)
    return sentences + _rival(row)


def _fit(row: pd.Series) -> str:
    error = format_number(row["in_distribution_error"], 3)
    limit = format_number(UNFITTED_SHARE * row["target_mean_square"] / 2, 3)
    if row["unfitted"]:
        return (
            f"The fit is not finished: the in-distribution error is {error}, more than "
            f"{100 * UNFITTED_SHARE:.0f} % of ½ E f² ({limit}), so what follows says little (†)."
        )
    return f"The seen inputs are fitted: in-distribution error {error}."


def _nearness(row: pd.Series, own: float) -> list[str]:
    verdict = {
        "MDI": "the networks end nearer to the MDI than to the target",
        "target": "the networks end nearer to the target than to the MDI",
        "neither": "the interval of the difference holds 0, so they end clearly nearer to neither",
        "": "with fewer than two replicas there is no interval, and nothing is judged",
    }[row["nearer"]]
    return [
        f"As shares of the MDI's own unseen error, {format_exact(own)}, the distance on the unseen "
        f"inputs is {row_interval(row, 'distance_share')} to the MDI and "
        f"{row_interval(row, 'error_share')} to the target: {verdict}."
    ]


def _beyond_reach(row: pd.Series, own: float) -> list[str]:
    sentences = [
        f"On the unseen inputs the MDI itself errs by {format_number(own, 3)}, "
        f"{format_number(2 * own / row['target_mean_square'], 3)} times the error of the zero "
        "function, and no network comes near it: the distance to it is "
        f"{format_number(row['distance_share'])} of that, the networks' unseen error "
        f"{row_interval(row, 'unseen_error')}."
    ]
    if math.isfinite(row["mass_above"]):
        degree = int(row["highest_degree"])
        sentences.append(
            f"Above its degree r = {degree} the MDI has no mass and the target "
            f"{format_exact(row['target_mass_above'])}; the networks learned "
            f"{row_interval(row, 'mass_above')}."
        )
    return sentences


def _leaks(row: pd.Series, coefficients: pd.DataFrame) -> list[str]:
    sentences = []
    if math.isfinite(row["dropped_share"]):
        sentences.append(
            f"Of the monomials that the MDI drops, {row_interval(row, 'dropped_share')} is learned "
            "(0 as the MDI, 1 as the target)."
        )
    if len(coefficients) == 0:
        return sentences
    apart = (coefficients["target"] - coefficients[MIN_DEGREE]).abs()
    off = (coefficients["learned"] - coefficients[MIN_DEGREE]).abs() > NOTABLE_LEAK * apart
    outside = (coefficients["learned_low"] > coefficients[MIN_DEGREE]) | (
        coefficients["learned_high"] < coefficients[MIN_DEGREE]
    )
    chosen = coefficients[(apart > 0) & off & outside]
    named = "; ".join(
        f"{c.monomial} at {interval_text(c.learned, c.learned_low, c.learned_high, scale=1.0)} "
        f"(MDI {format_exact(c.min_degree)}, target {format_exact(c.target)})"
        for c in chosen.head(MOST_LEAKS).itertuples()
    )
    if named:
        more = len(chosen) - MOST_LEAKS
        sentences.append(
            "Coefficients off the MDI by more than a tenth of its difference from the target: "
            f"{named}{f'; and {more} more' if more > 0 else ''}."
        )
    elif coefficients["learned_low"].notna().any():
        sentences.append(
            "No tracked coefficient is clearly off the MDI by more than a tenth of its difference "
            "from the target."
        )
    return sentences


def _rival(row: pd.Series) -> list[str]:
    """Return whether the MDI or the wide network's limit is nearer to what was learned."""
    pair = [row.get(f"{UNEXPLAINED}{name}", math.nan) for name in (MIN_DEGREE, WIDE_NTK)]
    if not all(map(math.isfinite, pair)):
        return []
    low, high = (row[f"unexplained_margin_{side}"] for side in ("low", "high"))
    numbers = f"{format_number(pair[1], 3)} against {format_number(pair[0], 3)}"
    if math.isnan(low):
        return [f"The wide NTK is at {numbers} of the MDI (no interval)."]
    if low > 0:
        return [f"The wide NTK leaves less unexplained than the MDI: {numbers}."]
    if high < 0:
        return [f"The wide NTK leaves more unexplained than the MDI: {numbers}."]
    return [f"The wide NTK leaves as much unexplained as the MDI, within the interval: {numbers}."]
