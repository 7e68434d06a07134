"""The stage `predict`, end to end: its numbers against theory and sums of their own."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import command_line, main, registry, reproduce
from experiments.canonical_holdout import theories
from experiments.canonical_holdout.experiment import EXPERIMENT
from pvr_jax import frame, lazy_training, models, results, tasks, theory
from pvr_jax.boolean import float64
from pvr_jax.experiment import task_of
from pvr_jax.outputs_file import Writer
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import holdouts
from pvr_jax.theory import kernel_features, wide_networks

CONFIGS = Path(__file__).parents[2] / "configs"
N = 6  # bits of the target, of which two point


def config_of(choice, **fields):
    spec = importlib.util.spec_from_file_location("base", CONFIGS / "canonical_holdout.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(choice)
    with config.unlocked():
        for name, value in fields.items():
            section, field = name.split("__")
            config[section][field] = value
    return config


def pvr_of_six_bits(**fields):
    few = {"task__pointer_bits": 2, "model__widths": (16, 8), "holdout__bits": "0,2"}
    return config_of("task=pvr,tiny", **few, **fields)


def truth_of(config):
    return tasks.exact_values(task_of(config))


def run_stages(config, workdir, stages=("train", "analyse", "predict")):
    for name in stages:
        main.run_stage(name, config, workdir)
    (directory,) = (path.parent for path in workdir.glob("*/*/config.json"))
    return directory


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    config = pvr_of_six_bits(holdout__value=-1)
    directory = run_stages(config, tmp_path_factory.mktemp("predicted"))
    return config, directory, results.read(directory / "predictions.nc")


@pytest.mark.slow
def test_the_errors_are_those_of_theory(predicted):
    config, _, found = predicted
    coefficients = float64.exact_spectrum(truth_of(config))
    eigenvalues = wide_networks.wide_eigenvalues(
        N, wide_networks.plain_layers(N, (16, 8)), wide_networks.RELU
    )
    wide = theory.kernel_influences(coefficients, eigenvalues, -1)
    for bit in (0, 2):
        influence = sum(coefficients[np.arange(2**N) >> (N - 1 - bit) & 1 == 1] ** 2)
        own = found["predicted_generalization_error"].where(found["frozen_bit"] == bit)
        errors = own.mean("replica").to_series()
        assert errors["influence"] == pytest.approx(influence, rel=1e-12)
        assert errors["wide_ntk"] == pytest.approx(wide[bit], rel=1e-9)
        # So narrow a network is near its limit, not at it.
        assert errors["empirical_ntk"] == pytest.approx(wide[bit], rel=0.3)
        assert np.isnan(errors["linear_regression"])
    assert (found["not_defined"] == "").all()


@pytest.mark.slow
def test_the_empirical_error_is_that_of_its_kernel(predicted):
    config, _, found = predicted
    truth = truth_of(config)
    network = models.build(n=N, **config.model.to_dict())
    root = jax.random.key(0)
    keys = [jax.random.fold_in(root, start) for start in range(4)]
    seen = np.asarray(holdouts.canonical(N, 2, -1))

    def error(keys):
        kernel = theory.mean_empirical_kernel(network.init, network.apply, N, keys, symmetrize=True)
        values = theory.kernel_interpolator(kernel, truth, seen)
        return np.square(values - truth).mean() / 2

    cell = found.sel(theory="empirical_ntk").isel(replica=-1)
    assert cell["predicted_generalization_error"] == pytest.approx(error(keys), rel=1e-6)
    # Jackknife: leave out each start in turn.
    others = np.array([error(keys[:i] + keys[i + 1 :]) for i in range(4)])
    spread = np.sqrt(3 / 4 * np.square(others - others.mean()).sum())
    assert cell["predicted_generalization_error_se"] == pytest.approx(spread, rel=1e-3)
    assert found["predicted_generalization_error_se"].sel(theory="wide_ntk").isnull().all()


@pytest.mark.slow
def test_a_network_too_large_for_roots_goes_through_its_matrix(monkeypatch):
    config = pvr_of_six_bits()
    seen = np.asarray(holdouts.canonical(N, 2, 1))
    values = []
    for most_bytes in (kernel_features.MAX_BYTES, 0):
        monkeypatch.setattr(kernel_features, "MAX_BYTES", most_bytes)
        lazy_training._regression.cache_clear()
        values.append(theories.empirical_ntk(config, N).function(truth_of(config), seen))
    lazy_training._regression.cache_clear()
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)


@pytest.mark.parametrize(
    ("of_device", "expected"), [(None, 10**9), ({}, 10**9), ({"bytes_limit": 6 * 10**6}, 10**6)]
)
def test_blocks_of_a_kernel_fit_the_device_that_computes_them(monkeypatch, of_device, expected):
    device = SimpleNamespace(memory_stats=lambda: of_device)
    monkeypatch.setattr(lazy_training.jax, "local_devices", lambda: [device])
    monkeypatch.setattr(lazy_training, "machine_bytes", lambda: 6 * 10**9)
    assert lazy_training._block_bytes() == expected


@pytest.mark.slow
def test_what_a_theory_leaves_is_the_distance_over_the_whole_cube(predicted):
    config, directory, found = predicted
    truth = truth_of(config)
    residual = found["residual"].sel(theory="influence").values
    points = np.arange(2**N)
    with np.load(directory / "spectra.npz") as spectra:
        functions = float64.values_of(spectra["coefficients"][-1])
    for index, bit in enumerate(found["frozen_bit"].values.astype(int)):
        # The frozen function f_{-k} at x is the target at x with x_k = -1.
        frozen = truth[points & ~(1 << (N - 1 - bit))]
        expected = np.square(functions[index] - frozen).mean() / 2
        assert residual[index] == pytest.approx(expected, rel=1e-9)
    assert len(set(found["residual"].sel(theory="wide_ntk").values)) == 4


@pytest.mark.slow
def test_the_stage_is_timed_and_not_done_twice(predicted):
    config, directory, _ = predicted
    assert read(directory / "run.json")["stages"]["predict"]["seconds"] > 0
    path = directory / "predictions.nc"
    before = path.stat().st_mtime_ns
    main.run_stage("predict", config, directory.parent.parent)
    assert path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_deleted_predictions_are_made_again(predicted):
    config, directory, found = predicted
    (directory / "predictions.nc").unlink()
    main.run_stage("predict", config, directory.parent.parent)
    xr.testing.assert_identical(results.read(directory / "predictions.nc"), found)


@pytest.mark.slow
def test_a_kernel_is_computed_once_per_network(predicted, monkeypatch):
    config, _, _ = predicted
    theories.empirical_ntk(config, N)
    monkeypatch.setattr(theory, "symmetric_kernel", None)
    other = config_of("task=quadratic_chain,tiny", model__widths=(16, 8))
    seen = np.asarray(holdouts.canonical(N, 2, -1))
    same = theories.empirical_ntk(other, N).function(truth_of(config), seen)
    assert same.shape == (2**N,)


def test_it_needs_an_analysis(tmp_path):
    config = config_of("task=parity,tiny")
    with pytest.raises(FileNotFoundError, match="through the stage analyse; give") as error:
        frame.predict(EXPERIMENT, config, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_nothing_is_predicted_where_nothing_is_frozen(tmp_path):
    config = config_of("task=parity,tiny", task__n=N, holdout__bits="none")
    found = results.read(run_stages(config, tmp_path) / "predictions.nc")
    assert found["predicted_generalization_error"].isnull().all()
    assert found["not_defined"].sel(theory="influence").item().startswith("nothing is frozen")


@pytest.mark.slow
def test_a_replica_that_is_not_finite_has_no_distance(tmp_path):
    config = config_of("task=parity,tiny", task__n=N, model__widths=(16, 8))
    directory = run_stages(config, tmp_path, ("train", "analyse"))
    with np.load(directory / "spectra.npz") as spectra:
        arrays = dict(spectra)
    arrays["coefficients"][-1, 1] = np.nan
    write_spectra(directory, arrays)
    found = results.read(run_stages(config, tmp_path, ("predict",)) / "predictions.nc")
    for name in ("influence", "wide_ntk", "empirical_ntk"):
        missing = found["residual"].sel(theory=name).isnull()
        assert missing.values.tolist() == [False, True, False, False]


def write_spectra(directory, arrays):
    coefficients = arrays.pop("coefficients")
    steps = arrays.pop("step")
    file = replace(EXPERIMENT.kept, of=np.asarray)
    with Writer(file, directory, coefficients.shape[1], arrays) as spectra:
        for step, found in zip(steps, coefficients, strict=True):
            spectra.append(int(step), found)
        spectra.finish()


@pytest.mark.slow
def test_only_the_last_step_counts(tmp_path):
    config = config_of(
        "task=parity,tiny", task__n=N, evaluation__spectra="all", model__widths=(16, 8)
    )
    directory = run_stages(config, tmp_path, ("train", "analyse"))
    with np.load(directory / "spectra.npz") as spectra:
        assert len(spectra["step"]) > 1
        last = list(frame.kept_outputs(EXPERIMENT, directory))
        np.testing.assert_array_equal(last, spectra["coefficients"][-1])


@pytest.mark.parametrize(
    ("choice", "fields", "reasons"),
    [
        ("model=transformer,tiny", {}, {"wide_ntk": "model: given transformer; allowed mlp"}),
        (
            "model=mlp,tiny",
            {"model__initialisation": "mup"},
            {
                "wide_ntk": "initialisation: given mup; allowed pytorch, scaled, lecun, ntk: under "
                "maximal update the tangent kernel moves at any width"
            },
        ),
        (
            "model=mlp,tiny",
            {"train__init_scales": (1.0, 0.5)},
            dict.fromkeys(("wide_ntk", "empirical_ntk"), "init_scales: given 1, 0.5; allowed 1"),
        ),
        (
            "model=mlp,tiny",
            {"train__weight_decay": 0.1},
            dict.fromkeys(("wide_ntk", "empirical_ntk"), "weight_decay: given 0.1; allowed 0.0"),
        ),
        (
            "model=mlp,tiny",
            {"train__freeze": "Dense_0"},
            dict.fromkeys(("wide_ntk", "empirical_ntk"), "freeze: given 'Dense_0'; allowed ''"),
        ),
        (
            "model=mlp,tiny",
            {"train__loss": "hinge"},
            dict.fromkeys(
                ("wide_ntk", "empirical_ntk"),
                "loss: given 'hinge'; allowed '' or 'squared_error'",
            ),
        ),
        ("model=mlp,tiny", {"train__loss": "squared_error"}, {}),
        (
            "task=staircase,model=mlp,tiny",
            {},
            {"empirical_ntk": "n = 14: allowed up to 12"},
        ),
    ],
)
def test_a_theory_that_is_not_defined_says_why(monkeypatch, choice, fields, reasons):
    monkeypatch.setattr(
        lazy_training, "_regression", lambda *key: lazy_training.Regression(max, ())
    )
    config = config_of(choice, **fields)
    found = {}
    for theory_of in (theories.influence, theories.wide_ntk, theories.empirical_ntk):
        try:
            theory_of(config, task_of(config).n)
        except Refusal as error:
            found[theory_of.__name__] = str(error)
    assert found == reasons
    assert {"influence", "wide_ntk", "empirical_ntk"} < set(EXPERIMENT.predict)


@pytest.mark.slow
def test_a_kernel_that_cannot_hold_the_target_predicts_nothing(tmp_path):
    config = config_of("task=parity,model=linear_regression,tiny", task__n=N)
    found = results.read(run_stages(config, tmp_path) / "predictions.nc")
    defined = found["predicted_generalization_error"].notnull().all("replica").to_series()
    assert defined[defined].index.tolist() == ["influence"]
    assert found["residual"].notnull().any("replica").sum() == 1
    reason = found["not_defined"].sel(theory="empirical_ntk").item()
    assert reason.startswith("kernel: given one that misses")


def test_a_stage_that_an_experiment_lacks_is_skipped_or_named():
    config = reproduce.load("degree_curriculum").get_config("size=small,tiny")
    assert registry.stages_of(config) == ("train", "analyse", "report")
    assert registry.stages_of(config, "report") == ("report",)
    with pytest.raises(command_line.UsageError) as error:
        registry.stages_of(config, "predict")
    assert str(error.value) == (
        "--stage: given predict; allowed stages of degree_curriculum: train, analyse, report"
    )
    assert registry.stages_of(config_of("tiny")) == registry.STAGES
