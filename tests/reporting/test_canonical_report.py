"""The report of the canonical holdout on small made-up results: numbers, marks, verdicts."""

import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from configs import canonical_holdout
from experiments.canonical_holdout import frames, verdicts
from experiments.canonical_holdout.experiment import EXPERIMENT
from experiments.canonical_holdout.measures import MEASURES
from experiments.canonical_holdout.report import REPORT
from pvr_jax import results, theory
from pvr_jax.analysis import canonical
from pvr_jax.boolean import cube, fourier
from pvr_jax.frame import labeled
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.publish import render_page, tables_of
from pvr_jax.results import Study
from pvr_jax.tasks import holdouts

STEPS = (0, 30)


def run(
    errors,
    *,
    influences=None,
    seen=1e-5,
    model="mlp",
    task="pvr",
    digits="00000000",
    theories=None,
    diverged=(),
    pairs=True,
    rate=0.001,
    evaluation=None,
    **fields,
):
    """Return the dataset of a run; `errors` are those of the seeds, by frozen bit."""
    influences = influences or {bit: 0.25 for bit in errors}
    cells = [(bit, seed) for bit, values in errors.items() for seed in range(len(values))]
    names = [f"bit{bit}-seed{seed}" for bit, seed in cells]
    bits = np.array([bit for bit, _ in cells])
    replicas = pd.DataFrame(
        {"name": names, "seed": [seed for _, seed in cells], "learning_rate": rate}
        | {"init_scale": 1.0, "frozen_bit": bits}
        | {"diverged_at": [30 if name in diverged else -1 for name in names]}
    )
    last = np.array([errors[bit][seed] for bit, seed in cells], float)
    influence = np.array([influences[bit] for bit in bits], float)
    count = len(cells)
    at = {"generalization_error": last, "in_distribution_error": np.full(count, seen)}
    at |= {"unseen_error": 2 * last - seen, "leak": np.full(count, 0.02)}
    at |= {"projection": np.full(count, 0.9), "degree_temperature": np.full(count, 0.05)}
    at |= {"residual_variance": np.full(count, 0.01)}
    at |= {"influence_overlap": influence / 8, "learned_influence": influence / 16}
    values = {name: np.stack([own + 0.5, own]) for name, own in at.items()}
    values["degree_profile"] = np.ones((2, count, 4)) * np.arange(4)
    values |= {"influence": influence, "constant_error": 0.5, "mean_square": 1.0}
    values |= {"seen_constant_error": np.full(count, 0.5)}
    values["frozen_degree_profile"] = np.ones((count, 4))
    if pairs:
        learned = np.stack([0.9 + 0.01 * last, 0.1 * last], axis=1)[:, None]
        values["tracked_coefficients"] = np.stack([0 * learned, learned])
        of_pair = {"low": "x1 x2", "high": "x0 x1 x2", "target_low": 0.0, "target_high": 1.0}
        of_pair["limit"] = 1.0
        values |= {f"pair_{name}": np.full((count, 1), own) for name, own in of_pair.items()}
    config = {
        "evaluation": evaluation or {},
        "model": {"name": model} | fields,
        "task": {"name": task, "pointer_bits": 1},
    }
    found = results.dataset(
        replicas,
        values,
        MEASURES,
        steps=STEPS,
        coordinates={"member": ["T", "twin"]} if pairs else {},
        experiment="canonical_holdout",
        run=f"{task}-{model}-{digits}",
        task=task,
        model=model,
        optimizer="adam",
        size="",
        n=3,
        holdout="canonical",
        config=config | {"train": {"learning_rates": [rate]}},
    )
    if theories:
        said = {
            name: {
                "predicted_generalization_error": np.full(count, error),
                "residual": np.where(replicas["diverged_at"] < 0, np.array(left), math.nan),
            }
            for name, (error, left) in theories.items()
        }
        said["empirical_ntk"] = {}
        reasons = dict.fromkeys(said, "") | {"empirical_ntk": "n = 14: allowed up to 12"}
        predicted = labeled(EXPERIMENT, found, said, reasons)
        found = found.merge(predicted.drop_attrs(deep=False), compat="override", join="exact")
    return found


def tables(*runs):
    study = Study(runs)
    return tables_of(REPORT, study, context_of(study, REPORT.measures))


def rows(text):
    """Return the rows of a Markdown table by heading."""
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_the_error_stands_beside_influence_and_predictions():
    left = {"influence": [0.03, 0.04, 0.05], "wide_ntk": [0.01, 0.021, 0.029]}
    theories = {"influence": (0.25, left["influence"]), "wide_ntk": (0.2, left["wide_ntk"])}
    made = tables(run({0: [0.21, 0.22, 0.23]}, theories=theories))
    (row,) = rows(made["table.md"])
    assert row["error [95 %]"].startswith("0.2200 [0.1965, 0.2463] (0.210, 0.220, 0.230) ↓")
    assert (row["influence"], row["wide NTK"], row["verdict"]) == ("0.25", "0.2000", "below")
    assert row["error − influence [95 %]"] == "-0.0300 [-0.0535, -0.0037]"
    assert "empirical NTK" not in row and row["replicas"] == "3 of 3"
    (row,) = rows(made["residuals.md"])
    assert row["residual, wide NTK [95 %]"].startswith("0.02000")
    assert row["nearest"] == "wide NTK"  # paired, by 0.02 in every seed
    (row,) = rows(made["kinds.md"])
    assert row["frozen"] == "pointer bits" and row["2·overlap"] == "0.250"
    # 0.22 / 0.25 = 1 − 0.25 + 0.0625 + not fitted
    assert float(row["not fitted"]) == pytest.approx(0.22 / 0.25 - 1 + 0.25 - 0.0625, abs=1e-4)


def test_theories_whose_residuals_overlap_are_not_told_apart():
    theories = {"influence": (0.25, [0.03, 0.01, 0.02]), "wide_ntk": (0.2, [0.01, 0.02, 0.029])}
    made = tables(run({0: [0.21, 0.22, 0.23]}, theories=theories))
    assert rows(made["residuals.md"])[0]["nearest"] == "no significant difference"


@pytest.mark.parametrize(
    "errors, seen, mark",
    [
        ([0.2, 0.201, 0.202, 0.203, 0.204], 1e-5, "↓"),
        ([0.3, 0.301, 0.302, 0.303, 0.304], 1e-5, "↑"),
        ([0.2, 0.25, 0.3, 0.22, 0.28], 1e-5, "?"),
        ([0.249, 0.251, 0.25, 0.252, 0.248], 1e-5, "="),
        ([0.24, 0.241, 0.242, 0.239, 0.238], 1e-5, "=↓"),  # within the margin, and below
        ([0.2, 0.201, 0.202, 0.203, 0.204], 0.0051, "†"),  # above 1 % of ½ Var f = 0.5
        ([0.2, 0.201, 0.202, 0.203, 0.204], 0.0049, "↓"),
        ([0.1] * 9 + [0.2], 1e-5, ""),  # two groups of seeds have no mean to speak of
    ],
)
def test_marks_are_verdicts_on_the_mean(errors, seen, mark):
    row = rows(tables(run({0: errors}, seen=seen))["table.md"])[0]
    assert row["error [95 %]"].rpartition("]")[2].rpartition(")")[2].strip() == mark
    words = {"↓": "below", "↑": "above", "?": "undecided", "=": "equal", "=↓": "equal, below"}
    words |= {"†": "unfinished", "": "two groups"}
    assert row["verdict"] == words[mark]


def test_marks_hold_for_all_cells_at_once():
    errors = [0.235, 0.24, 0.245, 0.238, 0.243]
    alone = tables(run({0: errors}))["table.md"]
    many = tables(run({bit: errors for bit in range(40)}))["table.md"]
    assert "↓" in alone and "↓" not in many
    assert "below" in alone and "below" not in many


def test_the_verdict_is_the_first_sentence_and_counts_every_cell():
    errors = {0: [0.2, 0.201, 0.202], 1: [0.25, 0.251, 0.249], 2: [0.3, 0.2, 0.26], 3: [0.2, 0.9]}
    said = tables(run(errors))["findings.md"].splitlines()[0]
    assert said == (
        "Of 4 cells (a network, a task and a frozen bit), the error equals the influence within "
        "10 % in 1, is below it in 1 and above it in 0; in 2 this is undecided. All at once with "
        "95 %."
    )
    page_of = Study((run({0: [0.2, 0.201]}, seen=0.1), run({0: [0.2, 0.201]}, model="mixer")))
    context = context_of(page_of, REPORT.measures)
    page = render_page(REPORT, page_of, context, {}, None)
    said = page[page.index('<p class="verdict">') :].partition("</p>")[0]
    assert "Of 1 cell (" in said and "No verdict: in 1 the fit is not finished (†)." in said
    decisions = REPORT.decisions(page_of, context)
    assert [(b, d.verdict) for b, d in decisions] == [("0", "below"), ("0", "unfinished")]


def test_the_margin_is_that_of_the_configuration():
    errors = {0: [0.24, 0.241, 0.242]}
    (wide,), (narrow,) = (
        rows(tables(run(errors, evaluation=given))["table.md"])
        for given in ({"margin": 0.2}, {"margin": 0.01})
    )
    assert (wide["verdict"], narrow["verdict"]) == ("equal, below", "below")
    said = tables(run(errors, evaluation={"margin": 0.2}))["findings.md"]
    assert "within 20 % in 1" in said


def test_seeds_that_were_added_until_decided_keep_their_first_verdict():
    # Ten seeds, looked at after five; of bit 1, all ten at once would not decide.
    errors = {0: [0.2, 0.21, 0.19, 0.2, 0.205, 0.2, 0.21, 0.19, 0.2, 0.205]}
    errors[1] = [0.25, 0.251, 0.249, 0.2501, 0.2499, 0.15, 0.35, 0.2, 0.3, 0.25]
    first, second = rows(tables(run(errors).assign_attrs(looks="5,10,20"))["table.md"])
    assert (first["verdict"], second["verdict"]) == ("below (5 seeds)", "equal (5 seeds)")
    assert rows(tables(run(errors))["table.md"])[1]["verdict"] == "undecided"
    study = Study((run(errors).assign_attrs(looks="5,10,20"),))
    context = context_of(study, REPORT.measures)
    assert [(b, d.seeds) for b, d in REPORT.decisions(study, context)] == [("0", 5), ("1", 5)]
    assert "Seeds were added until decided, at most 20." in REPORT.verdict(study, context)
    early = run({0: [0.2, 0.21]}).assign_attrs(looks="5,10")
    assert rows(tables(early)["table.md"])[0]["verdict"] == "undecided"


def test_verdicts_stand_above_the_means_of_the_figure():
    study = Study((run({0: [0.2, 0.201, 0.202], 1: [0.2, 0.3, 0.25]}),))
    spec = _specs(study)["error"]
    marks = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert [layer["encoding"]["text"]["field"] for layer in marks] == ["sign"]
    frame = pd.read_csv(io.StringIO(spec["data"]["values"]))
    shown = frame[frame["role"] == "mean"].set_index("x")
    assert shown["sign"].tolist() == ["▼", "?"]
    assert shown["verdict"].tolist() == ["below, 3 seeds", "undecided, 3 seeds"]


def test_the_residual_of_the_noise_kernel_is_that_of_its_interpolant():
    # Learned functions that shrink, grow and turn the frozen target off the support, c in (0, 1),
    # above 1, in (-1, 0) and below -1, with a part orthogonal to it and errors on the seen half.
    generator, made = np.random.default_rng(0), {}
    with jax.enable_x64():
        for seed, scale in enumerate((0.7, 1.4, -0.5, -1.8)):
            target = generator.normal(size=8)
            seen = np.asarray(holdouts.canonical(3, 1, -1))
            frozen = np.asarray(cube.frozen(jnp.asarray(target), 1, -1))
            learned = np.where(seen, target, scale * frozen) + 0.2 * generator.normal(size=8)
            found = canonical.extrapolation(*map(jnp.asarray, (learned, target, seen)))
            found = {name: float(value) for name, value in found.items()}
            found["in_distribution_error"] = np.square(learned - target)[seen].mean() / 2
            rho = found["degree_temperature"]
            interpolant = theory.noise_kernel_interpolator(target, seen, rho)
            expected = np.square(learned - interpolant).mean() / 2
            least = np.square(learned - theory.min_degree_interpolator(target, seen)).mean() / 2
            assert expected <= least + 1e-12  # the influence is its ρ = 0
            profile = fourier.degree_profile(fourier.walsh_hadamard(jnp.asarray(frozen)))
            made[seed] = found | {"expected": expected, "profile": np.asarray(profile)}
    data = run({0: [0.2] * 4})
    for name in found:
        data[name][-1] = [made[seed][name] for seed in range(4)]
    data["frozen_degree_profile"][:] = [made[seed]["profile"] for seed in range(4)]
    shown = frames.replicas(Study((data,)))["residual_noise_kernel"]
    assert shown.to_numpy() == pytest.approx([made[seed]["expected"] for seed in range(4)])
    assert len({round(own["degree_temperature"], 6) for own in made.values()}) == 3  # 0, 1, between


def test_the_margin_is_no_part_of_a_runs_name_and_not_zero():
    config = canonical_holdout.get_config("tiny").unlock()
    name = EXPERIMENT.run_name(config)
    config.evaluation.margin = 0.25
    EXPERIMENT.validate(config)
    assert EXPERIMENT.run_name(config) == name
    for given in (0, 1, -0.1, 0.0, math.nan, "a tenth", None):
        config.evaluation = {**config.evaluation, "margin": given}
        with pytest.raises(Refusal, match=r"^config.evaluation.margin: given ") as error:
            EXPERIMENT.validate(config)
        assert str(error.value).endswith("; allowed a number above 0 and below 1")
    del config.evaluation.margin
    assert EXPERIMENT.run_name(config) == name  # as runs of before the field


def test_bits_without_influence_come_first_in_absolute_numbers():
    made = tables(run({0: [1.0, 1.01, 1.02], 1: [0.25, 0.25, 0.26]}, influences={0: 0.0, 1: 0.25}))
    first, second = rows(made["kinds.md"])
    assert first["frozen"] == "bit 0 (influence 0)"
    assert first["error / influence [95 %]"].startswith("1.010 ")
    assert "↑" in first["error / influence [95 %]"]
    assert second["frozen"] == "value bits"
    sentences = [line for line in made["findings.md"].splitlines() if line.startswith("- ")]
    assert "the low-degree prediction is 0: error = influence does not hold" in sentences[0]
    assert rows(made["why.md"])[0]["error / influence"] == "–"


def test_a_fit_that_is_not_finished_comes_before_any_verdict():
    made = tables(run({0: [0.2, 0.201, 0.202]}, seen=0.1))
    assert made["findings.md"].startswith("No verdict on the error and the influence: of 1 cells")
    assert "no verdict, as the fit is not finished" in made["findings.md"]


def test_models_stand_side_by_side_and_settings_tell_them_apart():
    first = run({0: [0.2, 0.21]}, digits="a")
    second = run({0: [0.3, 0.31]}, model="transformer", digits="b")
    third = run({0: [0.4, 0.41]}, digits="c", rate=0.01)
    made = tables(first, second, third)
    (row,) = rows(made["models.md"])
    assert list(row)[2:] == [
        f"{name} [95 %]"
        for name in ("mlp, learning rate 0.001", "mlp, learning rate 0.01",
                     "transformer, learning rate 0.001")
    ]  # fmt: skip
    assert len(rows(made["table.md"])) == 3


def test_a_scan_of_exponents_is_a_table_of_its_own():
    runs = [
        run({0: [0.2 + alpha, 0.21 + alpha]}, digits=f"{i:08d}", alpha=alpha, depth=2)
        for i, alpha in enumerate((0.5, 1.0, 2.0))
    ]
    (row,) = rows(tables(*runs)["initialization.md"])
    assert row["model"] == "mlp" and [h for h in row if h.startswith("α")] == [
        f"α = {alpha} [95 %]" for alpha in ("0.5", "1", "2")
    ]
    assert "initialization.md" not in tables(*runs[:2])


def test_aliased_pairs_show_both_members():
    (row,) = rows(tables(run({0: [0.1, 0.2, 0.3]}))["pairs.md"])
    assert (row["T"], row["T ∪ {k}"], row["predicted"]) == ("x1 x2", "x0 x1 x2", "1")
    assert row["coefficient of T [95 %]"].startswith("0.902 [")
    assert row["coefficient of T ∪ {k} [95 %]"].startswith("0.020 [")


def test_what_diverged_or_is_not_defined_is_named_and_not_counted():
    theories = {"influence": (0.25, [0.03] * 3), "empirical_ntk": (math.nan, [math.nan] * 3)}
    found = run({0: [0.2, 0.21, 9.0]}, diverged=("bit0-seed2",), theories=theories)
    study = Study((found,))
    page = render_page(REPORT, study, context_of(study, REPORT.measures), _specs(study), None)
    assert "bit0-seed2 diverged at step 30" in page
    assert "no empirical NTK: n = 14: allowed up to 12" in page
    (row,) = rows(tables(found)["table.md"])
    assert row["error [95 %]"].startswith("0.2050") and row["replicas"] == "2 of 3"


def _specs(study):
    context = context_of(study, REPORT.measures)
    return {chart.name: chart.spec(study, context) for chart in REPORT.charts(study)}


def test_the_main_figure_is_first_and_marks_theories_and_text_is_escaped():
    theories = {"influence": (0.25, [0.03] * 2), "wide_ntk": (0.2, [0.02] * 2)}
    study = Study((run({0: [0.2, 0.21], 1: [0.2, 0.3]}, task="<b>&", theories=None),))
    specs = _specs(study)
    assert next(iter(specs)) == "error"
    page = render_page(REPORT, study, context_of(study, REPORT.measures), specs, None)
    assert "<b>&" not in page.replace("\\u003cb", "") or "&lt;b&gt;&amp;" in page
    assert page.index('id="error"') < page.index('id="table"')
    study = Study((run({0: [0.2, 0.21]}, theories=theories),))
    values = _specs(study)["error"]["data"]["values"]
    assert "influence" in values and "wide NTK" in values


def test_nothing_frozen_is_set_beside_noise_stability():
    def matched(name, stability, errors):
        replicas = pd.DataFrame({"name": [f"matched-seed{i}" for i in range(len(errors))]})
        replicas = replicas.assign(seed=range(len(errors)), learning_rate=0.1, init_scale=1.0)
        replicas = replicas.assign(frozen_bit=np.nan, diverged_at=-1)
        values = {"generalization_error": np.array(errors), "constant_error": 0.25}
        values |= {"in_distribution_error": np.array(errors), "mean_square": 1.0}
        kinds = (
            "noise_stability",
            "orbit_cross_predictability_bound",
            "orbit_cross_predictability",
        )
        values |= {f"target_{kind}": stability * (3 - i) / 3 for i, kind in enumerate(kinds)}
        return results.dataset(
            replicas, values, MEASURES, experiment="canonical_holdout", run=f"{name}-mlp-0",
            task=name, model="mlp", optimizer="adam", n=3, holdout="matched", config={},
        )  # fmt: skip

    runs = [matched(f"t{i}", 0.1 * (i + 1), [0.5 - 0.1 * i, 0.51 - 0.1 * i]) for i in range(4)]
    made = tables(*runs)
    shown = rows(made["matched.md"])
    assert [row["task"] for row in shown] == ["t3", "t2", "t1", "t0"]
    assert shown[0]["error / ½ Var f [95 %]"].startswith("0.8200")
    assert "holds for 4 of 4 targets" in made["findings.md"]
    assert "-1.00" in made["findings.md"] and "table.md" not in made


def test_verdicts_are_of_the_declared_measures():
    for name, measure in {**MEASURES, **EXPERIMENT.predictions}.items():
        assert measure.description, name
    study = Study((run({0: [0.2, 0.201, 0.202]}),))
    cell = frames.replicas(study)
    assert verdicts.verdict_of(cell, context_of(study, REPORT.measures)).verdict == "below"


def test_a_damaged_file_is_named_in_one_line(tmp_path):
    directory = tmp_path / "canonical_holdout" / "pvr-mlp-00000000"
    directory.mkdir(parents=True)
    results.write(directory / "measures.nc", run({0: [0.2, 0.21]}))
    (directory / "predictions.nc").write_bytes(b"\x89HDF\r\n no")
    with pytest.raises(Refusal, match=r"^damaged file .*predictions\.nc") as error:
        results.open(directory.parent)
    assert "\n" not in str(error.value) and "--stage=predict" in str(error.value)
