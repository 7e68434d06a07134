"""The experiment on any unseen domain: end to end, references, predictions, mistakes."""

import json
import shutil

import numpy as np
import pytest

import pvr_jax
from experiments import main, reproduce
from experiments.unseen_domain import problem as problems
from experiments.unseen_domain import settings
from pvr_jax import models, tasks, theory
from pvr_jax.boolean import cube, float64

CONFIG = reproduce.load("unseen_domain")
# Half squared unseen error of the min-degree interpolator: half of the values in papers' units.
UNSEEN = {"2parity": 8, "threesym": 9.625, "cyclic3": 32, "maj3": 2, "rfexample": 4}


def read(path):
    return json.loads(path.read_text())


def finish(choice, workdir, **overrides):
    """Train, analyse and predict a run; return its directory, measures and predictions."""
    config = CONFIG.get_config(choice)
    with config.unlocked():
        for name, value in overrides.items():
            section, field = name.split("__")
            config[section][field] = value
    settings.validate(config)
    for stage in ("train", "analyse", "predict"):
        main.run_stage(stage, config, workdir)
    (directory,) = {path.parent for path in workdir.rglob("config.json")}
    return directory, read(directory / "measures.json"), read(directory / "predictions.json")


@pytest.mark.parametrize("setting", UNSEEN)
def test_references_of_the_published_settings_are_exact(setting):
    config = CONFIG.get_config(f"setting={setting},model=random_features")
    reference = problems.make_reference(
        settings.make_task(config), settings.make_seen_set(config, config.task.n), 0
    )
    assert reference.n == config.task.n
    squares = np.square(reference.interpolator - reference.truth)
    np.testing.assert_allclose(squares[~reference.seen].mean() / 2, UNSEEN[setting], atol=1e-9)
    assert squares[reference.seen].max() < 1e-18


@pytest.mark.parametrize("setting, small", [("2parity40", "2parity"), ("maj3dim40", "maj3")])
def test_forty_coordinates_have_the_reference_of_those_that_matter(setting, small):
    config = CONFIG.get_config(f"setting={setting}")
    reference = problems.make_reference(
        settings.make_task(config),
        settings.make_seen_set(config, 40),
        config.evaluation.relevant,
    )
    squares = np.square(reference.interpolator - reference.truth)[~reference.seen]
    assert squares.mean() / 2 == pytest.approx(UNSEEN[small], abs=1e-12)


@pytest.mark.parametrize("radius, full", [(6, 7.499e7), (8, 3.256e8), (10, 2.258e8)])
def test_length_generalization_has_an_astronomic_interpolator(radius, full):
    config = reproduce.load("length_generalization").get_config(f"radius={radius},size=paper")
    reference = problems.make_reference(
        settings.make_task(config), settings.make_seen_set(config, 15), 0
    )
    squares = np.square(reference.interpolator - reference.truth)
    assert squares.mean() == pytest.approx(full, rel=1e-3)


@pytest.mark.parametrize(
    "choice",
    [
        "setting=2parity,model=mlp",
        "setting=threesym,model=transformer",
        "setting=cyclic3,model=mean_field",
        "setting=maj3,model=random_features,trained=yes",
        "setting=rfexample,model=random_features,kind=polynomial",
        "setting=2parity40,model=mlp",
        "setting=user,model=mlp,holdout=hamming_ball",
        "setting=user,model=mlp,holdout=random",
        "setting=user,model=mlp,holdout=everything",
    ],
)
def test_every_kind_of_run_goes_through_all_stages(tmp_path, choice):
    directory, measures, predictions = finish(f"{choice},tiny", tmp_path)
    steps, replicas = len(measures["steps"]), len(measures["replicas"])
    for name, column in measures["measures"].items():
        assert np.array(column, float).shape == (steps, replicas), name
    errors = np.array(measures["measures"]["generalization_error"], float)
    assert np.isfinite(errors).all() or "mean_field" in choice  # a rate for other widths
    shape = (steps, replicas, len(measures["monomials"]))
    assert np.array(measures["coefficients"], float).shape == shape
    assert "min_degree" in predictions["theories"]
    defined = set(predictions["theories"]) | set(predictions["not_defined"])
    assert defined == {"min_degree", "wide_ntk"}
    assert set(read(directory / "run.json")["stages"]) == {"train", "analyse", "predict"}
    main.run_stage("report", CONFIG.get_config(f"{choice},tiny"), tmp_path)
    assert (directory.parent / "report" / "report.html").stat().st_size > 10_000


def test_measures_are_those_of_the_learned_function(tmp_path):
    directory, measures, predictions = finish("setting=2parity,model=mlp,tiny", tmp_path)
    with np.load(directory / "learned.npz") as arrays:
        learned = arrays["values"].astype(np.float64)
    task = tasks.make("polynomial", n=6, expression="x0*x1")
    target = np.asarray(tasks.truth_table(task), np.float64)
    seen = tasks.make_seen_set("where", 6, condition="x0 = 1 or x1 = 1").mask()
    interpolator = theory.min_degree_interpolator(target, seen)
    last = {name: np.array(column[-1]) for name, column in measures["measures"].items()}
    for name, other, where in (
        ("generalization_error", target, slice(None)),
        ("in_distribution_error", target, seen),
        ("unseen_error", target, ~seen),
        ("distance", interpolator, slice(None)),
        ("unseen_distance", interpolator, ~seen),
    ):
        expected = np.square(learned - other)[:, where].mean(axis=1) / 2
        np.testing.assert_allclose(last[name], expected, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(predictions["unexplained"]["min_degree"], last["unseen_distance"])
    spectra = float64.spectrum(learned)
    places = [
        int("".join(str(int(i in m["coordinates"])) for i in range(6)), 2)
        for m in measures["monomials"]
    ]
    np.testing.assert_allclose(measures["coefficients"][-1], spectra[:, places], atol=1e-6)
    tracked = {
        tuple(m["coordinates"]): (m["target"], m["min_degree"]) for m in measures["monomials"]
    }
    assert tracked == {(0, 1): (1, 0), (0,): (0, 1), (1,): (0, 1), (): (0, -1)}
    temperature = theory.degree_temperature(learned[1], target, seen)
    assert last["degree_temperature"][1] == pytest.approx(temperature, abs=1e-6)
    # The metrics of training are the same measures in float32.
    line = json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])
    np.testing.assert_allclose(line["unseen_distance"], last["unseen_distance"], rtol=1e-4)
    # The parameters that a user loads are those of the learned functions.
    trained = pvr_jax.load_params(directory)
    assert list(trained.names) == [replica["name"] for replica in measures["replicas"]]
    network = models.build(n=6, **read(directory / "config.json")["model"])
    for name, values in zip(trained.names, learned, strict=True):
        outputs = network.apply(trained.of(name), cube.points(6))
        np.testing.assert_allclose(outputs, values, atol=1e-5)


def test_predictions_of_the_wide_network(tmp_path):
    _, _, predictions = finish("setting=threesym,model=mlp,tiny", tmp_path)
    task = tasks.make("polynomial", n=6, expression="x0*x1 - 1.25*x1*x2 + 1.5*x2*x0")
    target = np.asarray(tasks.truth_table(task), np.float64)
    seen = tasks.make_seen_set("parity", 6, coordinates=(0, 1, 2)).mask()
    layers = theory.wide_networks.plain_layers(6, (16, 8))
    kernel = theory.wide_networks.wide_eigenvalues(6, layers, theory.wide_networks.relu_moments)
    learned = theory.kernel_interpolator(kernel, target, seen)
    expected = np.square(learned - target)[~seen].mean() / 2
    assert predictions["theories"]["wide_ntk"]["unseen_error"] == pytest.approx(expected)


def test_replicas_differ_in_rate_and_share_their_start(tmp_path):
    _, measures, _ = finish(
        "setting=2parity,model=mlp,tiny", tmp_path, train__learning_rates=(1e-3, 1e-2)
    )
    names = [replica["name"] for replica in measures["replicas"]]
    assert names == ["rate0.001-seed1", "rate0.001-seed2", "rate0.01-seed1", "rate0.01-seed2"]
    first = np.array(measures["measures"]["generalization_error"])
    np.testing.assert_array_equal(first[0, :2], first[0, 2:])
    assert (first[-1, :2] != first[-1, 2:]).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"holdout__condition": "x0 = 1 or"}, "config.holdout.condition: given 'x0 = 1 or'"),
        ({"holdout__condition": "x20 = 1"}, "config.holdout.condition: given 'x20 = 1'; allowed"),
        ({"holdout__name": "wher"}, "config.holdout.name: given 'wher'"),
        ({"holdout__condition": "x0 = 2"}, "config.holdout.predicate: given 'one that holds nowh"),
        ({"train__weight_decay": -1.0}, "config.train.weight_decay: given -1.0; allowed a number"),
        ({"train__seeds": 0}, "config.train.seeds: given 0; allowed a whole number of at least 1"),
        ({"evaluation__relevant": 21}, "config.evaluation.relevant: given 21; allowed 0 to 20"),
        ({"evaluation__relevant": 7}, "config.evaluation.relevant: given 7; allowed 0 to 6"),
        ({"task__n": 40}, "config.evaluation.relevant: given 0; allowed 1 to 20, how many first"),
        ({"model__name": "mlpp"}, "config.model.name: given 'mlpp'"),
        ({"data__order": "random"}, "config.data.order: given 'random'"),
    ],
)
def test_mistakes_are_one_line(overrides, message):
    config = CONFIG.get_config("setting=2parity,model=mlp,tiny")
    with config.unlocked():
        for name, value in overrides.items():
            section, field = name.split("__")
            config[section][field] = value
    with pytest.raises(ValueError) as caught:
        settings.validate(config)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_coordinates_that_matter_are_checked():
    task = tasks.make("polynomial", n=40, expression="x0*x5")
    seen = tasks.make_seen_set("where", 40, condition="x0 = 1")
    with pytest.raises(ValueError, match=r"relevant: given 2; allowed all .* some past x1"):
        problems.make_reference(task, seen, 2)
    assert problems.make_reference(task, seen, 6).n == 6


def test_an_interpolator_that_is_too_large_says_what_it_could_do():
    task = tasks.make("parity", n=14, degree=3)
    seen = tasks.make_seen_set("random", 14, fraction=0.5)
    with pytest.raises(ValueError, match="allowed at most 4096 of either kind"):
        problems.make_reference(task, seen, 0)


def test_training_goes_on_after_an_interruption(tmp_path):
    config = CONFIG.get_config("setting=2parity,model=mlp,tiny")
    whole = tmp_path / "whole"
    main.run_stage("train", config, whole)
    (directory,) = {path.parent for path in whole.rglob("config.json")}
    cut = tmp_path / "cut"
    main.run_stage("train", config, cut)
    (other,) = {path.parent for path in cut.rglob("config.json")}
    # As after a crash before the last checkpoint: the newest is the one before it.
    (other / "train.done").unlink()
    newest = max((other / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    shutil.rmtree(newest)
    main.run_stage("train", config, cut)
    for path in (directory, other):
        lines = (path / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == len({json.loads(line)["step"] for line in lines})
    last = [
        {k: v for k, v in json.loads((p / "metrics.jsonl").read_text().splitlines()[-1]).items()
         if k != "seconds"}
        for p in (directory, other)
    ]  # fmt: skip
    assert last[0] == last[1]
