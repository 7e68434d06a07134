"""The charts of a report: one description each, for the page, for paper, and for a notebook."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from pvr_jax.reporting import vega
from pvr_jax.reporting.columns import Context
from pvr_jax.reporting.exhibits import (
    Data,
    Needs,
    context_of,
    final,
    shown,
    sorted_values,
)
from pvr_jax.results import Measure, Study


@dataclass(frozen=True)
class Chart(abc.ABC):
    """What all charts have.

    Args:
        name: of its files.
        title: above it.
        y: the variable on the vertical axis.
        x: the one on the horizontal axis.
        panel, color: coordinates, one panel or color per value.
        levels: column -> its name in the legend, for what is not measured but known, such as an
            exact prediction; a column that the data lack is left out.
        band: what surrounds a mean, over seeds: their "range" or the "interval" of the mean.
        data: what makes the frame.
        log_x, log_y: whether an axis is logarithmic.
        percent: show 100 times y.
        floor: the smallest value that is drawn.
        own: axes, "x" or "y", of which every panel has its own.
        caption: below it.
        needs: as of a `Table`.
    """

    name: str
    title: str
    y: str
    x: str
    panel: str = ""
    color: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)
    band: Literal["range", "interval"] = "interval"
    data: Data = final
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    floor: float | None = None
    own: Sequence[Literal["x", "y"]] = ()
    caption: str = ""
    needs: Needs = ()

    def draw(self, study: Study, measures: Mapping[str, Measure] | None = None) -> Any:
        """Return the chart of a study; a notebook shows it.

        Args:
            study: its runs.
            measures: what the columns are that a report derives.
        """
        import altair  # a report is made without it

        return altair.Chart.from_dict(self.spec(study, context_of(study, measures)))

    @property
    def value(self) -> str:
        """The column of the values that it shows."""
        return self.y

    @abc.abstractmethod
    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""

    def _axis(self, side: Literal["x", "y"], context: Context) -> vega.Spec:
        """Return one of its axes, with the name and the units of its variable."""
        name = self.x if side == "x" else self.y
        measure, title = context.measures.get(name), context.measure(name).long_name
        more = [part for part in (measure.symbol, measure.units) if part] if measure else []
        title = [title, ", ".join(more)] if more and side == "y" else ", ".join([title, *more])
        found = {"field": side, "type": "quantitative", "title": title}
        if (self.log_x, self.log_y)[side == "y"]:
            short = {"axis": {"format": "~s"}} if side == "x" else {}
            return found | {"scale": {"type": "log", "nice": False, "padding": 8}} | short
        found["scale"] = {"zero": False}
        return found | ({"axis": {"format": "~%"}} if self.percent and side == "y" else {})

    def _tip(self, name: str, title: Any) -> vega.Spec:
        """Return a line of a tooltip that shows a value of y."""
        return vega.tip(name, title, form=".4~p" if self.percent else ".4~g")

    def _mean_tips(self) -> list[vega.Spec]:
        """Return the lines of a tooltip that show a mean, its band, and of how many replicas."""
        values = [self._tip("y", "mean"), self._tip("low", "low"), self._tip("high", "high")]
        return [*values, vega.tip("count", "replicas")]


@dataclass(frozen=True)
class Curve(Chart):
    """A measure over steps, iterations or degrees: the mean over seeds within its band.

    Args:
        dash: a coordinate, one dash per value.
        slider: a column such as `step`, of which a page shows one value at a time, and paper the
            last.
        events: name in the legend -> frame with the columns of `x`, panel and color: where on
            average something happens.
    """

    dash: str = ""
    slider: str = ""
    events: Mapping[str, Data] = field(default_factory=dict)

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        roles = vega.roles_of(panel=self.panel, color=self.color, dash=self.dash, at=self.slider)
        scale = context.measure(self.y).scale
        parts = [vega.means(frame, {**roles, "x": self.x}, self.y, self.band, scale)]
        if not self.slider and len(frame) <= vega.MAX_REPLICA_ROWS:
            parts.append(vega.replicas(frame, {**roles, "x": self.x}, self.y))
        parts += [
            vega.known_rows(frame, {**roles, "y": n}, "level", words)
            for n, words in self.levels.items()
            if n in frame
        ]
        parts += [
            vega.known_rows(data(study), {**roles, "x": self.x}, "event", words)
            for words, data in self.events.items()
        ]
        long = vega.finished(parts, self, context)
        shared = vega.colors(long, context, self.color) | vega.dashes(long, context, self.dash)
        x, y = self._axis("x", context), self._axis("y", context)
        if not self.log_x and (frame[self.x] % 1 == 0).all():
            x["axis"] = {"tickMinStep": 1}
        tips = [*vega.tips(roles, context), vega.tip("x", x["title"]), *self._mean_tips()]
        plain = {"color": shared["color"]}
        layers = [
            vega.layer(
                "mean",
                {"type": "area"},
                x=x,
                y={**y, "field": "low"},
                y2={"field": "high"},
                opacity=vega.faint(0.15, self.color),
                **({"detail": {"field": "dash"}} if self.dash else {}),
                **plain,
            ),
            vega.layer(
                "replica",
                {"type": "line", "strokeWidth": 0.6},
                x=x,
                y=y,
                detail={"field": "replica"},
                opacity=vega.faint(0.35, self.color),
                **shared,
            ),
            vega.layer(
                "level",
                {"type": "rule", "strokeWidth": 1.2},
                y=y,
                stroke=vega.known_strokes(long),
                tooltip=[
                    *vega.tips(roles, context),
                    vega.tip("level", "level", True),
                    self._tip("y", "value"),
                ],
            ),
            vega.layer(
                "event",
                {"type": "rule", "strokeDash": [1, 2]},
                x=x,
                opacity=vega.faint(0.9, self.color),
                tooltip=[vega.tip("level", "event"), vega.tip("x", x["title"])],
                **plain,
            ),
            vega.layer(
                "mean",
                {"type": "line", "strokeWidth": 2},
                x=x,
                y=y,
                opacity=vega.faint(1.0, self.color),
                **shared,
            ),
            vega.layer(
                "mean",
                {"type": "point", "filled": True, "size": 45},
                x=x,
                y=y,
                tooltip=tips,
                opacity={"value": 0.001},
                **plain,
            ),
        ]
        return vega.assembled(self, context, long, layers, roles)


@dataclass(frozen=True)
class Points(Chart):
    """A measure by setting: every replica, the mean with its interval, and what theory says.

    Args:
        diagonal: whether to draw the line on which both axes are equal.
        continuous: whether `x` is a number as of a diagonal; else it has one place per value.
        slider: as of a `Curve`; without effect where the data lack it.
    """

    diagonal: bool = False
    continuous: bool = False
    slider: str = ""

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        slider = self.slider if self.slider in frame else ""
        roles = vega.roles_of(panel=self.panel, color=self.color, at=slider)
        scale = context.measure(self.y).scale
        parts = [vega.means(frame, {**roles, "x": self.x}, self.y, self.band, scale)]
        if not slider and len(frame) <= vega.MAX_REPLICA_ROWS:
            parts.append(vega.replicas(frame, {**roles, "x": self.x}, self.y))
        parts += [
            vega.known_rows(frame, {**roles, "x": self.x, "y": name}, "level", words)
            for name, words in self.levels.items()
            if name in frame
        ]
        if self.diagonal:
            ends = pd.concat([frame[self.x], frame[self.y]]).astype(float).agg(["min", "max"])
            panels = (
                frame[[self.panel]].drop_duplicates() if self.panel else pd.DataFrame(index=[0])
            )
            parts += [
                vega.known_rows(
                    panels.assign(x=end, y=end),
                    {**({"panel": self.panel} if self.panel else {}), "x": "x", "y": "y"},
                    "diagonal",
                    "equal",
                )
                for end in ends
            ]
        long = vega.finished(parts, self, context)
        x, y = self._axis("x", context), self._axis("y", context)
        if places_of_x := not (self.diagonal or self.continuous):
            places = list(dict.fromkeys(map(shown, sorted_values(frame[self.x]))))
            long["x"] = long["x"].map(shown)
            x = {
                "field": "x",
                "type": "ordinal",
                "title": x["title"],
                "sort": places,
                "axis": {"labelAngle": 0 if sum(map(len, places)) < vega.LEVEL_TEXT else -40},
            }
        shared = vega.colors(long, context, self.color)
        offset = (
            {}
            if not (places_of_x and self.color)
            else {"xOffset": {"field": "color", "sort": vega.order_of(long, "color")}}
        )
        tips = [*vega.tips(roles, context), vega.tip("x", x["title"], places_of_x)]
        mean_tips = [*tips, *self._mean_tips()]
        levels = vega.order_of(long, "level")
        layers = [
            vega.layer(
                "diagonal", {"type": "line", "color": vega.GRAYS[0], "strokeDash": [3, 3]}, x=x, y=y
            ),
            vega.layer(
                "replica",
                {"type": "point", "filled": True, "size": 22},
                x=x,
                y=y,
                **shared,
                **offset,
                opacity=vega.faint(0.35, self.color),
                tooltip=[
                    *tips,
                    self._tip("y", "value"),
                    vega.tip("replica", "replica", True),
                    vega.tip("seed", "seed", True),
                ],
            ),
            vega.layer(
                "level",
                {"type": "point", "size": 75, "strokeWidth": 1.6},
                x=x,
                y=y,
                **offset,
                color={"value": "#222222"},
                shape={
                    "field": "level",
                    "type": "nominal",
                    "title": None,
                    "sort": levels,
                    "scale": {
                        "domain": levels,
                        "range": [vega.SHAPES[i % len(vega.SHAPES)] for i in range(len(levels))],
                    },
                },
                tooltip=[*tips, vega.tip("level", "theory", True), self._tip("y", "value")],
            ),
            vega.layer(
                "mean",
                {"type": "rule", "strokeWidth": 2},
                x=x,
                y={**y, "field": "low"},
                y2={"field": "high"},
                opacity=vega.faint(1.0, self.color),
                **shared,
                **offset,
            ),
            vega.layer(
                "mean",
                {"type": "point", "filled": True, "size": 60},
                x=x,
                y=y,
                tooltip=mean_tips,
                opacity=vega.faint(1.0, self.color),
                **shared,
                **offset,
            ),
        ]
        return vega.assembled(self, context, long, layers, roles)


@dataclass(frozen=True)
class Heatmap(Chart):
    """A matrix per panel: `color` is the value at `x` (column) and `y` (row), mean over replicas.

    Args:
        limits: of the color scale.
        slider: as of a `Curve`.
    """

    limits: tuple[float, float] | None = None
    slider: str = ""

    @property
    def value(self) -> str:
        """The column of the values that it shows."""
        return self.color

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        roles = vega.roles_of(panel=self.panel, at=self.slider)
        cells = vega.means(frame, {**roles, "x": self.x, "row": self.y}, self.color, "range")
        long = vega.finished([cells], self, context)
        measure = context.measure(self.color)
        axes = {}
        for side, name in (("x", self.x), ("row", self.y)):
            values = list(dict.fromkeys(map(shown, sorted_values(frame[name]))))
            long[side] = long[side].map(shown)
            title = context.measure(name).long_name
            axes[side] = {
                "field": side,
                "type": "ordinal",
                "title": title,
                "sort": values,
                "axis": {"labelAngle": 0},
            }
        scale = {"scheme": "viridis"} | (
            {"domain": [*self.limits], "clamp": True} if self.limits else {}
        )
        color = {"field": "y", "type": "quantitative", "title": measure.long_name, "scale": scale}
        tips = [
            *vega.tips(roles, context),
            vega.tip("row", axes["row"]["title"], True),
            vega.tip("x", axes["x"]["title"], True),
            vega.tip("y", measure.long_name),
            vega.tip("count", "replicas"),
        ]
        layers = [
            vega.layer(
                "mean", {"type": "rect"}, x=axes["x"], y=axes["row"], color=color, tooltip=tips
            )
        ]
        return vega.assembled(self, context, long, layers, roles, zoom=False)


def interpolated(
    frame: pd.DataFrame, x: str, y: str, points: int = 120, by: Sequence[str] = ("run", "replica")
) -> pd.DataFrame:
    """Return curves that replicas have at their own places, at shared ones, linear in between.

    Before its first place and after its last a replica has the nearest value.

    Args:
        frame: rows with `x` and `y`, in order, and the columns that name a replica.
        x, y: columns.
        points: number of shared places, from 0 to the largest.
        by: what names a replica; all other columns are taken from its first row.
    """
    grid = np.linspace(0, float(frame[x].max()), points)
    found = []
    for _, own in frame.groupby(list(by), sort=False):
        own_x, first = np.unique(own[x].to_numpy(float), return_index=True)
        values = np.interp(grid, own_x, own[y].to_numpy(float)[first])
        found.append(own.iloc[:1].loc[own.index[:1].repeat(points)].assign(**{x: grid, y: values}))
    return pd.concat(found, ignore_index=True)
