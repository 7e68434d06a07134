"""The figures: error, and what is learned of the target, over the iterations of training."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pvr_jax.reporting.curriculum.arms import Arm, Pair
from pvr_jax.reporting.curriculum.findings import pair_title
from pvr_jax.reporting.drawing import (
    BLUE,
    GREY,
    VERMILION,
    band,
    legend,
    ordered_colours,
    panels,
    plain,
)

POINTS = 300  # of a curve
FLOOR = 1e-6  # the smallest error that is drawn
MOST_PANELS = 12
NORMAL_DASHES = (0, (4, 2))


def drawings(pairs: Sequence[Pair]) -> dict[str, Callable[[], Figure]]:
    """Return what draws each figure, by name."""
    return {
        "error_over_iterations": partial(error_over_iterations, pairs),
        "target_coefficient": partial(target_coefficient, pairs),
    }


def error_over_iterations(pairs: Sequence[Pair]) -> Figure:
    """Draw the error on the whole cube over the optimiser steps, both arms, a panel per setting.

    Lines are means over the replicas that did not diverge, bands reach from their minimum to their
    maximum. A replica that has ended keeps its error. Dotted: where the curriculum admits the next
    samples, mean over replicas; a mark at the mean end of training.
    """
    figure, axes = _panels(pairs, f"error on the whole cube\n({_HALF})")
    for axis, own in zip(axes, _panel_pairs(pairs), strict=True):
        axis.set_yscale("log")
        axis.axhline(own[0].normal.half_variance, color=GREY, lw=0.8)
        _draw(axis, own, "generalization_error", pairs, floor=FLOOR)
    _legend(figure, pairs, "best constant")
    return figure


def target_coefficient(pairs: Sequence[Pair]) -> Figure:
    """Draw the learned share of the target, E[g f] / E[f²], over the optimiser steps."""
    figure, axes = _panels(pairs, "learned share of the target\n$E[gf] / E[f^2]$")
    for axis, own in zip(axes, _panel_pairs(pairs), strict=True):
        axis.axhline(1, color=GREY, lw=0.8)
        _draw(axis, own, "target_coefficient", pairs)
    _legend(figure, pairs, "the target")
    return figure


_HALF = "half squared error"


def _panel_pairs(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return the pairs by the normal training they share, at most as many as there are panels."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.normal.name, []).append(pair)
    return list(groups.values())[:MOST_PANELS]


def _panels(pairs: Sequence[Pair], label: str) -> tuple[Figure, list[Axes]]:
    groups = _panel_pairs(pairs)
    labels = ("iterations (optimiser steps)", label)
    width = 3.1 if len(groups) > 1 else 4.6
    figure, axes = panels(len(groups), 3, width, 2.4, 0.5, labels)
    # Of several curricula the leap is a matter of colour, not of the panel.
    titled = [own[0] for own in groups]
    for axis, pair in zip(axes, titled, strict=True):
        axis.set_title(plain(pair_title(pair, titled)), loc="left")
    return figure, axes


def _colours(pairs: Sequence[Pair]) -> dict[int, str]:
    """Return the colour of every leap of a curriculum."""
    leaps = sorted({pair.curriculum.leap for pair in pairs})
    colours = [BLUE] if len(leaps) == 1 else ordered_colours(len(leaps))
    return dict(zip(leaps, colours, strict=True))


def _draw(
    axis: Axes, own: Sequence[Pair], name: str, pairs: Sequence[Pair], floor: float = -np.inf
) -> None:
    colours = _colours(pairs)
    arms = [(own[0].normal, VERMILION, NORMAL_DASHES)]
    arms += [(pair.curriculum, colours[pair.curriculum.leap], "-") for pair in own]
    last = max(arm.iterations[-1].max() for arm, _, _ in arms)
    grid = np.linspace(0, last, POINTS)
    for arm, colour, dashes in arms:
        kept = arm.counted
        if not kept.any():
            continue
        curves = np.maximum(_curves(arm, name, grid)[:, kept], floor)
        band(axis, grid, curves, colour, linestyle=dashes)
        for position in _mean_stage_ends(arm)[:-1]:
            axis.axvline(position, color=colour, ls=":", lw=0.9)
        if arm.finished.all():
            end = arm.iterations_to_end.mean()
            height = np.interp(end, grid, curves.mean(axis=1))
            axis.plot(end, height, "o", color=colour, ms=4.5, mec="white", mew=0.5, zorder=4)
    axis.set_xlim(0, last)


def _curves(arm: Arm, name: str, grid: np.ndarray) -> np.ndarray:
    """Return a measure [P, r] at the optimiser steps of the grid [P], linear in between.

    Before its first evaluation and after its end a replica has the nearest value.
    """
    columns = []
    for iterations, values in zip(arm.iterations.T, arm.measures[name].T, strict=True):
        # The evaluations after the end repeat the last one.
        _, places = np.unique(iterations, return_index=True)
        columns.append(np.interp(grid, iterations[places], values[places]))
    return np.stack(columns, axis=1)


def _mean_stage_ends(arm: Arm) -> list[float]:
    """Return after how many iterations the replicas pass each of their stages, in the mean."""
    most = max(len(replica.stages) for replica in arm.replicas)
    return [
        float(np.mean([r.stages[i].iterations for r in arm.replicas if len(r.stages) > i]))
        for i in range(most)
    ]


def _legend(figure: Figure, pairs: Sequence[Pair], line: str) -> None:
    handles = [Line2D([], [], color=VERMILION, ls=NORMAL_DASHES, label="normal training")]
    handles += [
        Line2D([], [], color=colour, label=f"curriculum, leap {leap}")
        for leap, colour in _colours(pairs).items()
    ]
    handles += [
        Line2D([], [], color=GREY, ls=":", lw=0.9, label="next stage"),
        Line2D([], [], color=GREY, marker="o", ls="", ms=4.5, label="end of training"),
        Line2D([], [], color=GREY, lw=0.8, label=line),
        Patch(facecolor=GREY, alpha=0.25, label="min to max over seeds"),
    ]
    legend(figure, handles)
