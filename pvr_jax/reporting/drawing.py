"""Style, labels and reproducible saving shared by all figures."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from pvr_jax.reporting.labels import consecutive

FORMATS = ("svg", "pdf", "png")

# Okabe–Ito colours: told apart by the colour-blind; marks and dashes carry the same distinction.
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREY = "#6b6b6b"
PALE = "#dcdcdc"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Illustration:
    """A saved figure: its paths by format, and the run and frozen bit it belongs to, if any."""

    name: str
    paths: dict[str, Path]
    run: str | None = None
    bit: int | None = None


@contextmanager
def style(name: str) -> Iterator[None]:
    """Draw and save inside this: the figures' style, and element ids that depend on `name` only."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a reader's own matplotlibrc must not change the figures
        matplotlib.rcParams.update(_STYLE | {"svg.hashsalt": name})
        yield


def save(figure: Figure, directory: Path, name: str) -> dict[str, Path]:
    """Save a figure as SVG, PDF and PNG without dates, and return the path of each format."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is done: three formats, one arrangement
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    paths = {}
    for extension in FORMATS:
        paths[extension] = directory / f"{name}.{extension}"
        temporary = directory / f".{name}.{extension}.tmp"
        figure.savefig(temporary, format=extension, metadata=metadata[extension])
        if extension == "svg":
            temporary.write_text(_shorten(temporary.read_text("utf-8")), "utf-8", newline="\n")
        temporary.replace(paths[extension])
    return paths


def illustrate(
    name: str,
    draw: Callable[[], Figure],
    directory: Path,
    run: str | None = None,
    bit: int | None = None,
) -> Illustration:
    """Draw a figure in the figures' style and save it in `directory`, which must exist."""
    with style(name):
        paths = save(draw(), directory, name)
    return Illustration(name, paths, run, bit)


def illustrate_all(
    drawings: Mapping[str, Callable[[], Figure]], directory: Path
) -> list[Illustration]:
    """Draw and save the figures that the functions draw, by name; make `directory` if needed."""
    directory.mkdir(parents=True, exist_ok=True)
    return [illustrate(name, draw, directory) for name, draw in drawings.items()]


def _shorten(svg: str) -> str:
    """Return an SVG with the coordinates of its paths rounded to a hundredth of a point."""

    def rounded(path: re.Match[str]) -> str:
        return re.sub(r"(\.\d\d)\d+", r"\1", path[0]).replace(" \n", "")

    return re.sub(r' d="[^"]*"', rounded, svg)


def panels(
    count: int,
    columns: int,
    width: float,
    height: float,
    margin: float,
    labels: tuple[str, str],
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels in at most `columns` columns; they share their axes.

    `width` and `height` are of one panel in inches, `margin` is the height kept for the legend,
    `labels` name the x axis (under the lowest panels) and the y axis (at the left ones).
    """
    columns = 2 if count == 4 else min(count, columns)  # 2 x 2 rather than 3 + 1
    rows = -(-count // columns)
    size = (max(columns * width, 4.2), rows * height + margin)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        rows, columns, squeeze=False, sharex="all", sharey="all" if share_y else "none"
    )
    grid = grid.flatten()
    for axis in grid[count:]:
        axis.set_visible(False)
    for axis in grid[max(0, count - columns) : count]:
        # Sharing hides the tick labels of a panel with nothing but an invisible one below.
        axis.tick_params(labelbottom=True)
    for axis in grid[(rows - 1) * columns : count]:
        axis.set_xlabel(labels[0])
    for axis in grid[:count:columns]:
        axis.set_ylabel(labels[1])
    return figure, list(grid[:count])


def legend(figure: Figure, handles: list[Artist]) -> None:
    """Put a legend above all panels, in as many columns as its width allows."""
    inches = [0.55 + 0.065 * len(re.sub(r"\\\w+|[${}]", "", h.get_label())) for h in handles]
    rows = math.ceil(sum(inches) / figure.get_figwidth())
    columns = math.ceil(len(handles) / rows)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def step_axis(axis: Axes, steps: np.ndarray) -> None:
    """Make the x axis of `axis` logarithmic in the training step, with step 0 shown."""
    positive = steps[steps > 0]
    if len(positive) == 0:
        axis.set_xticks([int(steps[0])])
        return
    first, last = int(positive[0]), int(positive[-1])
    decades = [10**e for e in range(12) if first <= 10**e <= last]
    ticks = [0, *decades] if len(decades) >= 2 else [0, *sorted({first, last})]
    axis.set_xscale("symlog", linthresh=first, linscale=0.4)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u2009"))
    axis.set_xlim(-0.02 * first if 0 in steps else first, last * 1.05)


def band(
    axis: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    colour: str,
    linestyle: str | tuple[int, tuple[int, ...]] = "-",
    marker: str | None = None,
) -> None:
    """Draw the mean of `values` [T, r] over replicas, and the band from minimum to maximum."""
    if values.shape[1] > 1:
        axis.fill_between(
            steps, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.25, lw=0
        )
    axis.plot(
        steps,
        values.mean(axis=1),
        color=colour,
        ls=linestyle,
        marker=marker,
        markevery=0.2,  # of the axes' diagonal: even spacing on the logarithmic axis
        mec="white",
        mew=0.4,
    )


def ordered_colours(count: int) -> list[str]:
    """Return `count` colours from dark to light, in order in greyscale too."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, max(count, 2)))
    return [to_hex(colour) for colour in colours[:count]]


def monomial(coordinates: tuple[int, ...]) -> str:
    """Return the product of the coordinates as math text; long consecutive runs are shortened."""
    if not coordinates:
        return "$1$"
    parts = [
        rf"x_{{{run[0]}}}{{\cdots}}x_{{{run[-1]}}}"
        if len(run) > 3
        else "".join(f"x_{{{i}}}" for i in run)
        for run in consecutive(coordinates)
    ]
    return f"${''.join(parts)}$"


def plain(text: str) -> str:
    """Return text from a file so that Matplotlib does not read it as math."""
    return text.replace("$", r"\$")
