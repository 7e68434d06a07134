"""Charts of reports: one Vega-Lite description each, for page, paper and notebook."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from pvr_jax.reporting import vega
from pvr_jax.reporting.columns import Column, Context
from pvr_jax.reporting.exhibits import Data, Needs, context_of, final
from pvr_jax.results import Measure, Study
from pvr_jax.results.statistics import Scale

# Of a scale: its ends lie beyond the outermost points, which would be cut in half.
WHOLE_POINTS = {"nice": False, "padding": 8}


@dataclass(frozen=True)
class Chart(abc.ABC):
    """Base class of charts.

    Args:
        name: name of its files.
        title: its title.
        y: the variable on the vertical axis.
        x: the variable on the horizontal axis.
        panel, color: coordinates; one panel or color per value.
        levels: column -> legend entry, for known values such as exact predictions; columns that the
            data lack are left out.
        band: the band around a mean over seeds: their "range", or the "interval" of the mean.
        data: makes the frame from a study.
        log_x, log_y: whether the axis is logarithmic.
        percent: show 100 y.
        floor: the smallest value to draw.
        own: axes ("x", "y") that are independent per panel.
        caption: text below it.
        needs: see `Table`.
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
        """Return the chart of a study, to be shown by a notebook.

        Args:
            study: its runs.
            measures: descriptions of derived columns.
        """
        import altair  # not needed by reports

        return altair.Chart.from_dict(self.spec(study, context_of(study, measures)))

    @property
    def value(self) -> str:
        """The column of its values."""
        return self.y

    @abc.abstractmethod
    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""

    def _axis(self, side: Literal["x", "y"], context: Context) -> vega.Spec:
        """Return an axis, with the name and units of its variable."""
        name = self.x if side == "x" else self.y
        measure, title = context.measures.get(name), context.measure(name).long_name
        more = [part for part in (measure.symbol, measure.units) if part] if measure else []
        title = [title, ", ".join(more)] if more and side == "y" else ", ".join([title, *more])
        found = {"field": side, "type": "quantitative", "title": title}
        if (self.log_x, self.log_y)[side == "y"]:
            short = {"axis": {"format": "~s"}} if side == "x" else {}
            return found | {"scale": {"type": "log", **WHOLE_POINTS}} | short
        from_zero = side == "y" and not self.percent and bool(measure) and measure.bounds[0] == 0
        found["scale"] = {"zero": from_zero}
        return found | ({"axis": {"format": "~%"}} if self.percent and side == "y" else {})

    def _rows(
        self,
        frame: pd.DataFrame,
        roles: Mapping[str, str],
        level_roles: Mapping[str, str],
        scale: Scale,
    ) -> list[pd.DataFrame]:
        """Return the means, the single replicas and, by `level_roles`, the levels of a frame."""
        own = {**roles, "x": self.x}
        parts = [vega.means(frame, own, self.y, self.band, scale)]
        if "at" not in roles and len(frame) <= vega.MAX_REPLICA_ROWS:
            parts.append(vega.replicas(frame, own, self.y))
        return parts + [
            vega.known_rows(frame, {**level_roles, "y": name}, "level", entry)
            for name, entry in self.levels.items()
            if name in frame
        ]

    def _tip(self, name: str, title: Any) -> vega.Spec:
        """Return a tooltip line for a value of y."""
        return vega.tip(name, title, form=".4~p" if self.percent else ".4~g")

    def _mean_tips(self) -> list[vega.Spec]:
        """Return the tooltip lines of a mean: its value, its band and the number of replicas."""
        values = [self._tip("y", "mean"), self._tip("low", "low"), self._tip("high", "high")]
        return [*values, vega.tip("count", "replicas")]


@dataclass(frozen=True)
class Curve(Chart):
    """A measure over steps, iterations or degrees: the mean over seeds within its band.

    Args:
        dash: a coordinate; one dash per value.
        slider: a column such as `step`; the page shows one value at a time, paper the last.
        events: legend entry -> frame with the columns of `x`, panel and color: the mean x of an
            event.
    """

    dash: str = ""
    slider: str = ""
    events: Mapping[str, Data] = field(default_factory=dict)

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        roles = vega.roles_of(panel=self.panel, color=self.color, dash=self.dash, at=self.slider)
        parts = self._rows(frame, roles, roles, context.measure(self.y).scale)
        parts += [
            vega.known_rows(data(study), {**roles, "x": self.x}, "event", entry)
            for entry, data in self.events.items()
        ]
        long = vega.finished(parts, self, context)
        shared = vega.colors(long, context, self.color) | vega.dashes(long, context, self.dash)
        plain = {"color": shared["color"]}
        x, y = self._axis("x", context), self._axis("y", context)
        if not self.log_x and (frame[self.x] % 1 == 0).all():
            x["axis"] = {"tickMinStep": 1}
        at, band = {"x": x, "y": y}, {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
        by_dash = {"detail": {"field": "dash"}} if self.dash else {}
        faint = partial(vega.faint, color=self.color)
        where, at_x = vega.tips(roles, context), vega.tip("x", x["title"])
        tips = [*where, at_x, *self._mean_tips()]
        level_tips = [*where, vega.tip("level", "level", True), self._tip("y", "value")]
        thin, thick = {"type": "line", "strokeWidth": 0.6}, {"type": "line", "strokeWidth": 2}
        level, event = {"type": "rule", "strokeWidth": 1.2}, {"type": "rule", "strokeDash": [1, 2]}
        dot, single = (
            {"type": "point", "filled": True, "size": 45},
            {"detail": {"field": "replica"}},
        )
        strokes, event_tips = vega.known_strokes(long), [vega.tip("level", "event"), at_x]
        layers = [
            vega.layer("mean", {"type": "area"}, **band, opacity=faint(0.15), **by_dash, **plain),
            vega.layer("replica", thin, **at, **single, opacity=faint(0.35), **shared),
            vega.layer("level", level, y=y, stroke=strokes, tooltip=level_tips),
            vega.layer("event", event, x=x, opacity=faint(0.9), tooltip=event_tips, **plain),
            vega.layer("mean", thick, **at, opacity=faint(1.0), **shared),
            vega.layer("mean", dot, **at, tooltip=tips, opacity={"value": 0.001}, **plain),
        ]
        return vega.assembled(self, context, long, layers, roles)


@dataclass(frozen=True)
class Points(Chart):
    """A measure by setting: all replicas, the mean with its interval, and predictions.

    Args:
        diagonal: whether to draw the line y = x.
        continuous: whether the axis of `x` is continuous; else it has one position per value.
        mark: a column whose text stands above the axis of every mean, its value in the tooltip.
        slider: see `Curve`; ignored if the data lack it.
    """

    diagonal: bool = False
    continuous: bool = False
    mark: Column | None = None
    slider: str = ""

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        slider = self.slider if self.slider in frame else ""
        roles = vega.roles_of(panel=self.panel, color=self.color, at=slider)
        scale = context.measure(self.y).scale
        parts = self._rows(frame, roles, {**roles, "x": self.x}, scale)
        if self.mark:
            parts[0] = vega.marked(parts[0], frame, {**roles, "x": self.x}, self.mark, context)
        x, y = self._axis("x", context), self._axis("y", context)
        if self.diagonal:
            x["scale"] = y["scale"]
            panels = frame[self.panel] if self.panel else pd.Series("", frame.index)
            values = frame[[self.x, self.y]].astype(float).groupby(panels.rename(self.panel))
            line = {**vega.roles_of(panel=self.panel), "x": "end", "y": "end"}
            for end in ("min", "max"):
                ends = values.agg(end).agg(end, axis="columns").rename("end").reset_index()
                parts.append(vega.known_rows(ends, line, "diagonal", "equal"))
        long = vega.finished(parts, self, context)
        shared = vega.colors(long, context, self.color)
        if is_discrete := not (self.diagonal or self.continuous):
            x = vega.discrete_axis(long, "x", frame[self.x], x["title"])
        else:
            x["scale"] = {**x["scale"], **WHOLE_POINTS}
        beside = {"field": "color", "sort": vega.order_of(long, "color")}
        offset = {"xOffset": beside} if is_discrete and self.color else {}
        tips = [*vega.tips(roles, context), vega.tip("x", x["title"], is_discrete)]
        replica_tips = [vega.tip("replica", "replica", True), vega.tip("seed", "seed", True)]
        replica_tips = [*tips, self._tip("y", "value"), *replica_tips]
        mean_tips = [*tips, *self._mean_tips()]
        mean_tips += [vega.tip("verdict", "verdict", True)] if self.mark else []
        level_tips = [*tips, vega.tip("level", "theory", True), self._tip("y", "value")]
        shape = vega.known_shapes(long)
        faint = partial(vega.faint, color=self.color)
        at, band = {"x": x, "y": y}, {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
        line = {"type": "line", "color": vega.GRAYS[0], "strokeDash": [3, 3]}
        rule = {"type": "rule", "strokeWidth": 2}
        level = {"type": "point", "size": 75, "strokeWidth": 1.6}
        small, large = ({"type": "point", "filled": True, "size": size} for size in (22, 60))
        layers = [
            vega.layer("diagonal", line, **at),
            vega.layer(
                "replica",
                small,
                **at,
                **shared,
                **offset,
                opacity=faint(0.35),
                tooltip=replica_tips,
            ),
            vega.layer(
                "level",
                level,
                **at,
                **offset,
                color={"value": "#222222"},
                shape=shape,
                tooltip=level_tips,
            ),
            vega.layer("mean", rule, **band, opacity=faint(1.0), **shared, **offset),
            vega.layer(
                "mean", large, **at, tooltip=mean_tips, opacity=faint(1.0), **shared, **offset
            ),
        ]
        if self.mark:
            look = {"opacity": faint(1.0), **shared, **offset}
            text = {"field": "sign", "type": "nominal"}
            layers.insert(-1, vega.layer("mean", vega.MARK, x=x, text=text, **look))
        return vega.assembled(self, context, long, layers, roles)


@dataclass(frozen=True)
class Heatmap(Chart):
    """A matrix per panel: `color` is the value at `x` (column) and `y` (row), mean over replicas.

    Args:
        limits: limits of the color scale.
        slider: see `Curve`.
    """

    limits: tuple[float, float] | None = None
    slider: str = ""

    @property
    def value(self) -> str:
        """The column of its values."""
        return self.color

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study)
        roles = vega.roles_of(panel=self.panel, at=self.slider)
        cells = vega.means(frame, {**roles, "x": self.x, "row": self.y}, self.color, "range")
        long = vega.finished([cells], self, context)
        title = context.measure(self.color).long_name
        x, row = (
            vega.discrete_axis(
                long, side, frame[name], context.measure(name).long_name, turned=False
            )
            for side, name in (("x", self.x), ("row", self.y))
        )
        limits = {"domain": [*self.limits], "clamp": True} if self.limits else {}
        scale = {"scheme": "viridis", **limits}
        color = {"field": "y", "type": "quantitative", "title": title, "scale": scale}
        tips = [vega.tip("row", row["title"], True), vega.tip("x", x["title"], True)]
        tips += [vega.tip("y", title), vega.tip("count", "replicas")]
        tips = [*vega.tips(roles, context), *tips]
        layers = [vega.layer("mean", {"type": "rect"}, x=x, y=row, color=color, tooltip=tips)]
        return vega.assembled(self, context, long, layers, roles, zoom=False)


def interpolated(
    frame: pd.DataFrame, x: str, y: str, points: int = 120, by: Sequence[str] = ("run", "replica")
) -> pd.DataFrame:
    """Interpolate the curves of replicas linearly at shared x.

    Before its first x and after its last, a replica has the nearest value.

    Args:
        frame: rows with `x` and `y`, in order, and the columns of `by`.
        x, y: columns.
        points: number of shared x, from 0 to the largest.
        by: columns that identify a replica; all others are taken from its first row.
    """
    grid = np.linspace(0, float(frame[x].max()), points)
    found = []
    for _, own in frame.groupby(list(by), sort=False):
        own_x, first = np.unique(own[x].to_numpy(float), return_index=True)
        values = np.interp(grid, own_x, own[y].to_numpy(float)[first])
        found.append(own.iloc[:1].loc[own.index[:1].repeat(points)].assign(**{x: grid, y: values}))
    return pd.concat(found, ignore_index=True)
