"""The parts of pages: what is written, marked and escaped, and how numbers look."""

import pandas as pd
import pytest
from parsed_page import Page

from pvr_jax.reporting import html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-0.5 [-1.0, 0.2]", "−0.5 [−1.0, 0.2]"),
        ("2e-05", "2e−05"),
        ("x0 - 1.25*x1", "x0 - 1.25*x1"),
        ("parity-mlp-0000000a", "parity-mlp-0000000a"),
        ("0.5000  ", "0.5000"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_cells_have_a_real_minus_where_it_is_a_sign(text, shown):
    assert f"<td>{shown}</td>" in html.table(pd.DataFrame({"value": [text]}))


def test_columns_groups_and_marked_cells():
    shown = pd.DataFrame({"task": ["f", "g"], "error [95 %]": ["1", "error above"]}, index=[4, 2])
    groups = [("first & only", pd.Index([2])), ("second", pd.Index([4]))]
    text = html.table(shown, groups, outside=("error above",))
    page = Page(text)
    assert page.text.replace("\n", "") == "taskerror [95\u00a0%]first & onlygerror abovesecondf1"
    assert ("td", {"class": "text"}) in page.tags and ("td", {"class": "outside"}) in page.tags
    assert [tag for tag, _ in page.tags].count("tbody") == 2
    assert [tag for tag, _ in Page(html.table(shown)).tags].count("tbody") == 1


def test_values_of_a_record_for_people():
    record = {
        "parameters": 1089153,
        "precision": None,
        "git_commit": "0a1b",
        "stages": {"train": {"compile_seconds": 1.23456, "cached": True}},
        "command": "python -m <this>",
        "other": 1,
    }
    assert html.record_facts(record) == [
        ("parameters", "1\u2009089\u2009153"),
        ("git commit", "0a1b"),
        ("stage train", "compile seconds 1.235, cached True"),
        ("command", "python -m <this>"),
    ]
    assert html.record_facts({}) == []
    assert html.plain_value(None) == "–"


def test_the_header_leads_to_every_section():
    text = html.document("a < b", [("one", "First & only", "<p>x</p>"), ("two", "Second", "")])
    page = Page(text)
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["#one", "#two"]
    assert [a["id"] for tag, a in page.tags if tag == "section"] == ["one", "two"]
    assert "<title>a &lt; b</title>" in text and page.text.count("First & only") == 2


def test_nothing_left_out_is_said():
    text = html.left_out([("Diverged", []), ("Unfinished", ["<run>"])])
    assert text.startswith("<h3>Diverged</h3><p>None.</p><h3>Unfinished</h3><ul")
    assert "<run>" in Page(text).text


def test_links_to_a_run_name_what_exists(tmp_path):
    run, page = tmp_path / "a run", tmp_path / "report"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert html.run_links(run, page) == (
        '<a href="../a%20run/run.json">run.json</a>, '
        '<a href="../a%20run/checkpoints/">checkpoints/</a>'
    )
