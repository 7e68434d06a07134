"""Parts of the Vega-Lite description of a chart, over one long table.

Its columns are always `x`, `y`, `low`, `high`, `panel`, `color`, `dash`, …; `role` is what a row
is: a mean with its band, a single replica, an exact level, or an event.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pvr_jax.reporting.columns import Column, Context
from pvr_jax.reporting.exhibits import format_coordinate, sorted_values
from pvr_jax.reporting.numbers import MISSING
from pvr_jax.results import statistics

Spec = dict[str, Any]
# Okabe and Ito 2008: safe for color-blind readers and in print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3])
SHAPES = ("diamond", "cross", "triangle-up", "square", "triangle-down")
GRAYS = ("#6B6B6B", "#A9885A", "#5A86A9", "#A0A0A0")
MAX_REPLICA_ROWS = 2000  # of single replicas drawn besides means
MAX_PANELS = 12
LEVEL_TEXT = 40  # characters that fit below an axis; longer labels are rotated
PANELS_PER_ROW = 3
WIDTH, HEIGHT = 250, 190  # pixels, of one of several panels
# Columns whose values need no prefix.
TITLED = ("task", "model", "setting", "training", "condition", "network", "of", "panel")
ALONE = (520, 300)  # of the only panel
DIGITS = 5  # of a number in a description
TEXTS = ("panel", "color", "dash", "role", "level", "replica", "sign", "verdict")
# In a row above a panel, where neither data nor predictions are.
MARK = {"type": "text", "y": -6, "clip": False, "fontSize": 11, "fontWeight": "bold"}
# Widths for paper, in pixels of 1/72 inch: one of two columns, and both.
PAPER_WIDTHS = {"": 486, "-column": 234}
LETTER, SYMBOL = 5, 30  # pixels of a legend's text and of what is before it
CONFIG = {
    "background": "transparent",
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {"grid": False, "labelFontSize": 10, "titleFontSize": 11, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 10, "titleFontSize": 10, "orient": "bottom", "labelLimit": 400},
    "header": {
        "labelFontSize": 11,
        "labelFontWeight": "bold",
        "labelAnchor": "start",
        "title": None,
    },
}
# The wheel scrolls the page; with shift it zooms.
ZOOM = {
    "type": "interval",
    "zoom": "wheel![event.shiftKey]",
    "translate": "[mousedown[event.shiftKey], window:mouseup] > window:mousemove!",
}


class Described(Protocol):
    """What a description needs from a chart."""

    panel: str
    floor: float | None
    log_y: bool
    own: Sequence[str]


def paper(spec: Spec, width: int) -> Spec:
    """Return a description whose panels fill a width on paper, on white."""
    found = copy.deepcopy(spec)
    found["config"] = {**found["config"], "background": "white"}
    panels = found.get("hconcat") or [found.get("spec", found)]
    columns = found.get("columns", len(panels))
    if width < 300:
        columns = 1
    if "columns" in found:
        found["columns"] = columns
    if "hconcat" in found and columns == 1:
        found["vconcat"] = found.pop("hconcat")
    for inner in panels:
        height = 1.25 if len(panels) > 1 else 0.75 if columns > 1 else 0.6
        inner["width"] = (width - 70) / columns - (20 if columns > 1 else 0)
        inner["height"] = inner["width"] * height
    layers = [layer for inner in panels for layer in inner["layer"]]
    found["config"]["legend"] = {**found["config"]["legend"], **_legends(layers, width)}
    return found


def _legends(layers: Sequence[Spec], width: int) -> Spec:
    """Return how legends fit a width: in columns, and below each other if they must."""
    looks = ("color", "shape", "stroke", "strokeDash")
    used = [layer["encoding"].get(look, {}) for layer in layers for look in looks]
    entries = {tuple(use["scale"]["domain"]) for use in used if use.get("type") == "nominal"}
    each = {labels: LETTER * max(map(len, labels)) + SYMBOL for labels in entries}
    columns = max(1, width // max(each.values(), default=width))
    total = sum(size * min(len(labels), columns) for labels, size in each.items())
    stacked = {"layout": {"bottom": {"direction": "vertical", "anchor": "start"}}}
    return {"columns": columns, **(stacked if total > width else {})}


def roles_of(**columns: str) -> dict[str, str]:
    """Return the columns of a chart by role, without unused roles."""
    return {role: name for role, name in columns.items() if name}


def means(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    y: str,
    band: str,
    scale: statistics.Scale = "real",
) -> pd.DataFrame:
    """Return the mean over replicas at every coordinate, with its band; `scale` is that of y."""
    keys = frame[list(dict.fromkeys(roles.values()))]
    codes = keys.groupby(list(keys), dropna=False, sort=False).ngroup()
    number = frame.groupby(codes).cumcount()
    values = pd.DataFrame({"code": codes, "number": number, "y": frame[y].astype(float)})
    table = values.pivot(index="code", columns="number", values="y").to_numpy()
    there = np.isfinite(table).any(axis=1)
    first = keys[~codes.duplicated()]
    found = pd.DataFrame({role: first[name].to_numpy() for role, name in roles.items()})
    found["y"], found["count"] = statistics.mean(table), np.isfinite(table).sum(axis=1)
    with np.errstate(all="ignore"):
        if band == "range":
            bounds = (
                np.nanmin(np.where(there[:, None], table, 0), axis=1),
                np.nanmax(np.where(there[:, None], table, 0), axis=1),
            )
        else:
            positive = scale == "real" and table[np.isfinite(table)].min(initial=0) >= 0
            bounds = statistics.mean_interval(table, "positive" if positive else scale)
    found["low"], found["high"] = bounds
    return found.assign(role="mean")[there]


def marked(
    found: pd.DataFrame,
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    column: Column,
    context: Context,
) -> pd.DataFrame:
    """Return the `means` of a frame with the text and value of a column."""
    grouped = frame.groupby(list(dict.fromkeys(roles.values())), dropna=False, sort=False)
    cells = [column.cell(group, context) for _, group in grouped]
    return found.assign(
        sign=[cells[place].text for place in found.index],
        verdict=[cells[place].sort for place in found.index],
    )


def replicas(frame: pd.DataFrame, roles: Mapping[str, str], y: str) -> pd.DataFrame:
    """Return the values of every replica."""
    found = pd.DataFrame({role: frame[name].to_numpy() for role, name in roles.items()})
    found["y"] = frame[y].to_numpy(float)
    named = [name for name in ("run", "replica") if name in frame]
    found["replica"] = [" ".join(map(str, row)) for row in frame[named].itertuples(index=False)]
    if "seed" in frame:
        found["seed"] = frame["seed"].to_numpy()
    return found.assign(role="replica")


def known_rows(
    frame: pd.DataFrame, roles: Mapping[str, str], mark: str, entry: str
) -> pd.DataFrame:
    """Return the known values with this legend entry, one row per coordinate."""
    frame = frame[frame[roles["y"]].notna()] if "y" in roles else frame
    found = pd.DataFrame({r: frame[n].to_numpy() for r, n in roles.items() if n in frame})
    found = found.dropna(subset=found.columns.intersection(["y"]))
    return found.drop_duplicates().assign(role=mark, level=entry)


def finished(parts: Sequence[pd.DataFrame], chart: Described, context: Context) -> pd.DataFrame:
    """Return all rows of a chart, in at most `MAX_PANELS` panels, coordinates as strings."""
    long = pd.concat([part for part in parts if len(part)], ignore_index=True)
    for role in ("panel", "color", "dash"):
        if role in long:
            order = {value: place for place, value in enumerate(sorted_values(long[role].dropna()))}
            long[f"{role}_order"] = long[role].map(order)
            is_named = role == "panel" and chart.panel not in TITLED
            before = f"{context.measure(chart.panel).long_name} " if is_named else ""
            # An empty text would be read as a missing one, and not be drawn.
            long[role] = [
                before + (format_coordinate(v) or MISSING) if pd.notna(v) else None
                for v in long[role]
            ]
    if "panel" in long:
        panels = order_of(long, "panel")[:MAX_PANELS]
        long = long[long["panel"].isin(panels)].reset_index(drop=True)
    if chart.floor is not None or chart.log_y:
        floor = chart.floor or 0.0
        for name in ("y", "low", "high"):
            if name in long:
                long[name] = long[name].clip(lower=floor)
                long[name] = long[name].where(long[name] > 0) if chart.log_y else long[name]
    if "at" in long:
        steps = sorted(long["at"].dropna().unique())
        after = dict(zip(steps, [*steps[1:], np.inf], strict=True))
        long["until"] = long["at"].map(after).replace(np.inf, 1e300)
    return long


def order_of(long: pd.DataFrame, role: str) -> list[str]:
    """Return the strings of a role, in order."""
    if role not in long:
        return []
    known = long[long[role].notna()]
    if f"{role}_order" in long:
        known = known.sort_values(f"{role}_order", kind="stable")
    return known[role].drop_duplicates().tolist()


def colors(long: pd.DataFrame, context: Context, name: str) -> Spec:
    """Return the color of lines and points, with a legend if there are several."""
    values = order_of(long, "color")
    if not values:
        return {"color": {"value": COLORS[0]}}
    legend = {"title": _legend_title(context, name), "symbolOpacity": 1}
    scale = _scale(values, COLORS)
    return {"color": {"field": "color", "type": "nominal", "legend": legend, "scale": scale}}


def _legend_title(context: Context, name: str) -> str | None:
    return None if name in TITLED else context.measure(name).long_name


def _scale(values: Sequence[str], looks: Sequence[Any]) -> Spec:
    """Return a scale that assigns the looks to values in turn, cyclically."""
    return {"domain": [*values], "range": [looks[i % len(looks)] for i in range(len(values))]}


def known_strokes(long: pd.DataFrame) -> Spec:
    """Return the strokes of levels, in gray, with a legend."""
    names = order_of(long[long["role"] == "level"], "level")
    return {"field": "level", "type": "nominal", "title": None, "scale": _scale(names, GRAYS)}


def known_shapes(long: pd.DataFrame) -> Spec:
    """Return the shapes of levels that are points, with a legend."""
    names = order_of(long, "level")
    found = {"field": "level", "type": "nominal", "title": None, "sort": names}
    return {**found, "scale": _scale(names, SHAPES)}


def discrete_axis(
    long: pd.DataFrame, role: str, values: pd.Series, title: Any, turned: bool = True
) -> Spec:
    """Return a discrete axis, whose labels may be rotated; converts the role to strings."""
    texts = list(dict.fromkeys(map(format_coordinate, sorted_values(values))))
    long[role] = long[role].map(format_coordinate)
    axis = {"labelAngle": -40 if turned and sum(map(len, texts)) >= LEVEL_TEXT else 0}
    return {"field": role, "type": "ordinal", "title": title, "sort": texts, "axis": axis}


def dashes(long: pd.DataFrame, context: Context, name: str) -> Spec:
    """Return the dashes of lines, with a legend; nothing if there is only one."""
    values = order_of(long, "dash")
    if len(values) < 2:
        return {}
    look = {"symbolOpacity": 1, "symbolSize": 400, "symbolStrokeColor": GRAYS[0]}
    legend = {"title": _legend_title(context, name), **look}
    scale = _scale(values, DASHES)
    return {"strokeDash": {"field": "dash", "type": "nominal", "legend": legend, "scale": scale}}


def faint(opacity: float, color: str) -> Spec:
    """Return an opacity that a click on another legend entry removes."""
    if not color:
        return {"value": opacity}
    return {"condition": {"param": "chosen", "value": opacity}, "value": opacity / 12}


def layer(mark: str, kind: Spec, **encoding: Any) -> Spec:
    """Return a layer of the rows of one role."""
    return {
        "transform": [{"filter": f"datum.role == '{mark}'"}],
        "mark": {"clip": True, **kind},
        "encoding": encoding,
    }


def tip(name: str, title: Any, text: bool = False, form: str = ".4~g") -> Spec:
    """Return a tooltip line."""
    title = title[0] if isinstance(title, list) else title
    if text:
        return {"field": name, "type": "nominal", "title": title}
    return {"field": name, "type": "quantitative", "title": title, "format": form}


def tips(roles: Mapping[str, str], context: Context) -> list[Spec]:
    """Return the tooltip lines that identify a mark."""
    return [tip(r, context.measure(n).long_name, True) for r, n in roles.items() if r != "at"]


def assembled(
    chart: Described,
    context: Context,
    long: pd.DataFrame,
    layers: Sequence[Spec],
    roles: Mapping[str, str],
    zoom: bool = True,
) -> Spec:
    """Return the whole description: the nonempty layers, in panels if there are several."""
    there = set(long["role"])
    layers = [
        layer for layer in layers if any(f"'{mark}'" in str(layer["transform"]) for mark in there)
    ]
    columns = [c for c in long if not c.endswith("_order")]
    # CSV is a third of the size of JSON.
    text = long[columns].to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    is_number = pd.api.types.is_numeric_dtype
    types = {c: "number" if c not in TEXTS and is_number(long[c]) else "string" for c in columns}
    data = {"values": text, "format": {"type": "csv", "parse": types}}
    # Selections are at the top and name their view, as Altair reads and writes them.
    view = {"views": ["points"]}
    params = [{"name": "zoom", "select": ZOOM, "bind": "scales", **view}] if zoom else []
    if "color" in roles:
        chosen = {"type": "point", "fields": ["color"]}
        params.append({"name": "chosen", "select": chosen, "bind": "legend", **view})
    layers = [*layers[:-1], {**layers[-1], "name": "points"}]
    width, height = (WIDTH, HEIGHT) if len(order_of(long, "panel")) > 1 else ALONE
    inner: Spec = {"width": width, "height": height, "layer": layers}
    spec: Spec = {"data": data, "config": CONFIG}
    if "at" in roles:
        steps = long["at"].dropna()
        bind = {
            "input": "range",
            "min": float(steps.min()),
            "max": float(steps.max()),
            "name": f"{roles['at']} ",
        }
        bind["step"] = max((bind["max"] - bind["min"]) / 400, 1)
        params.append({"name": "at", "value": float(steps.max()), "bind": bind})
        spec["transform"] = [
            {"filter": "!isValid(datum.at) || (datum.at <= at && at < datum.until)"}
        ]
    spec |= {"params": params} if params else {}
    if len(panels := order_of(long, "panel")) > 1:
        facet = {"field": "panel", "type": "nominal", "title": None, "sort": panels}
        if chart.own:
            spec["resolve"] = {"scale": dict.fromkeys(chart.own, "independent")}
        rows = math.ceil(len(panels) / PANELS_PER_ROW)
        columns = math.ceil(len(panels) / rows)  # four in two rows, without axes of empty panels
        return spec | {"facet": facet, "columns": columns, "spec": inner}
    return spec | inner
