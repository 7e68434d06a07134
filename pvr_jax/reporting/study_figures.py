"""Figures of a whole study: many tasks and models in one picture."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pvr_jax.reporting.comparison import arms_of
from pvr_jax.reporting.drawing import (
    BLUE,
    GREY,
    MARKERS,
    VERMILION,
    band,
    legend,
    monomial,
    ordered_colours,
    panels,
    plain,
    step_axis,
)
from pvr_jax.reporting.initialisation import REGRESSION, exponents
from pvr_jax.reporting.labels import arm_labels, natural, short_labels
from pvr_jax.reporting.matched import STABILITY
from pvr_jax.reporting.runs import Run
from pvr_jax.reporting.study import Study
from pvr_jax.reporting.tables import PREDICTION
from pvr_jax.reporting.twins import touched_pairs

MOST_PANELS = 9
MOST_TWINS = 4
WIDE_RANGE = 30  # errors that span more than this factor are drawn on logarithmic axes


def drawings(study: Study) -> dict[str, Callable[[], Figure]]:
    """Return, by name, the functions that draw the figures which a study has."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if study.comparison:
        cells = study.comparison.cells
        drawn["comparison"] = lambda: comparison(cells)
        if len(study.initialisation):
            drawn["initialisation"] = lambda: initialisation(cells)
        if len(study.twins):
            drawn["twins"] = lambda: twins(study.canonical)
    if study.matched:
        drawn["matched"] = lambda: matched(study.matched.cells)
    return drawn


def comparison(cells: pd.DataFrame) -> Figure:
    """Draw measured error against influence, one panel per arm, a point per task and frozen bit.

    `cells` are the comparison's. On the line, error = influence; bars are 95 % intervals. Hollow
    points: a pointer bit is frozen (column `pointer_bit`). With more than nine arms, the first
    nine.
    """
    arms = arms_of(cells)[:MOST_PANELS]
    tasks = list(dict.fromkeys(cells["task_short"]))
    looks = _looks(tasks)
    labels = ("Boolean influence (exact)", "generalization error")
    figure, axes = panels(len(arms), 3, 3.0, 2.8, 0.35 + 0.12 * len(tasks), labels)
    positive = cells["influence"][cells["influence"] > 0]
    wide = len(positive) > 0 and positive.max() / positive.min() > WIDE_RANGE
    least, most = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    ends = (least, most) if least < most else (least / 2, most)
    for axis, arm in zip(axes, arms, strict=True):
        own = cells[(cells["arm"] == arm) & (cells["replicas"] > 0)]
        if wide:
            own = own[(own["influence"] > 0) & (own["generalization_error"] > 0)]
            axis.set_xscale("log")
            axis.set_yscale("log")
        for row in own.itertuples():
            _point(
                axis,
                row.influence,
                _interval(row, "generalization_error"),
                *looks[row.task_short],
                hollow=row.pointer_bit,
            )
        # Through two points of the data: a line elsewhere would stretch the axes.
        axis.axline((ends[0],) * 2, (ends[1],) * 2, color=GREY, linewidth=0.8, zorder=0)
        axis.set_title(plain(arm), loc="left")
    handles = [_handle(*looks[task], plain(task)) for task in tasks]
    handles.append(Line2D([], [], color=GREY, linewidth=0.8, label="error = influence"))
    if cells["pointer_bit"].any():
        handles.append(_handle(GREY, "o", "pointer bit frozen", hollow=True))
    legend(figure, handles)
    return figure


def matched(cells: pd.DataFrame) -> Figure:
    """Draw the error, as a share of half the variance, against Stab_½, one panel per arm.

    `cells` are the matched table's. At 1 the network is no better than the best constant.
    """
    arms = arms_of(cells)[:MOST_PANELS]
    tasks = list(dict.fromkeys(cells["task_short"]))
    looks = _looks(tasks)
    labels = ("noise stability $\\mathrm{Stab}_{1/2}$ (exact)", "error / ½ Var f")
    figure, axes = panels(len(arms), 3, 3.6, 2.8, 0.35 + 0.12 * len(tasks), labels)
    for axis, arm in zip(axes, arms, strict=True):
        for row in cells[(cells["arm"] == arm) & (cells["replicas"] > 0)].itertuples():
            stability = getattr(row, STABILITY)
            _point(axis, stability, _interval(row, "relative_error"), *looks[row.task_short])
        axis.set_ylim(bottom=0)
        axis.set_title(plain(arm), loc="left")
    legend(figure, [_handle(*looks[task], plain(task)) for task in tasks])
    return figure


def twins(runs: Sequence[Run]) -> Figure:
    """Draw low-degree monomials and their twins over training, one panel per run and frozen bit.

    Solid and coloured by pair: low-degree monomials, at most the four largest. Dashed: their twins
    with the frozen bit. Bands reach from minimum to maximum over replicas; dotted lines are the
    low-degree prediction.
    """
    arms, tasks = arm_labels(runs), short_labels(run.task_label for run in runs)
    ordered = sorted(
        runs, key=lambda run: (natural(tasks[run.task_label]), natural(arms[run.name]))
    )
    drawn = [(run, bit) for run in ordered for bit in run.bits if touched_pairs(run, bit)]
    drawn = drawn[:MOST_PANELS]
    lows = list(
        dict.fromkeys(
            run.pairs[bit][i].low
            for run, bit in drawn
            for i in touched_pairs(run, bit)[:MOST_TWINS]
        )
    )
    colours = dict(zip(lows, ordered_colours(len(lows)), strict=True))
    labels = ("training step", "Fourier coefficient")
    figure, axes = panels(len(drawn), 3, 3.0, 2.6, 0.35 + 0.12 * len(lows), labels)
    for axis, (run, bit) in zip(axes, drawn, strict=True):
        coefficients = run.pair_coefficients.get(bit)
        for i in touched_pairs(run, bit)[:MOST_TWINS] if coefficients is not None else ():
            pair = run.pairs[bit][i]
            colour = colours[pair.low]
            axis.axhline(pair.limit, color=colour, ls=":", lw=1)
            band(axis, run.steps, coefficients[:, :, i, 0], colour)
            band(axis, run.steps, coefficients[:, :, i, 1], colour, linestyle=(0, (4, 2)))
        titles = [tasks[run.task_label]] if len(set(tasks.values())) > 1 else []
        titles += [arms[run.name]] if len(set(arms.values())) > 1 or not titles else []
        axis.set_title(plain(f"{', '.join(titles)}, bit {bit}"), loc="left")
        step_axis(axis, run.steps)
    handles = [
        Line2D([], [], color=colour, label=f"{monomial(low)} rises")
        for low, colour in colours.items()
    ]
    handles.append(Line2D([], [], color=GREY, ls=(0, (4, 2)), label="its twin with the frozen bit"))
    handles.append(Line2D([], [], color=GREY, ls=":", lw=1, label="low-degree prediction"))
    legend(figure, handles)
    return figure


def initialisation(cells: pd.DataFrame) -> Figure:
    """Draw the error against the init exponent, a panel per task and frozen bit, a line per depth.

    Dashed: the influence. Dotted: what theory predicts of linear regression, where the study has
    it. Cells whose replicas did not fit what they saw are left out: their errors would hide the
    others.
    """
    found = exponents(cells)
    scanned = cells[cells["run"].isin(found)]
    shown = list(dict.fromkeys(zip(scanned["task_short"], scanned["frozen_bit"], strict=True)))
    groups = cells.groupby(["task_short", "frozen_bit"], sort=False)
    groups = [(place, own) for place, own in groups if place in shown][:MOST_PANELS]
    ordered = sorted({name for name, _ in found.values()}, key=natural)
    several = cells["task_short"].nunique() > 1
    looks = _looks(ordered)
    labels = ("init exponent $\\alpha$ (weights ±fan_in$^{-\\alpha}$)", "generalization error")
    figure, axes = panels(len(groups), 3, 3.4, 2.8, 0.5, labels, share_y=False)
    regression = f"{PREDICTION}{REGRESSION}"
    for axis, ((task, bit), own) in zip(axes, groups, strict=True):
        for name in ordered:
            rows = own[own["run"].map(lambda run: found.get(run, ("", 0))[0]) == name]
            rows = rows.assign(alpha=rows["run"].map(lambda run: found[run][1]))
            rows = rows[(rows["replicas"] > 0) & (rows["fit"] == "finished")].sort_values("alpha")
            colour, marker = looks[name]
            axis.plot(rows["alpha"], rows["generalization_error"], color=colour)
            for row in rows.itertuples():
                _point(axis, row.alpha, _interval(row, "generalization_error"), colour, marker)
        axis.axhline(own["influence"].iloc[0], color=BLUE, ls="--", lw=1)
        if regression in own and own[regression].notna().any():
            axis.axhline(own[regression].mean(), color=VERMILION, ls=":", lw=1.2)
        axis.set_ylim(bottom=0)
        title = f"{task}, bit {bit} frozen" if several else f"bit {bit} frozen"
        axis.set_title(plain(title), loc="left")
    handles = [_handle(*looks[name], plain(name)) for name in ordered]
    handles.append(Line2D([], [], color=BLUE, ls="--", lw=1, label="influence"))
    handles.append(
        Line2D([], [], color=VERMILION, ls=":", lw=1.2, label="linear regression (exact)")
    )
    legend(figure, handles)
    return figure


def _looks(tasks: list[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker per task."""
    colours = ordered_colours(len(tasks))
    return {task: (colours[i], MARKERS[i % len(MARKERS)]) for i, task in enumerate(tasks)}


def _interval(row: tuple, name: str) -> tuple[float, float, float]:
    return getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high")


def _point(
    axis: Axes,
    x: float,
    interval: tuple[float, float, float],
    colour: str,
    marker: str,
    hollow: bool = False,
) -> None:
    mean, low, high = interval
    known = np.isfinite(low) and np.isfinite(high)
    axis.errorbar(
        x,
        mean,
        yerr=[[mean - low], [high - mean]] if known else None,
        color=colour,
        marker=marker,
        markerfacecolor="white" if hollow else colour,
        linewidth=0.9,
    )


def _handle(colour: str, marker: str, label: str, hollow: bool = False) -> Line2D:
    face = "white" if hollow else colour
    return Line2D([], [], color=colour, marker=marker, ls="", markerfacecolor=face, label=label)
