"""The figures: error beside influence, degree profiles and tracked coefficients over training."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pvr_jax.reporting.drawing import (
    BLUE,
    GREY,
    MARKERS,
    PALE,
    VERMILION,
    band,
    legend,
    monomial,
    ordered_colours,
    panels,
    plain,
    step_axis,
)
from pvr_jax.reporting.runs import Pair, Run
from pvr_jax.reporting.twins import touched_pairs

SHOWN_PAIRS = 6
SHOWN_DEGREES = 8
MEANINGFUL_SHARE = 0.01  # of the target's mass; a degree that never reaches it is not drawn


def error_against_influence(runs: Sequence[Run], table: pd.DataFrame) -> Figure:
    """Draw, per run, the measured generalization error of every frozen bit beside its influence.

    Points are means with 95 % intervals, dots single replicas that did not diverge; a
    strip below shows the difference, which is often too small to see in the panel itself.
    """
    widest = max(len(run.bits) for run in runs)
    columns = 1 if len(runs) == 1 else 2 if widest > 11 or len(runs) in (2, 4) else 3
    width = {1: max(4.8, 0.34 * widest + 1.2), 2: max(3.8, 0.26 * widest + 0.9), 3: 3.4}[columns]
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(columns * width, 3.3 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[2.3, 1] * rows)
    titles = _panel_titles(runs)
    for i, run in enumerate(runs):
        row, column = divmod(i, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        bits = table[table["run"] == run.name].set_index("frozen_bit")
        _draw_errors(upper, run, bits)
        _draw_differences(lower, run, bits)
        title = "\n".join(textwrap.wrap(plain(titles[i]), int(width * 13)))
        upper.set_title(title, loc="left")
        if column == 0:
            upper.set_ylabel(f"generalization error\n({plain(run.loss)},\nwhole cube)")
            lower.set_ylabel("error −\ninfluence")
            figure.align_ylabels([upper, lower])
        if i + columns >= len(runs):
            lower.set_xlabel("frozen bit k (0-indexed)")
    handles = [
        Patch(facecolor=PALE, edgecolor=GREY, label="Boolean influence (exact)"),
        Line2D([], [], color=BLUE, marker="o", ls="-", label="measured: mean, 95 % interval"),
        Line2D([], [], color=BLUE, marker="o", ls="", ms=2.5, alpha=0.5, label="one replica"),
    ]
    legend(figure, handles)
    return figure


def _draw_errors(axis: Axes, run: Run, rows: pd.DataFrame) -> None:
    positions = range(len(run.bits))
    axis.bar(
        positions,
        [run.influences[bit] for bit in run.bits],
        width=0.72,
        facecolor=PALE,
        edgecolor=GREY,
        linewidth=0.6,
    )
    for position, bit in zip(positions, run.bits, strict=True):
        if not np.isfinite(rows.loc[bit, "generalization_error"]):
            axis.annotate(
                "all\ndiverged",
                (position, 0.02),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=5.5,
            )
    _draw_measured(axis, run, rows, relative=False)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelbottom=False)


def _draw_differences(axis: Axes, run: Run, rows: pd.DataFrame) -> None:
    axis.axhline(0, color=GREY, lw=0.8)
    _draw_measured(axis, run, rows, relative=True)
    axis.margins(y=0.2)


def _draw_measured(axis: Axes, run: Run, rows: pd.DataFrame, relative: bool) -> None:
    """Draw means, intervals and replicas, minus the influence where `relative`."""
    for position, bit in enumerate(run.bits):
        origin = run.influences[bit] if relative else 0.0
        values = run.final("generalization_error", bit) - origin
        values = values[np.isfinite(values)]
        if len(values) == 0:
            continue
        offsets = np.linspace(0.08, 0.28, len(values)) if len(values) > 1 else np.array([0.18])
        axis.plot(position + offsets, values, "o", color=BLUE, ms=2.5, alpha=0.5, mew=0)
        center, low, high = (
            rows.loc[bit, f"generalization_error{side}"] - origin for side in ("", "_low", "_high")
        )
        if np.isfinite(low):
            # The mean of equal values can lie outside the interval by one rounding.
            bars = [[max(center - low, 0.0)], [max(high - center, 0.0)]]
            axis.errorbar(
                position - 0.12, center, yerr=bars, color=BLUE, capsize=2, elinewidth=1, fmt="none"
            )
        axis.plot(position - 0.12, center, "o", color=BLUE, ms=3.2)
    axis.set_xticks(range(len(run.bits)), [str(bit) for bit in run.bits])
    padding = 0.6 + max(0.0, (6 - len(run.bits)) / 2)  # few bits: bars of the usual width
    axis.set_xlim(-padding, len(run.bits) - 1 + padding)
    axis.yaxis.set_major_locator(MaxNLocator(4 if relative else 5, steps=[1, 2, 2.5, 5, 10]))


def _panel_titles(runs: Sequence[Run]) -> list[str]:
    titles = [f"{run.task_label}, {run.model}, {run.optimizer}" for run in runs]
    return [
        f"{title} ({run.name.rsplit('-', 1)[-1]})" if titles.count(title) > 1 else title
        for title, run in zip(titles, runs, strict=True)
    ]


def degree_profile(run: Run) -> Figure:
    """Draw the weight of every degree of the learned function over training, a panel per bit.

    Lines are means over replicas that did not diverge, bands reach from their minimum to their
    maximum, dashed lines are the profile of the frozen target (the low-degree prediction).
    """
    shown = meaningful_degrees(run)
    colours = dict(zip(shown, ordered_colours(len(shown)), strict=True))
    columns = min(len(run.bits), 4 if len(run.bits) > 4 else 3)
    labels = ("training step", "Fourier weight $W^{=d}$")
    figure, axes = panels(len(run.bits), columns, 2.3, 1.8, 0.6, labels)
    for axis, bit in zip(axes, run.bits, strict=True):
        axis.set_title(f"bit {bit} frozen", loc="left")
        profiles = run.degree_profiles.get(bit)
        for degree in shown:
            frozen = run.frozen_degree_profiles.get(bit)
            if frozen is not None:
                axis.axhline(frozen[degree], color=colours[degree], ls=(0, (4, 3)), lw=0.7)
            if profiles is not None:
                marker = MARKERS[degree % len(MARKERS)]
                band(axis, run.steps, profiles[:, :, degree], colours[degree], marker=marker)
        if profiles is None:
            _say_all_diverged(axis)
        step_axis(axis, run.steps)
    handles = [
        Line2D([], [], color=colours[d], marker=MARKERS[d % len(MARKERS)], label=f"$d = {d}$")
        for d in shown
    ]
    handles += [
        Line2D([], [], color=GREY, ls=(0, (4, 3)), lw=0.7, label="frozen target"),
        Patch(facecolor=GREY, alpha=0.25, label="min to max over seeds"),
    ]
    legend(figure, handles)
    return figure


def meaningful_degrees(run: Run) -> list[int]:
    """Return the degrees that hold a visible share of the mass, at most the largest eight."""
    candidates = [
        run.frozen_degree_profiles[b] for b in run.bits if b in run.frozen_degree_profiles
    ]
    whole = max((profile.sum() for profile in candidates), default=0.0)
    candidates += [profile.mean(axis=1).max(axis=0) for profile in run.degree_profiles.values()]
    if not candidates:
        return []
    largest = np.nan_to_num(np.max(np.stack(candidates), axis=0))
    threshold = MEANINGFUL_SHARE * (whole or largest.sum())
    order = np.argsort(-largest, kind="stable")[:SHOWN_DEGREES]
    return sorted(int(degree) for degree in order if largest[degree] >= threshold) or [
        int(order[0])
    ]


def tracked_coefficients(run: Run, bit: int) -> Figure:
    """Draw the coefficients of low-degree monomials and their twins over training, a panel each.

    Dotted lines are the low-degree prediction: for the low-degree monomial its target
    coefficient plus the frozen value times that of its twin, and zero for the twin. Bands
    reach from minimum to maximum over seeds.
    """
    shown = touched_pairs(run, bit)[:SHOWN_PAIRS]
    labels = ("training step", "Fourier coefficient")
    figure, axes = panels(len(shown), 3, 2.4, 1.7, 0.6, labels)
    coefficients = run.pair_coefficients.get(bit)
    for axis, i in zip(axes, shown, strict=True):
        pair = run.pairs[bit][i]
        axis.set_title(_pair_title(pair), loc="left")
        axis.axhline(pair.limit, color=BLUE, ls=":", lw=1)
        axis.axhline(0, color=VERMILION, ls=":", lw=1)
        if coefficients is None:
            _say_all_diverged(axis)
        else:
            band(axis, run.steps, coefficients[:, :, i, 0], BLUE)
            band(axis, run.steps, coefficients[:, :, i, 1], VERMILION, linestyle=(0, (4, 2)))
        step_axis(axis, run.steps)
    handles = [
        Line2D([], [], color=BLUE, label="low-degree $T$"),
        Line2D([], [], color=VERMILION, ls=(0, (4, 2)), label=rf"twin $T \cup \{{{bit}\}}$"),
        Line2D([], [], color=GREY, ls=":", lw=1, label="low-degree prediction"),
        Patch(facecolor=GREY, alpha=0.25, label="min to max over seeds"),
    ]
    legend(figure, handles)
    return figure


def _pair_title(pair: Pair) -> str:
    return f"{monomial(pair.low)}  and  {monomial(pair.high)}"


def _say_all_diverged(axis: Axes) -> None:
    axis.annotate(
        "all replicas diverged", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY
    )
