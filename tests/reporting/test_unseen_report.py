"""The report of unseen domains: its numbers, marks and verdicts, on small made-up runs."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from experiments.unseen_domain import frames
from experiments.unseen_domain.measures import MEASURES, PREDICTIONS
from experiments.unseen_domain.report import REPORT, nearer
from pvr_jax import results
from pvr_jax.frame import NOT_DEFINED
from pvr_jax.refusal import Refusal
from pvr_jax.reporting import publish as publish_module
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.publish import publish, tables_of
from pvr_jax.results import Study
from pvr_jax.results.study import write_study

MONOMIALS = ("1", "x₀", "x₁", "x₀x₁")
OWN, STEPS = 8.0, (0, 10)  # the MDI's unseen error of a parity of two bits


def run(name="polynomial-mlp-0", *, task="2parity", model="mlp", seeds=3, rates=(0.003,), **last):
    """Return a run that has learned the share `leak` of x₀x₁, other values as they are given.

    `last` are measures or facts at the last step, of all replicas or [R]; None leaves one out.
    `config`, `lost` and `predicted` are no measures.
    """
    config = last.pop("config", {})
    lost, predicted = last.pop("lost", ()), last.pop("predicted", True)
    leak = last.pop("leak", 0.1) + 0.001 * np.arange(seeds)
    leak = np.broadcast_to(leak, (len(rates), seeds)).ravel()
    table = pd.DataFrame(
        {
            "seed": np.tile(np.arange(seeds), len(rates)),
            "learning_rate": np.repeat(rates, seeds),
            "init_scale": 1.0,
        }
    )
    table["name"] = [f"rate{r:g}-seed{s}" for s, r, _ in table.itertuples(index=False)]
    table["diverged_at"] = [10 if name in lost else -1 for name in table["name"]]
    learned = np.stack([leak - 1, 1 - leak, 1 - leak, leak], axis=1)
    values = {
        "generalization_error": (1 - leak) ** 2 * 2,
        "in_distribution_error": 1e-5 + 0 * leak,
        "unseen_error": OWN * (1 - leak) ** 2,
        "unseen_distance": OWN * leak**2,
        "dropped_share": leak,
        "degree_temperature": leak,
        "mass_above": leak**2,
        "coefficients": learned,
        "degree_profile": np.stack([(1 - leak) ** 2, 2 * (1 - leak) ** 2, leak**2], axis=1),
        "target": "x0·x1",
        "seen": "x0 = 1 or x1 = 1",
        "seen_fraction": 0.75,
        "evaluated": "every input",
        "training_samples": 48,
        "target_mean_square": 1.0,
        "seen_variance": 1.0,
        "highest_degree": 1,
        "target_mass_above": 1.0,
        "target_coefficients": [0.0, 0.0, 0.0, 1.0],
        "target_degree_profile": [0.0, 0.0, 1.0],
        "min_degree_profile": [1.0, 2.0, 0.0],
    }
    theories = {
        "predicted_unseen_error": np.tile([OWN, 4.5], (len(table), 1)),
        "predicted_coefficients": np.tile(
            [[-1.0, 1, 1, 0], [-0.8, 0.8, 0.8, 0.2]], (len(table), 1, 1)
        ),
        "residual": np.stack([values["unseen_distance"], OWN * (leak - 0.25) ** 2], axis=1),
        "not_defined": ["", ""],
    }
    values |= theories if predicted else {}
    values |= {n: np.broadcast_to(v, np.shape(values[n])) for n, v in last.items() if v is not None}
    values = {n: v for n, v in values.items() if not (n in last and last[n] is None)}
    over_steps = ("generalization_error", "coefficients", "degree_profile", "unseen_error")
    for measure in (*over_steps, "unseen_distance", "in_distribution_error", "mass_above"):
        if measure in values:
            values[measure] = np.stack([np.ones_like(values[measure]), values[measure]])
    found = results.dataset(
        table,
        values,
        {**MEASURES, **PREDICTIONS, "not_defined": NOT_DEFINED},
        steps=STEPS,
        coordinates={"monomial": MONOMIALS, "theory": ["min_degree", "wide_ntk"]},
        experiment="unseen_domain",
        run=name,
        task=task,
        model=model,
        optimizer="sgd",
        size="small",
        n=6,
        step_unit="step",
        config={"model": {"name": model}, **config},
    )
    assert not results.check(found)
    return found


def tables(*runs):
    """Return the tables of a report as rows of texts by heading, and its other files."""
    study = Study(runs)
    files = tables_of(REPORT, study, context_of(study, REPORT.measures))
    found = {}
    for name, text in files.items():
        if name.endswith(".md") and name != "findings.md":
            lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
            found[name[:-3]] = [dict(zip(lines[0], row, strict=True)) for row in lines[2:]]
    return found, files["findings.md"], REPORT.left_out(study)


def verdict_of(found):
    (cell,) = frames.cells(Study((found,)), "near")
    return nearer(cell, None)


def test_every_column_is_the_statistic_of_its_measure():
    shown, findings, left_out = tables(run())
    leak = np.array([0.1, 0.101, 0.102])
    (row,) = shown["explanation"]
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(leak)
    assert row["dropped monomials learned [95 %]"] == (
        f"0.1010 [{0.101 - half:.4f}, {0.101 + half:.4f}] (0.100, 0.101, 0.102)"
    )
    assert row["distance / MDI's error [95 %]"].startswith(f"{(leak**2).mean():.4f} [")
    (row,) = shown["table"]
    assert (row["replicas"], row["in-distribution error"]) == ("3 of 3", "1.00e-05")
    assert (row["MDI's unseen error"], row["wide NTK's unseen error"]) == ("8", "4.500")
    (row,) = shown["degrees"]
    assert (row["r"], row["target's mass there"]) == ("1", "1")
    last = shown["coefficients"][-1]
    assert [last[k] for k in ("monomial", "target", "MDI", "wide NTK")] == [
        "x₀x₁",
        "1",
        "0",
        "0.200",
    ]
    (row,) = shown["tasks"]
    assert (row["seen [%]"], row["evaluated on"]) == ("75.0", "every input")
    assert "0 of them" not in findings and left_out == [] and "not_defined" not in shown
    assert findings.startswith("Of 1 setting that fitted the training data")
    assert re.search(
        r"to the MDI is 0\.0102 \[.*target 0\.808\d \[.*: nearer to the MDI\.", findings
    )
    assert "distance of 0.178 from the wide NTK and 0.0816 from the MDI: the MDI is" in findings


def test_what_is_nearer_is_judged_for_all_settings_at_once():
    margin = np.array([-0.1, -0.12, -0.08])
    near = {"unseen_error": OWN, "unseen_distance": OWN * (1 + margin)}
    assert verdict_of(run(**near)).text == "nearer to the MDI"
    far = {"unseen_error": OWN * (1 + margin), "unseen_distance": OWN}
    assert verdict_of(run(**far)).text == "nearer to the target"
    low, high = scipy.stats.t.interval(1 - 0.05 / 20, 2, -0.1, scipy.stats.sem(margin))
    assert low < 0 < high
    rates = tuple(0.001 * 1.1**i for i in range(20))
    many = {"unseen_error": OWN, "unseen_distance": np.tile(near["unseen_distance"], 20)}
    _, findings, _ = tables(run(rates=rates, **many))
    assert findings.count(": no significant difference.") == 20 and "in 20 there is" in findings


def test_two_groups_of_seeds_are_shown_and_not_judged():
    margin = np.array([-0.5 + 0.001 * i for i in range(10)] + [0.3, 0.301])
    found = {"unseen_error": OWN, "unseen_distance": OWN * (1 + margin)}
    shown, findings, _ = tables(run(seeds=12, **found))
    assert "no verdict, since the seeds form two groups" in findings
    assert "(10 at 4.04 and 2 at 10.4)" in shown["explanation"][0]["distance to MDI [95 %]"]
    twice = {name: np.concatenate([v, v]) if np.ndim(v) else v for name, v in found.items()}
    assert verdict_of(run(seeds=24, **twice)).text == "nearer to the MDI"


def test_an_unfinished_fit_is_marked_everywhere_and_not_judged():
    shown, findings, (line,) = tables(run(in_distribution_error=[1e-5, 0.006, 1e-5]))
    assert shown["table"][0]["in-distribution error"].endswith(" †")
    for name in ("explanation", "degrees", "coefficients"):
        assert "†" in " ".join(shown[name][0].values()), name
    assert "- " not in findings and findings.startswith("No verdict: no setting has a finished fit")
    assert "error 0.00600, above 1 % of ½ Var f, 0.00500; no verdict" in line


def test_what_is_not_measured_is_not_judged():
    _, findings, (line,) = tables(run(in_distribution_error=[1e-5, np.nan, 1e-5]))
    assert "was not measured; no verdict" in line and "- " not in findings
    assert verdict_of(run(unseen_distance=np.nan)).text.startswith("no verdict, since there")
    one = run(seeds=1)
    assert verdict_of(one).text.startswith("no verdict, since there")
    assert "0.1000 [–]" in tables(one)[0]["explanation"][0]["dropped monomials learned [95 %]"]


def test_diverged_replicas_do_not_count_and_a_setting_may_have_none():
    lost = ["rate0.003-seed0"]
    shown, _, _ = tables(run(lost=lost))
    assert shown["table"][0]["replicas"] == "2 of 3"
    assert "(0.101, 0.102)" in shown["explanation"][0]["dropped monomials learned [95 %]"]
    shown, findings, _ = tables(run(lost=[f"rate0.003-seed{i}" for i in range(3)]))
    assert shown["table"][0]["replicas"] == "0 of 3" and findings.startswith("No verdict")


def test_an_interpolator_beyond_reach_is_judged_by_the_mass_above_its_degree():
    far = {"predicted_unseen_error": [1.5e6, np.nan], "unseen_distance": [1.5e6, 1.4e6, 1.6e6]}
    shown, findings, _ = tables(run(**far))
    assert "1.500e+06 [" in shown["explanation"][0]["distance to MDI [95 %]"]
    assert "In 1 setting that fitted, the MDI is so large" in findings
    assert "is 3.00e+06 times that of the zero function" in findings
    assert re.search(
        r"degree r = 1 the target has a mass of 1 and the networks learned 0\.0102", findings
    )


def test_where_the_interpolator_is_the_target_nothing_is_a_share():
    shown, _, (line,) = tables(run(predicted_unseen_error=[1e-31, np.nan]))
    assert "the MDI is the target" in line
    assert "distance / MDI's error [95 %]" not in shown["explanation"][0]


def test_without_theories_everything_else_is_shown_and_the_reason_is_said():
    why = ["too large a problem", "not for the model mlp"]
    lost = {n: np.nan for n in ("predicted_unseen_error", "predicted_coefficients", "residual")}
    none = dict.fromkeys(("unseen_distance", "dropped_share", "highest_degree", "mass_above"))
    shown, findings, _ = tables(run(not_defined=why, **lost, **{n: np.nan for n in none}))
    assert [row["because"] for row in shown["not_defined"]] == why
    assert (
        "unseen error [95 %]" in shown["table"][0] and "MDI's unseen error" not in shown["table"][0]
    )
    assert findings.startswith("No verdict: no setting has a finished fit")
    _, _, (line,) = tables(run(predicted=False))
    assert line == "polynomial-mlp-0: no predictions yet; run --stage=predict"


def test_the_kernel_of_the_network_itself_is_a_column_where_it_is_computed():
    found = run()
    names = [name for name, own in found.data_vars.items() if "theory" in own.dims]
    third = found[names].isel(theory=[1]).assign_coords(theory=["empirical_ntk"])
    whole = found.drop_dims("theory").merge(xr.concat([found[names], third], "theory"))
    whole["predicted_unseen_error"].loc[{"theory": "empirical_ntk"}] = 4.0
    shown = tables(whole)[0]
    assert shown["table"][0]["empirical NTK's unseen error"] == "4.000"
    assert shown["coefficients"][-1]["empirical NTK"] == "0.200"
    assert "distance to empirical NTK [95 %]" in shown["explanation"][0]
    for name in names:
        whole[name].loc[{"theory": "empirical_ntk"}] = "?" if name == "not_defined" else np.nan
    shown = tables(whole)[0]
    assert not any("empirical" in heading for heading in (*shown["table"][0], *shown))
    assert shown == tables(found)[0]


def test_a_coefficient_is_off_by_intervals_that_hold_for_all_of_them():
    learned = np.tile([-1.0, 1.0, 1.0, 0.0], (3, 1))
    learned[:, 3] = [0.25, 0.3, 0.2]  # 0.25 ± 0.12 alone, ± 0.25 of four; a tenth is 0.1
    last = tables(run(coefficients=learned))[0]["coefficients"][-1]["learned [95 %]"]
    assert last == "0.250 [0.126, 0.374] (0.250, 0.300, 0.200)"
    learned[:, 3] = [0.25, 0.26, 0.24]
    last = tables(run(coefficients=learned))[0]["coefficients"][-1]["learned [95 %]"]
    assert last.endswith(" ↑")


def test_theories_that_are_not_told_apart_have_no_nearest():
    residual = np.array([[0.3, 0.1], [0.2, 0.2], [0.1, 0.21]])
    findings = tables(run(residual=residual))[1]
    assert "0.170 from the wide NTK and 0.200 from the MDI: no significant" in findings


@pytest.mark.parametrize(
    ("slope", "words"),
    [(0.2, "the leak grows with"), (-0.04, "the leak shrinks"), (0.0, "no significant trend")],
)
def test_leak_against_learning_rate(slope, words):
    rates = (0.001, 0.01, 0.1, 1.0)
    leak = 0.2 + slope * np.arange(4)[:, None] + np.array([0.01, -0.01, 0.02, -0.02])
    findings = tables(run(seeds=4, rates=rates, dropped_share=leak.ravel()))[1]
    expected = scipy.stats.spearmanr(np.repeat(rates, 4), leak.ravel()).statistic
    assert f"with the learning rate is {expected:.2f} [" in findings and words in findings


def test_a_trend_needs_three_rates_that_are_fitted_and_may_be_of_several_runs():
    rates = (0.001, 0.01, 0.1)
    runs = [
        run(
            f"polynomial-mlp-{i}",
            rates=(rate,),
            leak=0.1 * (i + 1),
            config={"train": {"epochs": i}},
        )
        for i, rate in enumerate(rates)
    ]
    shown, findings, _ = tables(*runs)
    assert "setting" not in shown["table"][0] and "Spearman" in findings
    assert [row["learning rate"] for row in shown["table"]] == ["0.001", "0.01", "0.1"]
    unfitted = run("polynomial-mlp-2", rates=rates[2:], in_distribution_error=0.3)
    assert "Spearman" not in tables(*runs[:2], unfitted)[1]


def test_settings_that_differ_are_never_one_row():
    config = [{"model": {"name": "mlp", "alpha": alpha}} for alpha in (0.5, 1.0)]
    runs = [run(f"polynomial-mlp-{i}", config=c) for i, c in enumerate(config)]
    runs += [run(f"parity-mlp-{t}", task=t, config=config[0]) for t in ("len10", "len9")]
    shown, _, _ = tables(*runs)
    assert [(r["task"], r["model"]) for r in shown["table"]] == [
        ("2parity", "mlp (alpha=0.5)"),
        ("2parity", "mlp (alpha=1)"),
        ("len9", "mlp (alpha=0.5)"),
        ("len10", "mlp (alpha=0.5)"),
    ]


def test_a_mean_of_which_no_single_values_were_kept_is_shown():
    found = run(coefficients=None)
    of = MEASURES["coefficients"].attributes
    for part, value in (("mean", 0.25), ("low", 0.2), ("high", 0.3)):
        found[f"coefficients_{part}"] = (("replica", "monomial"), np.full((3, 4), value), of)
    rows = tables(found)[0]["coefficients"]
    # Of all four at once it is 0.25 ± 0.10, and a tenth is 0.1.
    assert rows[3]["learned [95 %]"] == "0.250 [0.200, 0.300] ↑"


def test_the_page_shows_names_as_they_are_and_the_terminal_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(
        publish_module, "write_figure", lambda directory, name, spec: {"spec": spec}
    )
    task = "<script>alert(1)</script>"
    study = Study((run(task=task), run("polynomial-mlp-1", task="b", model="transformer")))
    written = publish(REPORT, study, tmp_path / "report")
    page = written.page.read_text()
    assert f"<td>{task}" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert set(written.figures) == {"unseen_error", "coefficients", "distance", "degree_profile"}
    assert page.index("data-chart") < page.index("<table")
    rows = written.figures["unseen_error"]["spec"]["data"]["values"]
    assert {"MDI", "wide NTK"} <= set(re.findall("MDI|wide NTK", rows))
    assert max(map(len, written.text.splitlines())) <= 100


def test_kept_data_make_the_same_tables(tmp_path):
    study = Study((run(), run("polynomial-mlp-1", task="b", leak=0.2)))
    (tmp_path / "run.json").write_text(json.dumps({"runs": {}}))
    write_study(tmp_path, study)
    files, again = (
        tables_of(REPORT, s, context_of(s, REPORT.measures))
        for s in (study, results.open(tmp_path))
    )
    assert files == again


def test_a_chart_without_values_is_not_drawn():
    study = Study((run(unseen_error=np.nan, seen_fraction=1.0),))
    assert "unseen_error" not in REPORT.specs(study, context_of(study, REPORT.measures))


def test_a_damaged_file_is_named_in_one_line(tmp_path):
    directory = tmp_path / "unseen_domain" / "polynomial-mlp-0"
    directory.mkdir(parents=True)
    (directory / "measures.nc").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(Refusal, match=r"^damaged file .*measures\.nc: .*--stage=analyse") as error:
        results.open(tmp_path / "unseen_domain")
    assert "\n" not in str(error.value)
