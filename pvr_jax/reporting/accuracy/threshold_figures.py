"""The figure of samples to the threshold against noise sensitivity."""

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from pvr_jax.reporting.accuracy.cells import Arm, Cell
from pvr_jax.reporting.accuracy.labels import panel_title
from pvr_jax.reporting.accuracy.shown import format_samples
from pvr_jax.reporting.accuracy.thresholds import (
    LEVEL,
    Threshold,
    correlations_of,
    least_thresholds,
    thresholds_of,
)
from pvr_jax.reporting.drawing import GREY, MARKERS, legend, panels, plain

# Okabe-Ito, of which the yellow is too pale for marks on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")


def points_of(cells: Sequence[Cell]) -> list[Threshold]:
    """Return the thresholds that can be drawn: those of tasks with a noise sensitivity."""
    return [
        t
        for t in least_thresholds(thresholds_of(cells), cells)
        if t.subtask.noise is not None and math.isfinite(t.mean[0])
    ]


def arms_with_points(cells: Sequence[Cell]) -> list[Arm]:
    """Return the arms that have two tasks or more to draw."""
    counts = Counter(t.arm for t in points_of(cells))
    return [arm for arm, count in counts.items() if count > 1]


def samples_against_noise(cells: Sequence[Cell]) -> Figure:
    """Draw the samples to the threshold against noise sensitivity, a panel per arm.

    A mark per task, a colour and shape per aggregation, numbers are complexities. Hollow marks with
    an arrow are censored: the task needs more.
    """
    arms = arms_with_points(cells)
    shown = [t for t in points_of(cells) if t.arm in arms]
    names = list(dict.fromkeys(t.subtask.aggregation or "" for t in shown))
    looks = {
        name: (_COLOURS[i % len(_COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(names)
    }
    labels = ("noise sensitivity", f"training samples\nto {LEVEL} i.i.d. accuracy")
    width = 3.1 if len(arms) > 1 else 4.8
    figure, axes = panels(len(arms), 3, width, 2.6, 0.5, labels)
    correlations = {c.arm: c for c in correlations_of(shown)}
    values = [t.subtask.noise.value for t in shown]
    apart = 0.035 * (max(values) - min(values))
    for axis, arm in zip(axes, arms, strict=True):
        _count_axis(axis, [bound for t in shown for bound in t.mean if math.isfinite(bound)])
        found = correlations.get(arm)
        words = []
        if found is not None and math.isfinite(found.value):
            words = [f"rank correlation {found.value:.2f}"]
        axis.set_title(plain(panel_title(arm, words, cells, width)), loc="left")
        own = [t for t in shown if t.arm == arm]
        for t, place in zip(own, _side_by_side(own, apart), strict=True):
            _mark(axis, t, place, looks[t.subtask.aggregation or ""])
        axis.margins(x=0.12)
    handles = [
        Line2D([], [], color=colour, marker=marker, ls="", ms=5, label=name)
        for name, (colour, marker) in looks.items()
        if name
    ]
    if not all(t.reached for t in shown):
        handles.append(
            Line2D([], [], color=GREY, marker="o", mfc="white", ls="", ms=5, label="not reached")
        )
    if handles:
        legend(figure, handles)
    return figure


def _count_axis(axis: Axes, values: Sequence[float]) -> None:
    """Make a logarithmic axis with room for the values and arrows, and labels within a decade."""
    axis.set_yscale("log")
    low, high = min(values), max(values)
    room = max(high / low, 2.0)
    low, high = low / room**0.2, high * room**0.3
    axis.set_ylim(low, high)
    subs = (1.0,) if high > 30 * low else (1.0, 2.0, 5.0)
    subs = (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 4 * low else subs
    axis.yaxis.set_major_locator(LogLocator(subs=subs))
    axis.yaxis.set_major_formatter(lambda value, _: format_samples(value))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _side_by_side(own: Sequence[Threshold], apart: float) -> list[float]:
    """Return where the marks stand: at their noise sensitivity, equal ones `apart`."""
    alike: dict[float, list[int]] = {}
    for index, t in enumerate(own):
        alike.setdefault(round(t.subtask.noise.value, 4), []).append(index)
    places = [t.subtask.noise.value for t in own]
    for group in alike.values():
        for i, index in enumerate(group):
            places[index] += (i - (len(group) - 1) / 2) * apart
    return places


def _mark(axis: Axes, found: Threshold, place: float, look: tuple[str, str]) -> None:
    colour, marker = look
    noise, (value, low, high) = found.subtask.noise, found.mean
    across = None if noise.exact else [[noise.value - noise.low], [noise.high - noise.value]]
    up = [[value - low], [high - value]] if math.isfinite(low) else None
    axis.errorbar(
        place,
        value,
        xerr=across,
        yerr=up,
        color=colour,
        marker=marker,
        mfc=colour if found.reached else "white",
        mec="white" if found.reached else colour,
        mew=0.4 if found.reached else 1.0,
        ms=5.5,
        ls="",
        elinewidth=0.9,
        capsize=1.8,
        zorder=3,
    )
    if not found.reached:
        axis.annotate(
            "",
            (place, value),
            xytext=(0, 16),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": colour, "lw": 1.0, "shrinkB": 3},
        )
    if found.subtask.complexity is not None:
        axis.annotate(
            str(found.subtask.complexity),
            (place, value),
            xytext=(5, -8),
            textcoords="offset points",
            fontsize=6.5,
            color=GREY,
        )
