"""Rows of exhibits: labels that tell them apart, their order, and their curves."""

import numpy as np
import pandas as pd
import pytest
import toy_study

from pvr_jax.reporting import columns
from pvr_jax.reporting.columns import Cell
from pvr_jax.reporting.rows import along, in_order, labels

RUNS = pd.DataFrame(
    {
        "task": ["a", "a", "b", "b"],
        "model": ["mlp", "mlp", "mlp", "mixer"],
        "init_scale": [1.0, 0.5, 1.0, 1.0],
        "setting": ["", "", "", "wide"],
    }
)


def test_a_label_has_what_differs_and_no_more():
    words = {"init_scale": "init scale "}
    found = labels(RUNS, ["init_scale", "setting"], ["task"], words, RUNS["model"])
    assert found.tolist() == [f"{m}, init scale {s}" for m, s in zip(
        RUNS["model"], ("1", "0.5", "1", "1"), strict=True)]  # fmt: skip
    assert set(labels(RUNS.iloc[:1], ["model", "setting", "optimizer"])) == {""}
    # A missing value adds no text; the task already tells the models apart.
    assert labels(RUNS, ["task", "setting"]).tolist() == ["a", "a", "b", "b, wide"]


def test_texts_are_in_the_order_of_their_numbers():
    found = in_order(pd.DataFrame({"task": ["p10", "p9", "p9.5"], "n": [1, 2, 3]}), "task")
    assert found["n"].tolist() == [2, 3, 1] and found.index.tolist() == [0, 1, 2]


def test_curves_stand_beside_what_is_known_of_a_replica():
    study = toy_study.study(toy_study.run(), toy_study.run("b", "mixer", 2.0))
    own = study.final().assign(known=lambda frame: frame["model"])
    found = along(study, own.iloc[:1], "degree_profile")
    curve = study.curve("degree_profile")
    curve = curve[(curve["run"] == own["run"][0]) & (curve["replica"] == own["replica"][0])]
    assert found["degree_profile"].tolist() == curve["degree_profile"].tolist()
    assert found["step"].tolist() == curve["step"].tolist() and set(found["known"]) == {"mlp"}


@pytest.mark.parametrize(
    ("values", "unfinished", "expected"),
    [
        ([1.0, 1.1, 1.2], False, "above"),
        ([-1.0, -1.1, -1.2], False, "below"),
        ([-1.0, 1.1, 0.2], False, "undecided"),
        ([1.0, 1.1, 1.2], True, "unfinished"),
        ([1.0, np.nan], False, "one"),
        ([1.0, 1.0], False, "constant"),
        ([0.0] * 5 + [1.0] * 5, False, "groups"),
    ],
)
def test_what_may_be_said_of_a_mean(values, unfinished, expected):
    group = pd.DataFrame({"unfinished": unfinished, "comparisons": 1}, index=range(len(values)))
    assert columns.judged(group, np.array([values])).verdict == expected


def test_comparisons_widen_the_interval_of_each():
    values = np.array([[0.9, 1.0, 1.1, 0.2]])
    group = pd.DataFrame({"unfinished": False, "comparisons": 1}, index=range(4))
    assert columns.judged(group, values).verdict == "above"
    assert columns.judged(group.assign(comparisons=100), values).verdict == "undecided"


def test_an_interval_is_read_in_words():
    verdict = columns.read("ratio", "nothing", level=1.0, above="more", below="less")
    cells = [Cell("", {"_low": low, "_high": low + 0.1}) for low in (1.1, 0.5, 0.95, np.nan)]
    said = [verdict({"ratio": cell}) for cell in cells]
    assert said == ["more", "less", "nothing", "nothing"]
