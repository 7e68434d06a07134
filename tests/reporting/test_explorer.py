"""The explorer: a valid description whose second panel follows the point that was clicked."""

import io
import re

import altair
import pandas as pd
import pytest
import toy_study
import vl_convert

from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.explorer import Explorer, column_of
from pvr_jax.reporting.vega import PAPER_WIDTHS, paper

STUDY = toy_study.study(toy_study.run())


def points(study):
    return pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "influence": [0.1, 0.5, 0.4],
            "error": [0.2, 0.3, 0.6],
            "kind": ["near", "near", "far"],
            "learned": ["named", "like", "a series"],
            "text": ["the first,\nof all", "the second", "the third"],
            column_of("target", "x0"): [1.0, 0.0, 0.5],
            column_of("target", "x1"): [0.0, 1.0, None],
            column_of("learned", "x0"): [0.9, 0.1, 0.4],
            column_of("learned", "x1"): [0.1, 0.8, None],
        }
    )


EXPLORER = Explorer(
    "e", "E", y="error", x="influence", color="kind", data=points, key="name", text="text",
    series=("target", "learned"), detail="coefficient", diagonal=True,
)  # fmt: skip


def texts_of(svg):
    """Return what is written in a figure; labels for screen readers are not."""
    return set(re.findall(r">([^<>]+)</(?:text|tspan)>", svg))


@pytest.fixture(scope="module")
def spec():
    return EXPLORER.spec(STUDY, context_of(STUDY))


def test_it_is_valid_and_can_be_drawn(spec):
    drawn = EXPLORER.draw(STUDY)
    assert isinstance(drawn, altair.TopLevelMixin)
    whole = drawn.to_dict()  # validates
    for name, width in PAPER_WIDTHS.items():
        on_paper = paper(whole, width)
        assert ("vconcat" in on_paper) == (name == "-column")
        svg = vl_convert.vegalite_to_svg(on_paper)
        # The details of the first point, and of no other.
        assert texts_of(svg) & {"the first,", "the second"} == {"the first,"}
        assert "NaN" not in svg


def test_details_are_those_of_the_picked_point(spec):
    (picked,) = (param for param in spec["params"] if param["name"] == "picked")
    assert picked["value"] == [{"key": "a"}] and picked["select"]["fields"] == ["key"]
    bars, said = spec["hconcat"][1]["layer"]
    of_picked = {"filter": {"param": "picked", "empty": False}}
    assert bars["transform"][0] == said["transform"][0] == of_picked
    folded = next(step["fold"] for step in bars["transform"] if "fold" in step)
    assert folded == ["target|x0", "target|x1", "learned|x0", "learned|x1"]
    assert bars["encoding"]["y"]["sort"] == ["x0", "x1"]
    rows = pd.read_csv(io.StringIO(spec["data"]["values"]))
    assert rows["x"].tolist() == [0.1, 0.5, 0.4] and rows["color"].tolist()[2] == "far"
    assert rows["learned|x1"].isna().tolist() == [False, False, True]


def test_another_point_can_be_picked(spec):
    spec = {**spec, "params": [dict(param) for param in spec["params"]]}
    for param in spec["params"]:
        if param["name"] == "picked":
            param["value"] = [{"key": "b"}]
    svg = vl_convert.vegalite_to_svg(paper(spec, 486))
    assert texts_of(svg) & {"the first,", "the second"} == {"the second"}
