"""The figures: coefficients, distances and degrees over training, the leak by learning rate."""

import math
import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pvr_jax.number_text import exact
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
from pvr_jax.reporting.unseen.cells import rate_groups
from pvr_jax.reporting.unseen.findings import rate_correlation
from pvr_jax.reporting.unseen.labels import arm_names, in_order, task_names
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, Cell
from pvr_jax.results import statistics

MOST_PANELS = 12
SHOWN_MONOMIALS = 6
SHOWN_DEGREES = 8
MEANINGFUL_SHARE = 0.01  # of the mass of the target; a degree that never reaches it is not drawn
DASHED = (0, (4, 2))


def drawings(cells: Sequence[Cell]) -> dict[str, Callable[[], Figure]]:
    """Return, by name, the functions that draw the figures which these cells have."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if any(cell.monomials for cell in cells):
        drawn["coefficients"] = lambda: coefficients(cells)
    drawn["distance"] = lambda: distance(cells)
    if any("distance" in cell.measures for cell in cells):
        drawn["coefficient_distance"] = lambda: coefficient_distance(cells)
    if rate_groups(cells):
        drawn["leak_by_rate"] = lambda: leak_by_rate(cells)
    if any(cell.highest_degree is not None for cell in cells):
        drawn["degree_profile"] = lambda: degree_profile(cells)
    return drawn


def shown_cells(cells: Sequence[Cell], first: Callable[[Cell], bool] | None = None) -> list[Cell]:
    """Return at most `MOST_PANELS` cells in order, one of every task and model before any second.

    Cells for which `first` holds come before all others when there are too many.
    """
    ordered = in_order(cells)
    tasks, arms = task_names(cells), arm_names(cells)
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for position, cell in enumerate(ordered):
        key = (tasks[cell.name], arms[cell.name])
        turns[key] = turns.get(key, 0) + 1
        later = first is not None and not first(cell)
        ranked.append((later, turns[key], position))
    return [ordered[position] for position in sorted(r[2] for r in sorted(ranked)[:MOST_PANELS])]


def coefficients(cells: Sequence[Cell]) -> Figure:
    """Draw the tracked coefficients over training, a panel per cell, with a legend each.

    Dotted: the coefficients of the MDI, except those that would dwarf what was learned. Bands
    reach from minimum to maximum over replicas.
    """
    chosen = shown_cells([cell for cell in cells if cell.monomials])
    figure, axes = _step_panels(chosen, "Fourier coefficient", width=3.9, height=2.2)
    for axis, cell in zip(axes, chosen, strict=True):
        values = cell.coefficients[:, cell.counted]
        shown = cell.monomials[:SHOWN_MONOMIALS]
        colours = ordered_colours(len(shown))
        scale = max([1.0, *(abs(m.target) for m in shown), *np.nan_to_num(np.abs(values)).flat])
        for i, own in enumerate(shown):
            if abs(own.min_degree) <= 3 * scale:
                axis.axhline(own.min_degree, color=colours[i], ls=":", lw=1)
            if np.isfinite(values).any():
                band(axis, cell.steps, values[:, :, i], colours[i], marker=MARKERS[i])
        if not values.shape[1]:
            _say_all_diverged(axis)
        handles = [
            Line2D(
                [],
                [],
                color=colours[i],
                marker=MARKERS[i],
                mec="white",
                mew=0.4,
                label=monomial(own.coordinates),
            )
            for i, own in enumerate(shown)
        ]
        axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))
    legend(
        figure,
        [
            Line2D([], [], color=GREY, label="learned: mean over replicas"),
            Line2D([], [], color=GREY, ls=":", lw=1, label="MDI"),
            Patch(facecolor=GREY, alpha=0.25, label="min to max over replicas"),
        ],
    )
    return figure


def distance(cells: Sequence[Cell]) -> Figure:
    """Draw unseen error and distance to the MDI over training, a panel per task, a line per model.

    Dotted: the MDI's own unseen error, which is its distance to the target.
    """
    return _over_training(
        cells,
        "half squared error\non the unseen inputs",
        {"unseen_error": ("-", "unseen error"), "unseen_distance": (DASHED, "distance to MDI")},
        lambda cell: cell.predicted_error(MIN_DEGREE),
        "MDI's own unseen error",
    )


def coefficient_distance(cells: Sequence[Cell]) -> Figure:
    """Draw half the squared distance of all coefficients to the MDI's, a panel per task.

    Dotted: that of the target's coefficients, where a network stands that has learned the target.
    """
    return _over_training(
        cells,
        "half squared distance\nof all coefficients",
        {"distance": ("-", "learned to MDI")},
        _whole_error,
        "target to MDI",
    )


def _whole_error(cell: Cell) -> float:
    found = cell.theories.get(MIN_DEGREE)
    return math.nan if found is None else found.generalization_error


def _over_training(
    cells: Sequence[Cell],
    label: str,
    measures: dict[str, tuple[str | tuple, str]],
    level: Callable[[Cell], float],
    level_label: str,
) -> Figure:
    """Draw measures (dashes and label by name) over training, a panel per task, a line per model.

    Dotted: a level of the task. The axis is logarithmic where the MDI is far from everything that
    networks learn.
    """
    tasks, names = task_names(cells), _line_names(cells)
    ordered = in_order(cells)
    shown = list(dict.fromkeys(tasks[cell.name] for cell in ordered))[:MOST_PANELS]
    ordered = [cell for cell in ordered if tasks[cell.name] in shown]
    lines = list(dict.fromkeys(names[cell.name] for cell in ordered))
    pairs = zip(_colours(len(lines)), _markers(len(lines)), strict=True)
    looks = dict(zip(lines, pairs, strict=True))
    labels = ("training step", label)
    margin = 0.5 + 0.1 * len(lines)
    figure, axes = panels(len(shown), 3, 3.2, 2.3, margin, labels, share_y=False)
    steps = np.unique(np.concatenate([cell.steps for cell in ordered]))
    for axis, task in zip(axes, shown, strict=True):
        own = [cell for cell in ordered if tasks[cell.name] == task]
        for cell in own:
            colour, marker = looks[names[cell.name]]
            for measure, (dashes, _) in measures.items():
                if measure not in cell.measures:
                    continue
                values = cell.measures[measure][:, cell.counted]
                if np.isfinite(values).any():
                    band(axis, cell.steps, values, colour, dashes, marker)
        for height in {level(cell) for cell in own}:
            if np.isfinite(height):
                axis.axhline(height, color=GREY, ls=":", lw=1.2, zorder=0)
        if any(cell.far for cell in own):
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_title(_wrapped(task), loc="left")
        step_axis(axis, steps)
    handles = [
        Line2D([], [], color=c, marker=m, mec="white", mew=0.4, label=plain(name))
        for name, (c, m) in looks.items()
    ]
    for dashes, name in measures.values():
        handles.append(Line2D([], [], color=GREY, ls=dashes, label=name))
    handles.append(Line2D([], [], color=GREY, ls=":", lw=1.2, label=level_label))
    legend(figure, handles)
    return figure


def leak_by_rate(cells: Sequence[Cell]) -> Figure:
    """Draw the share of dropped monomials that is learned against the learning rate.

    A panel per task and model with three rates or more; points are means with 95 % intervals,
    dots single replicas. 0: as the MDI, 1: as the target.
    """
    scans = rate_groups(cells)
    groups = scans[:MOST_PANELS]
    labels = ("learning rate", "dropped monomials learned")
    figure, axes = panels(len(groups), 3, 3.6, 2.5, 0.45, labels)
    for axis, (title, own) in zip(axes, groups, strict=True):
        axis.set_xscale("log")
        for level in (0, 1):
            axis.axhline(level, color=GREY, ls=":", lw=1, zorder=0)
        for cell in own:
            values = cell.final("dropped_share")
            values = values[np.isfinite(values)]
            if len(values) == 0:
                continue
            rate = cell.learning_rate
            centre, (low, high) = statistics.mean(values), statistics.mean_interval(values)
            axis.plot(
                np.full(len(values), rate * 1.13), values, "o", color=BLUE, ms=2.5, alpha=0.5, mew=0
            )
            bars = None
            if np.isfinite(low):
                bars = [[max(centre - low, 0.0)], [max(high - centre, 0.0)]]
            axis.errorbar(rate, centre, yerr=bars, color=BLUE, marker="o", capsize=2, lw=1)
        axis.margins(x=0.12)
        text, _ = rate_correlation(own, len(scans))
        axis.set_title(f"{_wrapped(title)}\nrank correlation {plain(text)}", loc="left")
    handles = [
        Line2D([], [], color=BLUE, marker="o", label="mean, 95 % interval"),
        Line2D([], [], color=BLUE, marker="o", ls="", ms=2.5, alpha=0.5, label="one replica"),
        Line2D([], [], color=GREY, ls=":", lw=1, label="0: as the MDI, 1: as the target"),
    ]
    legend(figure, handles)
    return figure


def degree_profile(cells: Sequence[Cell]) -> Figure:
    """Draw the learned mass of every degree over training, a panel per cell.

    Degrees up to the MDI's degree r are solid, those above it dashed: the MDI has none of them.
    Only degrees with a visible mass are drawn, at most eight.
    """
    usable = [cell for cell in cells if cell.highest_degree is not None]
    chosen = shown_cells(usable, first=lambda cell: cell.far)
    figure, axes = _step_panels(chosen, "Fourier mass of one degree", width=3.6, height=2.1)
    for axis, cell in zip(axes, chosen, strict=True):
        values = cell.degree_profiles[:, cell.counted]
        if not values.shape[1]:
            _say_all_diverged(axis)
            continue
        degrees = _visible_degrees(cell, values)
        colours = ordered_colours(len(degrees))
        handles = []
        for colour, marker, degree in zip(colours, _markers(len(degrees)), degrees, strict=True):
            dashes = DASHED if degree > cell.highest_degree else "-"
            band(axis, cell.steps, values[:, :, degree], colour, dashes, marker)
            label = f"{degree}"
            handles.append(
                Line2D([], [], color=colour, ls=dashes, marker=marker, mec="white", label=label)
            )
        axis.set_ylim(bottom=0)
        axis.legend(
            handles=handles,
            title=f"degree\n($r$ = {cell.highest_degree})",
            title_fontsize=7,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )
    legend(
        figure,
        [
            Line2D([], [], color=GREY, label="degree up to $r$"),
            Line2D([], [], color=GREY, ls=DASHED, label="above $r$: none in the MDI"),
            Patch(facecolor=GREY, alpha=0.25, label="min to max over replicas"),
        ],
    )
    return figure


def _visible_degrees(cell: Cell, values: np.ndarray) -> list[int]:
    """Return the degrees that hold a visible share of the mass, at most the largest eight.

    The highest one that the target has is always among them.
    """
    means = np.nan_to_num(statistics.mean(np.moveaxis(values, 1, -1)))  # [T, n + 1]
    largest = means.max(axis=0)
    whole = cell.mean_square if cell.mean_square > 0 else largest.sum()
    order = np.argsort(-largest, kind="stable")[:SHOWN_DEGREES]
    degrees = {int(degree) for degree in order if largest[degree] >= MEANINGFUL_SHARE * whole}
    if cell.target_degree_profile is not None and cell.target_degree_profile.any():
        degrees.add(int(np.flatnonzero(cell.target_degree_profile > MEANINGFUL_SHARE * whole)[-1]))
    return sorted(degrees or {int(order[0])})


def _step_panels(
    cells: Sequence[Cell], label: str, width: float, height: float
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel per cell over the training step, scales of their own."""
    titles = _titles(cells)
    labels = ("training step", label)
    figure, axes = panels(len(cells), 3, width, height, 0.4, labels, share_y=False)
    steps = np.unique(np.concatenate([cell.steps for cell in cells]))
    for axis, cell in zip(axes, cells, strict=True):
        axis.set_title(_wrapped(titles[cell.name]), loc="left")
        step_axis(axis, steps)
    return figure, axes


def _titles(cells: Sequence[Cell]) -> dict[str, str]:
    tasks, lines = task_names(cells), _line_names(cells)
    return {cell.name: f"{tasks[cell.name]}, {lines[cell.name]}" for cell in cells}


def _line_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the model of every cell, with rate and init scale where a task has several of it."""
    tasks, arms = task_names(cells), arm_names(cells)
    names = {}
    for cell in cells:
        own = [
            other
            for other in cells
            if (tasks[other.name], arms[other.name]) == (tasks[cell.name], arms[cell.name])
        ]
        parts = [arms[cell.name]]
        if len({other.learning_rate for other in own}) > 1 and cell.learning_rate is not None:
            parts.append(f"rate {exact(cell.learning_rate)}")
        if len({other.init_scale for other in own}) > 1 and cell.init_scale is not None:
            parts.append(f"init scale {exact(cell.init_scale)}")
        names[cell.name] = ", ".join(parts)
    return names


def _colours(count: int) -> list[str]:
    return [BLUE, VERMILION][:count] if count <= 2 else ordered_colours(count)


def _markers(count: int) -> list[str]:
    return [MARKERS[i % len(MARKERS)] for i in range(count)]


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(plain(text), 46))


def _say_all_diverged(axis: Axes) -> None:
    axis.annotate(
        "all replicas diverged", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY
    )
