"""The figures of accuracy: over training-set sizes, withheld permutations and training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from pvr_jax.reporting.accuracy.cells import (
    PARTS,
    RETRIEVAL,
    Arm,
    Cell,
    Subtask,
    arms_of,
    function_groups,
    largest_sets,
    least_withheld,
    mean_interval,
)
from pvr_jax.reporting.accuracy.labels import panel_title
from pvr_jax.reporting.accuracy.shown import grouped
from pvr_jax.reporting.drawing import (
    GREY,
    MARKERS,
    legend,
    ordered_colours,
    panels,
    plain,
    step_axis,
)

WITHHELD_DASHES = (0, (4, 2))
_ACCURACY = "accuracy, %"

Group = tuple[Arm, str | None, list[Cell]]


def size_groups(cells: Sequence[Cell]) -> list[Group]:
    """Return the groups with two or more sizes of training sets."""
    fixed = [cell for cell in cells if cell.samples is not None]
    groups = [
        (arm, name, own if name is None else least_withheld(own))
        for arm, name, own in function_groups(fixed)
    ]
    return [g for g in groups if len({cell.samples for cell in g[2]}) > 1]


def accuracy_over_samples(cells: Sequence[Cell]) -> Figure:
    """Draw final accuracy against the size of the training set, a line per complexity.

    Of tasks without aggregation the lines are those with and without holdout, and withheld
    accuracy is dashed. Error bars are 95 % intervals of means over seeds.
    """
    groups = size_groups(cells)
    looks = _looks([cell for _, _, own in groups for cell in own])
    figure, axes = _panels(groups, cells, ("training samples", _ACCURACY))
    for axis, (_, name, own) in zip(axes, groups, strict=True):
        axis.set_xscale("log")
        _chances(axis, own, looks)
        for subtask in dict.fromkeys(cell.subtask for cell in own):
            sized = [cell for cell in own if cell.subtask == subtask]
            sizes = np.array([cell.samples for cell in sized])
            parts = PARTS if name is None and subtask.withheld else ("iid",)
            for part in parts:
                values = np.array([mean_interval(cell.final(f"{part}_accuracy")) for cell in sized])
                _line(axis, sizes, values, looks[_key(subtask)], part)
        _size_ticks(axis, [cell.samples for _, _, group in groups for cell in group])
    _legend(
        figure, looks, any(name is None and c.subtask.withheld for _, name, o in groups for c in o)
    )
    return figure


def _size_ticks(axis: Axes, sizes: Sequence[int]) -> None:
    low, high = min(sizes), max(sizes)
    decades = [10**e for e in range(12) if low <= 10**e <= high]
    axis.xaxis.set_major_locator(FixedLocator(decades if len(decades) > 1 else [low, high]))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(lambda value, _: grouped(round(value)))
    if len(decades) <= 1:
        axis.xaxis.set_minor_locator(NullLocator())


def holdout_groups(cells: Sequence[Cell]) -> list[Group]:
    """Return the cells of one arm and function of which some withhold permutations."""
    groups = []
    for arm, own in arms_of(cells).items():
        for function in dict.fromkeys(cell.subtask.function for cell in own):
            alike = [cell for cell in own if cell.subtask.function == function]
            if function[1] is not None and any(cell.subtask.withheld for cell in alike):
                groups.append((arm, alike[0].subtask.words, alike))
    return groups


def accuracy_over_withheld(cells: Sequence[Cell]) -> Figure:
    """Draw i.i.d. (solid) and withheld accuracy (dashed) against the withheld permutations.

    A panel per function, a line per size of the training set.
    """
    groups = holdout_groups(cells)
    sizes = list(
        dict.fromkeys(
            sorted((c.samples for _, _, own in groups for c in own), key=lambda s: s or 0)
        )
    )
    colours = dict(zip(sizes, ordered_colours(len(sizes)), strict=True))
    figure, axes = _panels(groups, cells, ("withheld permutations", _ACCURACY))
    known = sorted({cell.subtask.withheld for _, _, own in groups for cell in own})
    for axis, (_, _, own) in zip(axes, groups, strict=True):
        axis.axhline(100 / own[0].classes, color=GREY, lw=0.8, ls="--")
        for size in dict.fromkeys(cell.samples for cell in own):
            sized = [cell for cell in own if cell.samples == size]
            for part in PARTS:
                shown = [cell for cell in sized if part == "iid" or cell.subtask.withheld]
                counts = np.array([cell.subtask.withheld for cell in shown])
                values = np.array([mean_interval(cell.final(f"{part}_accuracy")) for cell in shown])
                _line(axis, counts, values, (colours[size], "os"[part == "withheld"]), part)
        if known[-1] > 8:
            axis.set_xscale("symlog", linthresh=1)
        axis.xaxis.set_major_locator(FixedLocator(known))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    handles = [
        Line2D(
            [], [], color=colour, label="fresh samples" if s is None else f"{grouped(s)} samples"
        )
        for s, colour in colours.items()
    ]
    handles += [
        Line2D([], [], color=GREY, marker="o", mec="white", mew=0.4, label="i.i.d."),
        Line2D([], [], color=GREY, marker="s", ls=WITHHELD_DASHES, mfc="white", label="withheld"),
        Line2D([], [], color=GREY, lw=0.8, ls="--", label="uniform guess"),
    ]
    legend(figure, handles)
    return figure


def accuracy_over_steps(cells: Sequence[Cell]) -> Figure:
    """Draw accuracy over the steps of training, of the largest training set of every task.

    Bands are 95 % intervals of means over seeds; withheld accuracy is dashed. Where complexity and
    what is withheld both differ, functions have panels of their own.
    """
    groups = curve_groups(cells)
    looks = _looks([cell for _, _, own in groups for cell in own])
    figure, axes = _panels(groups, cells, ("training step", _ACCURACY))
    for axis, (_, _, own) in zip(axes, groups, strict=True):
        _chances(axis, own, looks)
        for cell in own:
            for part in PARTS:
                values = np.stack(mean_interval(cell.curve(f"{part}_accuracy")), axis=1)
                if np.isfinite(values[:, 0]).any():
                    _curve(axis, cell.steps, values, looks[_key(cell.subtask)], part)
        step_axis(axis, np.unique(np.concatenate([c.steps for _, _, o in groups for c in o])))
    _legend(figure, looks, any(c.subtask.withheld for _, _, own in groups for c in own))
    return figure


def curve_groups(cells: Sequence[Cell]) -> list[Group]:
    """Return the largest training sets of every arm by what shares a panel of curves."""
    largest = [cell for cell in largest_sets(cells) if len(cell.steps) > 1]
    groups: list[Group] = []
    for arm, name, own in function_groups(largest):
        complexities = {cell.subtask.complexity for cell in own}
        counts = {cell.subtask.withheld for cell in own}
        if len(complexities) > 1 and len(counts) > 1:
            for function in dict.fromkeys(cell.subtask.function for cell in own):
                alike = [cell for cell in own if cell.subtask.function == function]
                groups.append((arm, alike[0].subtask.words, alike))
        else:
            groups.append((arm, name, own))
    # Retrieval is a part of several groups, but not more than once by itself.
    distinct = {(arm, name): (arm, name, own) for arm, name, own in groups}
    return list(distinct.values())


def _key(subtask: Subtask) -> tuple[int | None, int]:
    return subtask.complexity, subtask.withheld


def _looks(cells: Sequence[Cell]) -> dict[tuple[int | None, int], tuple[str, str]]:
    """Return colour and marker of every complexity and number of withheld permutations."""
    keys = sorted({_key(cell.subtask) for cell in cells}, key=lambda key: (key[0] or 0, key[1]))
    colours = ordered_colours(len(keys))
    return {key: (colours[i], MARKERS[i % len(MARKERS)]) for i, key in enumerate(keys)}


def _panels(
    groups: Sequence[Group], cells: Sequence[Cell], labels: tuple[str, str]
) -> tuple[Figure, list[Axes]]:
    width = 3.1 if len(groups) > 1 else 4.8
    figure, axes = panels(len(groups), 3, width, 2.4, 0.5, labels)
    for axis, (_, name, own) in zip(axes, groups, strict=True):
        title = panel_title(own[0].arm, [name or ""], cells, width)
        axis.set_title(plain(title), loc="left")
        axis.set_ylim(0, 102)
    return figure, axes


def _chances(axis: Axes, cells: Sequence[Cell], looks: dict) -> None:
    """Draw the level of chance: one grey line where all tasks share it, else in their colours."""
    chances = {_key(cell.subtask): 100 * cell.subtask.chance for cell in cells}
    if len({round(value, 6) for value in chances.values()}) == 1:
        axis.axhline(next(iter(chances.values())), color=GREY, lw=0.8, ls="--")
        return
    for key, value in chances.items():
        axis.axhline(value, color=looks[key][0], lw=0.8, ls="--", alpha=0.7)


def _line(axis: Axes, at: np.ndarray, values: np.ndarray, look: tuple[str, str], part: str) -> None:
    """Draw means with error bars: `values` [N, 3] are mean, low and high at `at` [N], shares."""
    order = np.argsort(at)
    at, (mean, low, high) = at[order], 100 * values[order].T
    colour, marker = look
    withheld = part == "withheld"
    bars = np.nan_to_num(np.stack([mean - low, high - mean]))
    axis.errorbar(
        at,
        mean,
        yerr=bars,
        color=colour,
        marker=marker,
        ls=WITHHELD_DASHES if withheld else "-",
        mfc="white" if withheld else colour,
        mec=colour if withheld else "white",
        mew=0.9 if withheld else 0.4,
        ms=4.2,
        elinewidth=0.9,
        capsize=1.8,
        zorder=3,
    )


def _curve(
    axis: Axes, steps: np.ndarray, values: np.ndarray, look: tuple[str, str], part: str
) -> None:
    mean, low, high = 100 * values.T
    colour, marker = look
    if np.isfinite(low).any():
        axis.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
    axis.plot(
        steps,
        mean,
        color=colour,
        ls=WITHHELD_DASHES if part == "withheld" else "-",
        marker=marker,
        mfc="white" if part == "withheld" else colour,
        mec=colour if part == "withheld" else "white",
        mew=0.8 if part == "withheld" else 0.4,
        markevery=0.2,
    )


def _legend(figure: Figure, looks: dict, withheld: bool) -> None:
    complexities = [complexity for complexity, _ in looks]
    several = len(complexities) > len(set(complexities))
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, mec="white", mew=0.4, label=label)
        for key, (colour, marker) in looks.items()
        if (label := _words(key, several))
    ]
    if withheld:
        handles += [
            Line2D([], [], color=GREY, label="i.i.d."),
            Line2D([], [], color=GREY, ls=WITHHELD_DASHES, mfc="white", label="withheld"),
        ]
    handles.append(Line2D([], [], color=GREY, lw=0.8, ls="--", label="chance"))
    legend(figure, handles)


def _words(key: tuple[int | None, int], with_count: bool) -> str:
    """Return what a line is called: its complexity, and how much is withheld if that differs."""
    complexity, count = key
    parts = []
    if complexity is not None:
        parts.append(f"complexity {complexity}" if complexity else f"{RETRIEVAL} (complexity 0)")
    if with_count:
        parts.append(f"{count} withheld" if complexity is not None or count == 0 else "holdout")
    return ", ".join(parts).replace("0 withheld", "nothing withheld")
