"""Tables, findings and their files: what is a row, what is never merged, and how it is written."""

import dataclasses
import html
import re
from pathlib import Path

import pandas as pd
import toy_study

from pvr_jax.reporting import render
from pvr_jax.reporting.columns import Cell, count, exact, mean
from pvr_jax.reporting.exhibits import Finding, Pivot, Table, beside, context_of
from pvr_jax.results import statistics

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ERROR = mean("generalization_error")


def made(exhibit, *runs):
    study = toy_study.study(*runs)
    return exhibit.make(study, context_of(study))


def headings(*runs, **table):
    found = made(Table("t", "T", {"error": ERROR}, **table), *runs)
    return list(found.headings), len(found)


def test_rows_that_differ_in_a_coordinate_are_never_merged():
    assert headings() == (["frozen bit", "error"], 2)
    assert headings(toy_study.run(rates=(0.1, 0.2))) == (
        ["learning rate", "frozen bit", "error"],
        4,
    )
    both = toy_study.run(), toy_study.run("b", "mixer")
    assert headings(*both) == (["model", "frozen bit", "error"], 4)
    epochs = (toy_study.run(f"r{e}", config={"train": {"epochs": e}}) for e in (5, 7))
    assert headings(*epochs) == (["setting", "frozen bit", "error"], 4)
    assert headings(*both, over=["frozen_bit"], rows=["task"]) == (["model", "task", "error"], 2)


def test_rows_ascend_by_number_and_keep_the_order_of_texts():
    runs = [toy_study.run(name, name, bits=(10, 2)) for name in ("mlp", "attention")]
    found = made(Table("t", "T", {"error": ERROR}), *runs)
    assert [(row[0].text, row[1].text) for row in found.rows] == [
        ("mlp", "2"), ("mlp", "10"), ("attention", "2"), ("attention", "10"),
    ]  # fmt: skip


def test_a_pivot_has_a_column_per_value_and_dashes():
    runs = toy_study.run(), toy_study.run("b", "mixer", bits=(1,))
    found = made(
        Pivot(
            "p",
            "P",
            {"influence": exact("influence")},
            across="model",
            cell=ERROR,
            heading="error of {}",
        ),
        *runs,
    )
    assert found.headings == ["frozen bit", "influence", "error of mlp", "error of mixer"]
    assert [row[-1].text for row in found.rows] == ["–", "0.5200 [0.5007, 0.5400]"]


def test_a_finding_is_a_sentence_whose_verdict_is_read_off_the_interval():
    words = {"above": "too large", "below": "too small", "inside": "as it should be"}
    finding = Finding(
        "Bit {frozen_bit}: {error}, {verdict}.",
        {"error": ERROR},
        lambda cells: words[statistics.against(*cells["error"].bounds, 0.26)],
    )
    assert made(finding, toy_study.run(bits=(0, 1))) == [
        "Bit 0: 0.2600 [0.2504, 0.2700], as it should be.",
        "Bit 1: 0.5200 [0.5007, 0.5400], too large.",
    ]
    assert made(finding, toy_study.run(bits=(0,), rates=(0.1, 0.2)))[1] == (
        "learning rate 0.2: Bit 0: 0.2600 [0.2504, 0.2700], as it should be."
    )


def test_what_a_finding_does_not_name_stands_before_it():
    finding = Finding("the error is {error}.", {"error": ERROR}, rows=["frozen_bit"])
    assert made(finding)[1] == "frozen bit 1: the error is 0.5200 [0.5007, 0.5400]."


def test_a_baseline_stands_beside_the_others_by_seed():
    study = toy_study.study(toy_study.run(bits=(0, 1, 2)))
    final = study.final()
    final = final[~((final["frozen_bit"] == 2) & (final["seed"] == 4))]
    both = beside(final, final["frozen_bit"] == 0, "frozen_bit", context_of(study))
    assert both.groupby("frozen_bit").size().tolist() == [5, 5]
    known = both.dropna(subset="generalization_error")
    ratio = known["generalization_error"] / known["generalization_error_baseline"]
    assert ratio.tolist() == [2.0] * 5 + [3.0] * 4
    assert both["generalization_error"].isna().sum() == 1, "a seed that one side lacks"


TABLE = Table("t", "A & B", {"error [95 %]": ERROR, "fits": count("fits")},
              data=lambda study: study.final().assign(fits=True))  # fmt: skip


def test_markdown_csv_and_latex():
    found = made(TABLE)
    assert render.markdown(found).splitlines() == [
        "| frozen bit |            error [95 %] |   fits |",
        "|-----------:|------------------------:|-------:|",
        "|          0 | 0.2600 [0.2504, 0.2700] | 5 of 5 |",
        "|          1 | 0.5200 [0.5007, 0.5400] | 5 of 5 |",
    ]
    frame = found.frame
    assert list(frame) == [
        "frozen_bit", "generalization_error", "generalization_error_low",
        "generalization_error_high", "fits", "fits_of",
    ]  # fmt: skip
    assert render.csv(found).count("\n") == 3
    text = render.latex(found, "t")
    assert r"\caption{A \& B}" in text and r"\label{tab:t}" in text
    assert r"error [95 \%]" in text and text.count(r"\\") == 3
    assert text.count(r"\begin{tabular}") == 1


def test_a_table_in_a_terminal_fits_it():
    wide = Table("t", "T", {f"a rather long heading {i}": ERROR for i in range(9)})
    for width in (60, 100):
        lines = render.terminal(made(wide), width=width).splitlines()
        assert max(map(len, lines)) <= width and "frozen bit" in "\n".join(lines)
    brief = render.terminal(made(TABLE), brief=["fits"])
    assert "error" not in brief and re.search(r"0 +5 of 5", brief)


def test_texts_of_users_are_escaped():
    frame = pd.DataFrame({"task": ["a|b_{c} & <d>"], "value": [1.0]})
    found = Table("t", "T", {"x": Column}, rows=["task"], data=lambda study: frame)
    cells = found.make(toy_study.study(), context_of(toy_study.study()))
    assert "a\\|b" in render.markdown(cells)
    assert r"a$|$b\_\{c\} \& $<$d$>$" in render.latex(cells, "t")


def test_latex_has_the_notes_and_knows_every_character_of_the_kept_tables():
    found = dataclasses.replace(made(TABLE), notes=["†: not finished, ρ̂ > ½", "And more"])
    below = render.latex(found, "t").split(r"\end{tabular}")[1]
    assert r"$\dagger$: not finished, $\hat\rho$ $>$ $\frac12$\par" in below
    assert below.count(r"\par") == 2 and r"\end{table}" in below
    pages = [page.read_text() for page in EXPERIMENTS.glob("*/results/*/report.html")]
    texts = [text for page in pages for text in re.findall(r"<(?:li|t[hd])\b[^>]*>(.*?)<", page)]
    notes = [html.unescape(text) for text in texts]
    assert len(notes) > 1000, "tables, and notes on how to read them"
    text = render.latex(dataclasses.replace(found, notes=sorted(set(notes))), "t")
    assert text.isascii(), "LaTeX has no sign for it"


class Column:
    """A column that is always 1."""

    name, of, about = "one", (), ""

    @staticmethod
    def cell(group, context):
        return Cell("1", {"": 1})
