"""Figures of a whole study: many tasks and models in one picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pvr_jax.reporting.comparison import arms_of
from pvr_jax.reporting.drawing import GREY, MARKERS, legend, ordered_colours, panels, plain
from pvr_jax.reporting.matched import STABILITY

MOST_PANELS = 9
WIDE_RANGE = 30  # errors that span more than this factor are drawn on logarithmic axes


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
        axis.axline((0.1, 0.1), (1, 1), color=GREY, linewidth=0.8, zorder=0)
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
