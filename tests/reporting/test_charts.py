"""Charts: valid descriptions, of the right numbers, that make files for paper."""

import io
import math

import altair
import numpy as np
import pandas as pd
import pytest
import toy_study
import vl_convert

from pvr_jax.reporting.charts import Curve, Heatmap, Points, interpolated
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.vega import MAX_PANELS, PAPER_WIDTHS, paper

STUDY = toy_study.study(toy_study.run(), toy_study.run("b", "mixer", 2.0))


def curve(name):
    return lambda study: study.curve(name)


CHARTS = {
    "curve": Curve(
        "c", "C", y="generalization_error", x="step", panel="frozen_bit", color="model",
        dash="learning_rate", levels={"constant_error": "best constant"}, log_y=True, floor=1e-3,
        data=lambda study: study.curve("generalization_error").assign(constant_error=0.5),
        events={"half": lambda study: pd.DataFrame({"step": [5.0], "model": ["mlp"]})},
    ),
    "slider": Curve(
        "s", "S", y="degree_profile", x="degree", color="frozen_bit", slider="step",
        data=curve("degree_profile"),
    ),
    "points": Points(
        "p", "P", y="generalization_error", x="frozen_bit", color="model",
        levels={"influence": "influence", "constant_error": "best constant"},
    ),
    "diagonal": Points(
        "d", "D", y="generalization_error", x="influence", diagonal=True, panel="model",
    ),
    "heatmap": Heatmap(
        "h", "H", y="frozen_bit", x="degree", color="degree_profile", panel="model", limits=(0, 1),
        data=lambda study: study.curve("degree_profile").query("step == 100"),
    ),
}  # fmt: skip


def table(name, study=STUDY):
    spec = CHARTS[name].spec(study, context_of(study))
    return pd.read_csv(io.StringIO(spec["data"]["values"])), spec


@pytest.mark.parametrize("name", CHARTS)
def test_descriptions_are_valid_and_can_be_drawn(name):
    drawn = CHARTS[name].draw(STUDY)
    assert isinstance(drawn, altair.TopLevelMixin)
    spec = drawn.to_dict()  # validates
    for width in PAPER_WIDTHS.values():
        svg = vl_convert.vegalite_to_svg(paper(spec, width))
        assert svg.startswith("<svg") and "NaN" not in svg


def test_means_bands_and_replicas_are_those_of_the_study():
    rows, _ = table("points")
    final = STUDY.final().query("model == 'mixer' and frozen_bit == 1")["generalization_error"]
    mean = rows.query("role == 'mean' and color == 'mixer' and x == 1").iloc[0]
    assert mean["y"] == pytest.approx(final.mean(), rel=1e-4) and mean["count"] == 5
    assert 0 < mean["low"] < mean["y"] < mean["high"]
    own = rows.query("role == 'replica' and color == 'mixer' and x == 1")
    np.testing.assert_allclose(own["y"], final, rtol=1e-4)
    assert own["replica"].iloc[0] == "b bit1-rate0.1-seed0" and own["seed"].tolist() == [*range(5)]
    levels = rows.query("role == 'level' and level == 'influence'")
    assert levels.groupby("x")["y"].first().tolist() == [0.25, 0.5]


def test_a_band_may_be_the_range():
    ranged = Curve("c", "C", y="accuracy", x="step", band="range", data=curve("accuracy"))
    spec = ranged.spec(STUDY, context_of(STUDY))
    rows = pd.read_csv(io.StringIO(spec["data"]["values"])).query("role == 'mean'")
    values = STUDY.curve("accuracy").groupby("step")["accuracy"].agg(["min", "max"])
    np.testing.assert_allclose(rows[["low", "high"]], values, rtol=1e-4)


def test_a_logarithmic_axis_has_a_floor_and_no_zero():
    study = toy_study.study(toy_study.run(factor=0.0))
    rows, _ = table("curve", study)
    assert rows["y"].min() == pytest.approx(1e-3)


def test_a_slider_shows_one_step_at_a_time_and_paper_the_last():
    rows, spec = table("slider")
    [param] = [param for param in spec["params"] if param["name"] == "at"]
    assert (param["value"], param["bind"]["min"], param["bind"]["max"]) == (100, 0, 100)
    visible = rows[(rows["at"] <= 99) & (rows["until"] > 99)]
    assert set(visible["at"]) == {10}, "between two evaluations it is the earlier one"


def test_no_more_panels_than_a_page_can_hold():
    many = toy_study.study(toy_study.run(bits=range(MAX_PANELS + 3), seeds=2))
    rows, spec = table("curve", many)
    assert rows["panel"].nunique() == MAX_PANELS and spec["columns"] == 3


def test_an_empty_label_is_drawn():
    unnamed = Curve(
        "c", "C", y="generalization_error", x="step", color="kind",
        data=lambda study: study.curve("generalization_error").assign(kind=""),
    )  # fmt: skip
    svg = vl_convert.vegalite_to_svg(unnamed.spec(STUDY, context_of(STUDY)))
    assert "line mark" in svg and "–" in svg


def test_errors_are_drawn_from_0_and_points_at_the_ends_are_whole():
    _, spec = table("diagonal")
    axes = [layer["encoding"] for layer in spec["spec"]["layer"] if "x" in layer["encoding"]]
    assert all(axis["y"]["scale"] == {"zero": True} for axis in axes)
    whole = {"zero": True, "nice": False, "padding": 8}
    assert all(axis["x"]["scale"] == whole for axis in axes)


def test_diverged_replicas_are_no_points():
    study = toy_study.study(toy_study.run(diverged={(0, 0), (0, 1)}))
    rows, _ = table("points", study)
    assert rows.query("role == 'mean' and x == 0")["count"].item() == 3
    everyone = {(0, seed) for seed in range(5)}
    rows, _ = table("points", toy_study.study(toy_study.run(diverged=everyone)))
    assert set(rows.query("role == 'mean'")["x"]) == {1}


def test_curves_at_their_own_places_are_compared_at_shared_ones():
    frame = pd.DataFrame(
        {"run": "r", "replica": ["a"] * 3 + ["b"] * 2, "x": [0, 2, 4, 0, 8], "y": [0, 2, 0, 1, 9.0]}
    )
    found = interpolated(frame, "x", "y", points=9)
    wide = found.pivot(index="x", columns="replica", values="y")
    assert wide["a"].tolist() == [0, 1, 2, 1, 0, 0, 0, 0, 0]
    assert wide["b"].tolist() == [*range(1, 10)]
    assert not math.isnan(found["y"].sum())
