"""Plain sentences that say what the numbers show, agreement and disagreement alike."""

import math
import re
from collections.abc import Sequence

import pandas as pd

from pvr_jax.number_text import exact
from pvr_jax.reporting.findings import count
from pvr_jax.reporting.tables import format_exact, format_number
from pvr_jax.reporting.unseen.cells import (
    CLOSE_SHARE,
    ERROR,
    FEWEST_RATES,
    UNFITTED_SHARE,
    fit,
    leak_by_rate,
    rate_groups,
)
from pvr_jax.reporting.unseen.definitions import UNEXPLAINED
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, WIDE_NTK, Cell
from pvr_jax.reporting.unseen.tables import interval_text, row_interval
from pvr_jax.results import statistics

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
    judged = table[table["nearer"] != ""]
    if len(judged):
        counts = judged["nearer"].value_counts()
        sentences.append(
            f"Of {count(len(judged), 'setting')} that fitted what they saw and have an interval, "
            f"the networks end nearer to the MDI than to the target in {counts.get('MDI', 0)}, "
            f"nearer to the target in {counts.get('target', 0)}, and the two distances are not "
            f"told apart in {counts.get('not told apart', 0)}. The distance to the MDI is below "
            f"{100 * CLOSE_SHARE:.0f} % of the MDI's own unseen error, interval included, in "
            f"{int(judged['close'].sum())} of {len(judged)}. The intervals of either statement "
            "hold for all settings at once with 95 %."
        )
    else:
        sentences.append("In none of them can a fitted network's distance be judged.")
    return " ".join([*sentences, *_unjudged(table)])


def _unjudged(table: pd.DataFrame) -> list[str]:
    """Return what is not judged in a cell table, by reason."""
    sentences = []
    for state, words in (("unfinished", "did not finish the fit (†)"), ("not measured", "")):
        if found := int((table["fit"] == state).sum()):
            are = "is" if found == 1 else "are"
            words = words or f"{'has' if found == 1 else 'have'} no measure of the fit"
            sentences.append(f"{count(found, 'setting')} {words} and {are} not counted here.")
    if missing := int((table["not_computed"] != "").sum()):
        sentences.append(f"In {count(missing, 'setting')} the MDI is not computed.")
    if len(same := table[table["mdi_is_target"]]):
        names = "; ".join(cell_title(row) for _, row in same.iterrows())
        sentences.append(
            f"In {count(len(same), 'setting')} the MDI is the target, so nothing is a share of its "
            f"error and nothing is judged: {names}."
        )
    if groups := int(table["two_groups"].sum()):
        sentences.append(
            f"In {count(groups, 'setting')} the seeds fall into two groups, which have no mean to "
            "judge."
        )
    far = table["far"] & (table["fit"] == "finished")
    if far.any():
        sentences.append(
            f"In {count(int(far.sum()), 'setting')} the MDI is so large on the unseen inputs that "
            "no network comes near it; there the testable claim is the mass above its degree r."
        )
    return sentences


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
    scans = rate_groups(cells)
    found += [(f"Learning rates, {t}", rate_finding(own, len(scans))) for t, own in scans]
    return [(title, _MINUS.sub("−", text)) for title, text in found]


def cell_title(row: pd.Series) -> str:
    """Return what was learned, with what, at which learning rate."""
    rate = row["learning_rate"]
    parts = [row["task_short"], row["arm"]]
    parts += [f"learning rate {exact(rate)}"] if math.isfinite(rate) else []
    scale = row["init_scale"]
    parts += [f"init scale {exact(scale)}"] if math.isfinite(scale) and scale != 1 else []
    return ", ".join(parts)


def fitted(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose fit is finished."""
    return [cell for cell in cells if fit(cell) == "finished"]


def rate_correlation(cells: Sequence[Cell], scans: int = 1) -> tuple[str, tuple[float, float]]:
    """Return Spearman's correlation of leak with learning rate as text, and its interval.

    It is that of the cells whose fit is finished. The intervals of all `scans` of learning rates
    hold at once with 95 %.
    """
    cells = fitted(cells)
    if len({cell.learning_rate for cell in cells}) < FEWEST_RATES:
        return "not defined", (math.nan, math.nan)
    rates, leaks = leak_by_rate(cells)
    correlation = statistics.rank_correlation(rates, leaks)
    confidence = statistics.simultaneous(scans)
    low, high = statistics.rank_correlation_interval(rates, leaks, confidence)
    if math.isnan(correlation):
        return "not defined", (low, high)
    bounds = "no interval" if math.isnan(low) else f"[{low:.2f}, {high:.2f}]"
    return f"{correlation:.2f} {bounds}", (low, high)


def rate_finding(cells: Sequence[Cell], scans: int = 1) -> str:
    """Return whether the leak grows with the learning rate, over the replicas of these cells.

    Cells whose fit is not finished are named and left out; see `rate_correlation`.
    """
    sentences = []
    for state, words in (("unfinished", "not finished"), ("not measured", "not measured")):
        if names := [exact(cell.learning_rate) for cell in cells if fit(cell) == state]:
            sentences.append(
                f"The fit is {words} at learning rate {', '.join(names)}, which is left out."
            )
    own = fitted(cells)
    rates = {cell.learning_rate for cell in own}
    if len(rates) < FEWEST_RATES:
        return " ".join([*sentences, "There are too few rates left to say anything."])
    text, bounds = rate_correlation(own, scans)
    at_once = f" for all {scans} scans at once" if scans > 1 else ""
    sentences.append(
        f"Over {count(sum(len(cell.counted) for cell in own), 'replica')} at "
        f"{count(len(rates), 'learning rate')}, Spearman's rank correlation of the share of "
        f"dropped monomials that is learned with the learning rate is {text} (95 %{at_once}, "
        f"Fisher's z, replicas taken as independent): {_trend(bounds)}."
    )
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
    if row["not_computed"]:
        sentences.append(f"The MDI is not computed: {row['not_computed']}.")
    elif math.isnan(own):
        sentences.append("What theory predicts here is not known, so there is nothing to judge.")
    elif row["mdi_is_target"]:
        sentences.append(
            "The MDI is the target here, so the unseen inputs tell them not apart; the networks' "
            f"unseen error is {_measured(row, 'unseen_error')}."
        )
    elif row["far"]:
        sentences += _beyond_reach(row, own)
    else:
        sentences += _nearness(row, own)
        sentences += _leaks(row, coefficients)
    return sentences + _rival(row)


def _fit(row: pd.Series) -> str:
    error = format_number(row["in_distribution_error"], 3)
    limit = format_number(UNFITTED_SHARE * row["target_mean_square"] / 2, 3)
    if row["fit"] == "not measured":
        return (
            "Whether the seen inputs are fitted was not measured, so nothing is judged: "
            f"in-distribution error {error}, {100 * UNFITTED_SHARE:.0f} % of ½ E f² {limit}."
        )
    if row["fit"] == "unfinished":
        return (
            f"The fit is not finished: the in-distribution error is {error}, more than "
            f"{100 * UNFITTED_SHARE:.0f} % of ½ E f² ({limit}), so nothing is judged (†)."
        )
    return f"The seen inputs are fitted: in-distribution error {error}."


def _nearness(row: pd.Series, own: float) -> list[str]:
    verdict = {
        "MDI": ": the networks end nearer to the MDI than to the target",
        "target": ": the networks end nearer to the target than to the MDI",
        "not told apart": ", which are not told apart",
        "": "",
    }[row["nearer"]]
    if row["two_groups"]:
        verdict = ". The seeds fall into two groups, so nothing is judged"
    elif row["fit"] == "finished" and not verdict:
        verdict = ". There is no interval of the difference, so nothing is judged"
    return [
        f"As shares of the MDI's own unseen error, {format_exact(own)}, the distance on the unseen "
        f"inputs is {_measured(row, 'distance_share')} to the MDI and "
        f"{_measured(row, 'error_share')} to the target{verdict}."
    ]


def _measured(row: pd.Series, name: str) -> str:
    return row_interval(row, name) if math.isfinite(row[name]) else "not measured"


def _beyond_reach(row: pd.Series, own: float) -> list[str]:
    sentences = [
        f"On the unseen inputs the MDI itself errs by {format_number(own, 3)}, "
        f"{format_number(2 * own / row['target_mean_square'], 3)} times the error of the zero "
        "function, and no network comes near it: the distance to it is "
        f"{format_number(row['distance_share'])} of that, the networks' unseen error "
        f"{_measured(row, 'unseen_error')}."
    ]
    if math.isfinite(row["mass_above"]):
        degree = int(row["highest_degree"])
        sentences.append(
            f"Above its degree r = {degree} the MDI has no mass and the target "
            f"{format_exact(row['target_mass_above'])}; the networks learned "
            f"{_measured(row, 'mass_above')}."
        )
    return sentences


def _leaks(row: pd.Series, coefficients: pd.DataFrame) -> list[str]:
    sentences = []
    if math.isfinite(row["dropped_share"]):
        sentences.append(
            f"Of the monomials that the MDI drops, {_measured(row, 'dropped_share')} is learned "
            "(0 as the MDI, 1 as the target)."
        )
    if len(coefficients) == 0 or row["fit"] != "finished":
        return sentences
    if not coefficients["judged_low"].notna().any():
        return sentences
    apart = (coefficients["target"] - coefficients[MIN_DEGREE]).abs()
    near = NOTABLE_LEAK * apart
    off = (coefficients["judged_low"] > coefficients[MIN_DEGREE] + near) | (
        coefficients["judged_high"] < coefficients[MIN_DEGREE] - near
    )
    chosen = coefficients[(apart > 0) & off]
    named = "; ".join(
        f"{c.monomial} at {interval_text(c.learned, c.learned_low, c.learned_high, scale=1.0)} "
        f"(MDI {format_exact(c.min_degree)}, target {format_exact(c.target)})"
        for c in chosen.head(MOST_LEAKS).itertuples()
    )
    at_once = f"by intervals that hold for all {len(coefficients)} at once"
    if named:
        more = len(chosen) - MOST_LEAKS
        sentences.append(
            "Coefficients off the MDI by more than a tenth of its difference from the target, "
            f"{at_once}: {named}{f'; and {more} more' if more > 0 else ''}."
        )
    else:
        sentences.append(
            "No tracked coefficient is shown to be off the MDI by more than a tenth of its "
            f"difference from the target, {at_once}."
        )
    return sentences


def _rival(row: pd.Series) -> list[str]:
    """Return whether the MDI or the wide network's limit is nearer to what was learned."""
    pair = [row.get(f"{UNEXPLAINED}{name}", math.nan) for name in (MIN_DEGREE, WIDE_NTK)]
    if not all(map(math.isfinite, pair)):
        return []
    mdi, ntk = (format_number(value, 3) for value in pair)
    numbers = f"{ntk} against {mdi}"
    return [
        {
            WIDE_NTK: f"The wide NTK leaves less unexplained than the MDI: {numbers}.",
            MIN_DEGREE: f"The wide NTK leaves more unexplained than the MDI: {numbers}.",
            "": f"The wide NTK leaves {ntk} unexplained and the MDI {mdi}; nothing is judged.",
        }.get(
            row["nearest"],
            f"What the wide NTK and the MDI leave unexplained is not told apart: {numbers}.",
        )
    ]
