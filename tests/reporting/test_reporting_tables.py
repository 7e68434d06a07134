"""Table numbers against the raw files, and the formats they are written in."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic_runs import write_run

from pvr_jax.reporting import read_run, render_text, replica_table, summary_table
from pvr_jax.reporting.latex import escape_latex, render_latex
from pvr_jax.reporting.tables import (
    format_interval,
    format_number,
    format_percent,
    seeds_text,
)
from pvr_jax.reporting.theories import render_reasons


def raw_finals(directory, bit, measure):
    """Final values of the replicas that did not diverge, straight from the JSON."""
    document = json.loads((directory / "measures.json").read_text())
    return np.array(
        [
            document["measures"][measure][-1][i]
            for i, replica in enumerate(document["replicas"])
            if replica["bit"] == bit and replica["diverged_at"] is None
        ],
        dtype=float,
    )


def test_means_intervals_and_differences_equal_an_independent_computation(tmp_path):
    directory = write_run(tmp_path, seeds=12, diverged={"bit0-seed4": 30})
    table = summary_table([read_run(directory)]).set_index("frozen_bit")
    for bit, influence in {0: 0.46875, 7: 0.1875}.items():
        row = table.loc[bit]
        for measure in ("generalization_error", "leak", "projection", "residual_variance"):
            assert row[measure] == pytest.approx(raw_finals(directory, bit, measure).mean())
        errors = raw_finals(directory, bit, "generalization_error")
        assert row["replicas"] == len(errors)
        # Student's interval of the mean, on the log scale: half width over mean is the exponent.
        half = scipy.stats.t.ppf(0.975, len(errors) - 1) * scipy.stats.sem(errors)
        bounds = errors.mean() * np.exp(np.array([-1, 1]) * half / errors.mean())
        assert row["generalization_error_low"] == pytest.approx(bounds[0])
        assert row["generalization_error_high"] == pytest.approx(bounds[1])
        judged = scipy.stats.t.ppf(1 - 0.025 / 2, len(errors) - 1) * scipy.stats.sem(errors)
        bounds = errors.mean() * np.exp(np.array([-1, 1]) * judged / errors.mean())
        assert (row["judged_low"], row["judged_high"]) == pytest.approx(tuple(bounds))
        projections = raw_finals(directory, bit, "projection")
        bounds = scipy.stats.t.interval(
            0.95, len(projections) - 1, projections.mean(), scipy.stats.sem(projections)
        )
        assert (row["projection_low"], row["projection_high"]) == pytest.approx(bounds)
        assert row["influence"] == influence
        assert row["difference"] == pytest.approx(errors.mean() - influence)
        assert row["difference_low"] == row["generalization_error_low"] - influence


def test_verdict_says_where_the_error_lies(tmp_path):
    directory = write_run(tmp_path, seeds=12, shrink={0: 0.7})
    table = summary_table([read_run(directory)]).set_index("frozen_bit")
    assert table.loc[0, "verdict"] == "below"
    inside = table.loc[7, "judged_low"] <= 0.1875 <= table.loc[7, "judged_high"]
    assert (table.loc[7, "verdict"] == "inside") == inside


@pytest.mark.slow
def test_diverged_replicas_are_excluded_by_name(reported):
    rows = reported.table[reported.table["run"] == "pvr_majority-mlp-0123abcd"]
    row = rows.set_index("frozen_bit").loc[7]
    assert (row["replicas"], row["excluded"]) == (2, 1)
    assert row["excluded_replicas"] == "bit7-seed1 diverged at step 300"
    for text in (
        reported.paths.text,
        reported.paths.tables["table.tex"].read_text(),
        reported.page,
    ):
        assert "excluded: bit7-seed1" in text


def test_single_replica_has_a_mean_but_no_interval(reported):
    rows = reported.table[reported.table["run"] == "pvr_majority-token_mixer-00000001"]
    assert rows["generalization_error"].notna().all()
    assert rows[["generalization_error_low", "judged_high"]].isna().all(axis=None)
    assert (rows["verdict"] == "").all()
    assert "[–]" in render_text(rows)


def test_all_replicas_diverged_leaves_an_empty_row(tmp_path):
    diverged = {f"bit7-seed{seed}": 30 for seed in range(3)}
    row = summary_table([read_run(write_run(tmp_path, diverged=diverged))]).iloc[1]
    assert (row["replicas"], row["excluded"]) == (0, 3)
    assert np.isnan(row["generalization_error"])


def test_csv_reads_back_equal(reported):
    replicas = replica_table(reported.runs)
    for path, expected in (
        (reported.paths.tables["table.csv"], reported.table),
        (reported.paths.tables["replicas.csv"], replicas),
    ):
        # As text first: readers differ in the last digit of the floats that they parse.
        written = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert list(written.columns) == list(expected.columns)
        for name in expected.columns:
            if expected[name].dtype.kind == "f":
                texts = [float(text or "nan") for text in written[name]]
                np.testing.assert_array_equal(texts, expected[name])
            else:
                texts = ["" if pd.isna(v) else str(v) for v in expected[name]]
                assert written[name].tolist() == texts
    assert len(replicas) == 6 + 1 + 3
    assert replicas.query("diverged_at == 300")["replica"].tolist() == ["bit7-seed1"]


def test_a_table_says_which_interval_it_shows(reported):
    assert "[95 %]: Student's t interval of the mean, on the log scale" in reported.paths.text


def test_few_seeds_stand_beside_their_mean(reported, tmp_path):
    # Two replicas of bit 7 are left of three, and those of bit 0 are three.
    table = reported.table.set_index(["run", "frozen_bit"])
    errors = reported.runs[0].final("generalization_error", 0)
    expected = f" ({', '.join(f'{error:.3g}' for error in errors)})"
    assert table.loc[("pvr_majority-mlp-0123abcd", 0), "generalization_error_by_seed"] == expected
    assert expected in reported.paths.text
    five = summary_table([read_run(write_run(tmp_path, seeds=5))])
    assert (five["generalization_error_by_seed"] == "").all()
    assert seeds_text([0.02, 0.06, 0.42, 0.94], percent=True) == " (2.00, 6.00, 42.0, 94.0)"
    assert seeds_text([0.1, 0.11, 0.09] + [0.9, 0.91, 0.89] * 3) == " (3 at 0.100 and 9 at 0.900)"
    assert seeds_text([np.nan, 0.5]) == seeds_text([]) == ""


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_in_distribution_error_is_no_finished_fit(tmp_path, missing):
    directory = write_run(tmp_path, seeds=5, shrink={0: 0.5, 7: 0.5})
    assert (summary_table([read_run(directory)])["verdict"] == "below").all()
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    measured = document["measures"]["in_distribution_error"]
    measured[-1][:5] = [missing] * 5
    path.write_text(json.dumps(document))
    table = summary_table([read_run(directory)])
    assert table["fit"].tolist() == ["not measured", "finished"]
    assert table["verdict"].tolist() == ["", "below"]
    del document["measures"]["in_distribution_error"]
    path.write_text(json.dumps(document))
    table = summary_table([read_run(directory)])
    assert (table["fit"] == "not measured").all() and (table["verdict"] == "").all()


def test_there_is_no_verdict_before_the_fit_is_finished(tmp_path):
    directory = write_run(tmp_path, seeds=5, shrink={0: 0.5, 7: 0.5})
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"]["in_distribution_error"][-1][:5] = [0.11 * 0.46875] * 5
    path.write_text(json.dumps(document))
    table = summary_table([read_run(directory)])
    assert table["fit"].tolist() == ["unfinished", "finished"]
    assert table["verdict"].tolist() == ["", "below"]


def test_two_groups_of_seeds_have_no_verdict(tmp_path):
    directory = write_run(tmp_path, seeds=10, shrink={0: 0.5})
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    errors = [0.1 + 1e-4 * seed for seed in range(7)] + [0.4, 0.4001, 0.4002]
    document["measures"]["generalization_error"][-1][:10] = errors
    path.write_text(json.dumps(document))
    row = summary_table([read_run(directory)]).iloc[0]
    assert row["judged_high"] < row["influence"] and row["verdict"] == ""
    assert row["generalization_error_by_seed"] == " (7 at 0.100 and 3 at 0.400)"


def test_a_bit_without_influence_is_judged_by_what_unseen_inputs_add(tmp_path):
    directory = write_run(tmp_path, seeds=5, influences={0: 0.0, 7: 0.25})
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    measured = document["measures"]
    seen = [0.001 * (1 + seed) for seed in range(5)]
    for added, verdict in (
        ([0.1, 0.11, 0.09, 0.1, 0.1], "above"),
        ([1e-5, -1e-5] * 2 + [0], "inside"),
    ):
        measured["in_distribution_error"][-1][:5] = seen
        measured["generalization_error"][-1][:5] = np.add(seen, added).tolist()
        path.write_text(json.dumps(document))
        assert summary_table([read_run(directory)]).iloc[0]["verdict"] == verdict


def test_arrows_of_many_cells_are_corrected_for_their_number(tmp_path):
    # A mean 2.4 standard errors below the influence, of 20 seeds: shown for one cell, not of ten.
    influences = dict.fromkeys(range(10), 0.25)
    directory = write_run(tmp_path, seeds=20, influences=influences)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    spread = np.array([-0.01, 0.01] * 10)
    errors = 0.25 - 2.4 * spread.std(ddof=1) / np.sqrt(20) + spread
    document["measures"]["generalization_error"][-1] = errors.tolist() * 10
    path.write_text(json.dumps(document))
    run = read_run(directory)
    table = summary_table([run])
    assert (table["generalization_error_high"] < 0.25).all()
    assert (table["verdict"] == "inside").all()
    alone = write_run(tmp_path / "alone", seeds=20, influences={0: 0.25})
    document = json.loads((alone / "measures.json").read_text())
    document["measures"]["generalization_error"][-1] = errors.tolist()
    (alone / "measures.json").write_text(json.dumps(document))
    assert summary_table([read_run(alone)])["verdict"].tolist() == ["below"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.2, "120 %"), (0.0031, "0.31 %"), (0.14, "14 %"), (12.34, "1200 %"), (float("nan"), "–")],
)
def test_percentages_are_never_written_with_powers_of_ten(share, text):
    assert format_percent(share) == text
    assert format_percent(-0.0354, "+") == "-3.5 %"


def test_an_unknown_measure_appears_by_name(tmp_path):
    directory = write_run(tmp_path)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"]["noise_stability"] = document["measures"]["leak"]
    path.write_text(json.dumps(document))
    table = summary_table([read_run(directory)])
    assert (table["noise_stability"] == table["leak"]).all()
    assert "noise stability" in render_reasons(table)


def test_markdown_columns_are_aligned(reported):
    blocks = [
        [line for line in block.splitlines() if line.startswith("|")]
        for block in reported.paths.text.split("### ")[1:]
    ]
    assert sum(bool(lines) for lines in blocks) >= 5
    for lines in filter(None, blocks):
        assert len({len(line) for line in lines}) == 1
        assert len({line.count("|") for line in lines}) == 1


def test_latex_is_escaped_and_regular(reported):
    text = render_latex(reported.table)
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert r"pvr\_majority-token\_mixer-00000001" in text
    assert r"50 \% \& \$x\_1\$ <b>" in text
    assert "_" not in "".join(body).replace(r"\_", "")
    columns = body[0].count("r", body[0].index("}{"))
    cells = [line for line in body if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.replace(r"\&", "").count("&") + 1 for line in cells} == {columns}
    assert [line for line in body if line.startswith("\\") and "rule" in line] == [
        r"\toprule",
        *[r"\midrule"] * 3,
        r"\bottomrule",
    ]
    assert escape_latex("a\\b_{c}") == r"a\textbackslash{}b\_\{c\}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0625, "0.06250"),
        (113.0, "113.0"),
        (1234.0, "1234"),
        (12345.0, "1.234e+04"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (np.nan, "–"),
    ],
)
def test_numbers_have_four_significant_digits(value, text):
    assert format_number(value) == text


def test_intervals_share_their_decimals():
    assert format_interval(0.25, 0.2481, 0.25222) == "0.2500 [0.2481, 0.2522]"
    assert format_interval(116.07, 115.0, 117.25) == "116.1 [115.0, 117.2]"
    assert format_interval(-0.001, -0.002, 0.003, 0.25) == "-0.0010 [-0.0020, 0.0030]"
    assert format_interval(0.25, np.nan, np.nan) == "0.2500 [–]"
    assert format_interval(np.nan, np.nan, np.nan) == "–"


def test_csv_has_no_index_column_and_names_the_loss(reported):
    first = io.StringIO(reported.paths.tables["table.csv"].read_text()).readline()
    assert first.startswith(
        "run,task,task_label,model,model_label,optimizer,learning_rate,init_scale,size,loss,step,"
        "frozen_bit,"
    )
