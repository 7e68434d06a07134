"""A chart to explore: many points, of which a click shows one in detail in a second panel."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import pandas as pd

from pvr_jax.reporting import vega
from pvr_jax.reporting.charts import Chart
from pvr_jax.reporting.columns import Context
from pvr_jax.results import Study

WIDTH, HEIGHT = 260, 340  # pixels, of each panel
MARGIN = 0.08  # of the range of values, beside the outermost points
BESIDE = "|"  # in the name of a column of details, between series and item


def column_of(series: str, item: str) -> str:
    """Return the column that has the value of an item of a series."""
    return f"{series}{BESIDE}{item}"


@dataclass(frozen=True)
class Explorer(Chart):
    """A row of the data is a point; the point clicked last has its details drawn as bars.

    The bars are the columns `column_of(series, item)` of its row, in the order of the columns;
    those that it lacks are left out. On paper, they are those of the first row.

    Args:
        key: a column that identifies a point.
        text: a column with the lines above the details.
        series: names of the series of bars, a color each.
        detail: title of the axis of the bars.
        diagonal: whether to draw the line y = x.
    """

    _: KW_ONLY
    key: str
    text: str
    series: Sequence[str]
    detail: str = ""
    diagonal: bool = False

    def spec(self, study: Study, context: Context) -> vega.Spec:
        """Return its Vega-Lite description."""
        frame = self.data(study).reset_index(drop=True)
        starts = tuple(column_of(series, "") for series in self.series)
        details = [name for name in frame if name.startswith(starts)]
        own = {"x": self.x, "y": self.y, "key": self.key, "text": self.text}
        own |= {"color": self.color} if self.color else {}
        long = frame[[*own.values(), *details]].set_axis([*own, *details], axis=1)
        columns, types = [*own, *details], dict.fromkeys(details, "number")
        types |= {"x": "number", "y": "number", "key": "string", "text": "string"}
        values = long[columns].to_csv(index=False, float_format="%.4g", lineterminator="\n")
        chosen = {"type": "point", "fields": ["color"]}
        picked = {"type": "point", "fields": ["key"], "clear": False, "nearest": True}
        view = {"views": ["points"]}
        params = [
            {"name": "zoom", "select": vega.ZOOM, "bind": "scales", **view},
            {"name": "picked", "select": picked, "value": [{"key": long["key"].iloc[0]}], **view},
        ]
        if self.color:
            params.append({"name": "chosen", "select": chosen, "bind": "legend", **view})
        return {
            "data": {"values": values, "format": {"type": "csv", "parse": types}},
            "config": vega.CONFIG,
            "params": params,
            "hconcat": [self._points(long, context), self._details(details)],
            "resolve": {"scale": {"color": "independent"}},
        }

    def _points(self, long: pd.DataFrame, context: Context) -> vega.Spec:
        """Return the panel of points."""
        x, y = self._axis("x", context), self._axis("y", context)
        for side, axis in (("x", x), ("y", y)):
            low, high = long[side].min(), long[side].max()
            room = MARGIN * (high - low)
            axis["scale"] = {"domain": [float(low - room), float(high + room)], "nice": False}
        colors = vega.colors(long, context, self.color)
        tips = [vega.tip("text", " ", True), vega.tip("x", x["title"]), vega.tip("y", y["title"])]
        is_picked = {"param": "picked", "empty": False}
        faint = vega.faint(0.45, self.color)
        layers = [
            {
                "mark": {"type": "point", "filled": True, "clip": True},
                "encoding": {
                    "x": x,
                    "y": y,
                    "tooltip": tips,
                    "opacity": faint,
                    "size": {"condition": {**is_picked, "value": 170}, "value": 35},
                    **colors,
                },
                "name": "points",
            }
        ]
        if self.diagonal:
            ends = [max(long[["x", "y"]].min()), min(long[["x", "y"]].max())]
            line = {"type": "line", "color": vega.GRAYS[0], "strokeDash": [3, 3], "clip": True}
            values = [{"x": float(end), "y": float(end)} for end in ends]
            layers.insert(
                0, {"data": {"values": values}, "mark": line, "encoding": {"x": x, "y": y}}
            )
        return {"width": WIDTH, "height": HEIGHT, "layer": layers}

    def _details(self, columns: Sequence[str]) -> vega.Spec:
        """Return the panel of the details of the picked point."""
        of_picked = {"filter": {"param": "picked", "empty": False}}
        parts = f"split(datum.name, '{BESIDE}')"
        long = [
            of_picked,
            {"fold": [*columns], "as": ["name", "value"]},
            {"calculate": f"{parts}[0]", "as": "series"},
            {"calculate": f"{parts}[1]", "as": "item"},
            {"filter": "isValid(datum.value)"},
        ]
        scale = {"domain": [*self.series], "range": [*vega.COLORS[: len(self.series)]]}
        names = {"title": None, "symbolOpacity": 1}
        items = list(dict.fromkeys(name.split(BESIDE)[1] for name in columns))
        color = {"field": "series", "type": "nominal", "scale": scale, "legend": names}
        tips = [vega.tip("item", " ", True), vega.tip("series", " ", True), vega.tip("value", " ")]
        bars = {
            "y": {"field": "item", "type": "nominal", "sort": items, "title": None},
            "yOffset": {"field": "series", "sort": [*self.series]},
            "x": {"field": "value", "type": "quantitative", "title": self.detail},
            "color": color,
            "tooltip": tips,
        }
        said = {"type": "text", "align": "left", "baseline": "bottom", "lineBreak": "\n"}
        said |= {"color": "#222222", "fontSize": 11}
        place = {"x": {"value": 0}, "y": {"value": -12}, "text": {"field": "text"}}
        return {
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                {"transform": long, "mark": {"type": "bar", "clip": True}, "encoding": bars},
                {"transform": [of_picked], "mark": said, "encoding": place},
            ],
        }
