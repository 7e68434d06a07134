"""Every configuration: all its runs are valid, each kind of run trains, and studies are redone."""

import csv
import json
import re

import documents
import jax
import numpy as np
import pytest

from experiments import registry, reports, reproduce
from pvr_jax import results

STUDIES = reproduce.names()

# Per study, the runs that differ in kind; the others differ in numbers. The last run of a study
# that a block of a document reproduces is missing: tests/launch carries it out.
SMOKE = {
    "atlas": ["model=mlp,bits=5", "model=transformer,bits=5"],
    "quadratic_chain": ["model=transformer"],
    "staircase": ["model=mlp"],
    "pvr_cyclic": ["aggregation=min,window=2,model=mlp"],
    "pvr_20_bits": ["aggregation=parity,window=2,model=mlp"],
    "pvr_37_bits": ["aggregation=min"],
    "sparse_parity_40": [""],
    "staircase_50": [""],
    "linear_networks": ["model=linear_regression", "model=deep_linear,depth=4,alpha=1.5"],
    "optimizers": ["task=staircase,optimizer=sgd"],
    "noise_stability": ["aggregation=parity,window=2,boundary=truncated"],
    "control": ["biases=no", "biases=yes"],
    "unseen_domain": ["setting=threesym,model=mlp"],
    "learning_rate_sensitivity": ["rate=0.1"],
    "length_generalization": ["radius=6"],
    "random_features": ["kind=polynomial,trained=yes"],
    "degree_curriculum": [""],
    "token_pvr": ["model=token_transformer"],
    "token_holdout": ["model=token_mixer,complexity=2"],
    "visual_pvr": ["model=vgg", "model=picture_mixer,form=strip"],
}
BLOCKS = [text for guide in documents.TEXTS.values() for *_, text in documents.blocks(guide)]
REPRODUCED = {name for name in STUDIES if any(f"reproduce {name} " in text for text in BLOCKS)}
PAPER_SEEDS = {
    "linear_networks": 20,
    "unseen_domain": 10,
    "learning_rate_sensitivity": 10,
    "length_generalization": 10,
    "random_features": 10,
    "degree_curriculum": 10,
    "token_pvr": 10,
    "token_holdout": 10,
    "token_noise_sensitivity": 10,
    "conditional_pvr": 10,
    "visual_pvr": 10,
}
OTHER_MODELS = ("random_features", "mean_field", "deep_linear")


def read(path):
    return json.loads(path.read_text())


def run_directories(workdir):
    return sorted(path.parent for path in workdir.rglob("config.json"))


def on_few_bits(config):
    """Shrink a task of any size: kernels on 2^11 points take long, and f3 has them anyway.

    And train in one mode: a probe would compile the programs of three.
    """
    with config.unlocked():
        config.train.execution = "vmap"
        if "pointer_bits" in config.task:
            config.task.pointer_bits = 2
        elif config.experiment == "canonical_holdout" and 8 < config.task.get("n", 0) <= 20:
            config.task.n = 8
    return config


def finish(name, choice, workdir, shrink=lambda config: config):
    """Run all stages of one run of a configuration but the report; return what was measured."""
    config = shrink(reproduce.load(name).get_config(choice))
    registry.experiment_of(config).validate(config)
    for stage in registry.stages_of(config):
        if stage != "report":
            reproduce.run_stage(stage, config, workdir)
    (directory,) = run_directories(workdir)
    path = directory / "measures.json"
    return directory, read(path) if path.is_file() else results.open(directory).runs[0]


def test_every_study_has_a_smoke_test():
    assert set(SMOKE) | REPRODUCED == set(STUDIES)


@pytest.mark.parametrize("size", reproduce.SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_all_runs_are_valid_different_and_of_their_size(name, size, stand_in_for_mnist):
    module = reproduce.load(name)
    choices = module.runs(size)
    seen = set()
    for choice in choices:
        config = module.get_config(choice)
        registry.experiment_of(config).validate(config)
        assert config.size == size
        if size == "paper":
            assert config.train.seeds == PAPER_SEEDS.get(name, 40)
        seen.add(config.to_json_best_effort(sort_keys=True))
    assert len(seen) == len(choices) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "choice"), [(name, choice) for name, choices in SMOKE.items() for choice in choices]
)
def test_every_kind_of_run_trains_in_its_tiny_mode(tmp_path, name, choice):
    choice = ",".join(filter(None, (choice, "size=small,tiny")))
    directory, measures = finish(name, choice, tmp_path, on_few_bits)
    if directory.parent.name != "canonical_holdout":
        return  # with measures of their own and tests of their own
    assert measures.attrs["size"] == "small"
    errors = measures["generalization_error"].values
    assert np.isfinite(errors).all() and (errors > 0).all()
    assert (directory / "predictions.nc").exists() and (directory / "spectra.npz").exists()
    assert (measures.attrs["holdout"] == "matched") == (name == "noise_stability")


@pytest.mark.slow
@pytest.mark.parametrize("model", OTHER_MODELS)
def test_every_other_model_trains_in_its_tiny_mode(tmp_path, model):
    choice = f"task=parity,model={model},tiny"
    _, measures = finish("canonical_holdout", choice, tmp_path, on_few_bits)
    assert np.isfinite(measures["generalization_error"].values[-1]).all()


@pytest.mark.slow
def test_regression_ends_at_its_exact_value(tmp_path):
    config = reproduce.load("linear_networks").get_config("model=linear_regression,size=small")
    with config.unlocked():
        config.train.seeds = 2
        config.evaluation.every_epochs = 200
    for stage in ("train", "analyse", "predict"):
        reproduce.run_stage(stage, config, tmp_path)
    run = results.open(tmp_path).runs[0]
    errors = run["generalization_error"].values[-1]
    predicted = run["predicted_generalization_error"].sel(theory="linear_regression").values
    np.testing.assert_allclose(errors, predicted, rtol=1e-6)
    assert len(set(np.round(predicted, 6))) == 4  # of each start its own: a constant is no test
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_matched_targets_are_measured_exactly(tmp_path):
    # Cyclic parity: Stab_1/2 = (3/4)^p / 2^w, a closed form.
    _, measures = finish("noise_stability", "aggregation=parity,window=2,size=small,tiny", tmp_path)
    stability, predictability, bound = (
        float(measures[f"target_{name}"])
        for name in (
            "noise_stability",
            "orbit_cross_predictability",
            "orbit_cross_predictability_bound",
        )
    )
    assert stability == pytest.approx(0.75**3 / 4, rel=1e-12)
    assert predictability <= bound <= stability
    # Mean 0 and variance 1.
    assert (measures["mean_square"] == 1).all() and (measures["constant_error"] == 0.5).all()
    assert "influence" not in measures
    assert np.isnan(measures["frozen_bit"]).all() and measures.sizes["replica"] == 2


@pytest.mark.slow
def test_rates_and_scales_are_replicas_of_one_program(tmp_path):
    config = reproduce.load("canonical_holdout").get_config("task=parity,tiny")
    with config.unlocked():
        config.holdout.bits = "2"
        config.train.seeds = 1
        config.train.learning_rates = (1e-3, 1e-2)
        config.train.init_scales = (1.0, 0.5)
    for stage in ("train", "analyse"):
        reproduce.run_stage(stage, config, tmp_path)
    (directory,) = run_directories(tmp_path)
    replicas = results.read(directory / "measures.nc")
    assert set(
        zip(replicas["learning_rate"].values, replicas["init_scale"].values, strict=True)
    ) == {
        (1e-3, 1.0),
        (1e-3, 0.5),
        (1e-2, 1.0),
        (1e-2, 0.5),
    }
    with np.load(directory / "spectra.npz") as spectra:
        final = spectra["coefficients"][-1]
    assert len(np.unique(final, axis=0)) == 4


@pytest.fixture
def tiny_study(monkeypatch):
    """The linear networks' study with two of its runs, shrunk."""
    module = reproduce.load("linear_networks")
    whole = module.get_config
    module.runs = lambda size: [
        f"model={m},size={size}" for m in ("linear_regression", "deep_linear")
    ]
    module.get_config = lambda choice: on_few_bits(whole(f"{choice},tiny"))
    monkeypatch.setattr(reproduce, "load", lambda name: module)


@pytest.mark.slow
def test_a_study_is_run_compared_and_then_skipped(tmp_path, tiny_study, capsys, monkeypatch):
    arguments = ["reproduce", "linear_networks", f"--workdir={tmp_path}"]
    assert reproduce.main(arguments) == 0
    output = capsys.readouterr().out
    report = tmp_path / "linear_networks-small" / "canonical_holdout" / "report"
    assert f"report: {report / 'report.html'}" in output
    assert "influence" in output and "error [95 %]" in output
    with (report / "table.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["model"] for row in rows} == {"linear_regression", "deep_linear"}
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("measures.nc")}
    assert len(trained) == 2
    kept = tmp_path / "canonical_holdout" / "results" / "linear_networks"
    reports.keep(report.parent, kept)
    count = len((report / "replicas.csv").read_text().splitlines()) - 1
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tmp_path)
    assert reproduce.main(arguments) == 0
    output = capsys.readouterr().out
    assert "compiled" not in output
    assert f"{count} of {count} replicas compared, {count} with the same digits" in output
    assert all(path.stat().st_mtime_ns == before for path, before in trained.items())


def test_the_authors_sizes_are_compared_with_their_own_kept_results(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tmp_path)
    kept = tmp_path / "canonical_holdout" / "results"
    (kept / "staircase_paper").mkdir(parents=True)
    names = [
        reproduce.kept_results("canonical_holdout", name, size).relative_to(kept).name
        for name in ("staircase", "pvr_cyclic")
        for size in reproduce.SIZES
    ]
    assert names == ["staircase", "staircase_paper", "pvr_cyclic", "pvr_cyclic"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], r"reproduce: given nothing; allowed all, atlas, conditional_pvr, .*"),
        (["tables"], r"reproduce: given tables; allowed all, .*"),
        (["all", "pvr_majority"], r"reproduce: given all pvr_majority; allowed all, .*"),
        (["all", "--size=big"], r".*size.*big.*small.*paper.*"),
        (["all", "--seeds=3"], r".*seeds.*"),
    ],
    ids=str,
)
def test_mistakes_get_one_line(capsys, arguments, line):
    assert reproduce.main(["reproduce", *arguments]) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(f"error: {line}\n", captured.err)
    assert captured.out == ""


def test_data_that_are_not_prepared_are_told_before_anything_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    arguments = ["reproduce", "visual_pvr", "--size=paper", f"--workdir={tmp_path / 'runs'}"]
    assert reproduce.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: config.task.source: given 'mnist'; allowed where it is prepare")
    assert error.count("\n") == 1 and "download_and_prepare()" in error
    assert not (tmp_path / "runs").exists()


def test_help_names_every_study(capsys):
    with pytest.raises(SystemExit, match="0"):
        reproduce.main(["reproduce", "--help"])
    output = capsys.readouterr().out
    assert all(name in output for name in STUDIES) and "--size" in output
