"""The experiment on any unseen domain: end to end, references, predictions, mistakes."""

import itertools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pvr_jax
from experiments import main, reproduce
from experiments.unseen_domain import experiment, theories
from experiments.unseen_domain.experiment import EXPERIMENT
from experiments.unseen_domain.measures import MEASURES, PREDICTIONS
from experiments.unseen_domain.reference import (
    interpolator_of,
    points_of,
    reference_of,
    seen_set_of,
    tracked_monomials,
)
from pvr_jax import models, results, tasks, theory
from pvr_jax.boolean import cube, float64
from pvr_jax.building import build, replica_table
from pvr_jax.experiment import task_of
from pvr_jax.refusal import Refusal
from pvr_jax.training import environment, run_log

CONFIG = reproduce.load("unseen_domain")
# Half squared unseen error of the min-degree interpolator: half of the values in papers' units.
UNSEEN = {"2parity": 8, "threesym": 9.625, "cyclic3": 32, "maj3": 2, "rfexample": 4}


def read(path):
    return json.loads(path.read_text())


def finish(choice, workdir, **overrides):
    """Train, analyse and predict a run; return its directory, and all that was found."""
    config = CONFIG.get_config(choice)
    with config.unlocked():
        for name, value in overrides.items():
            section, field = name.split("__")
            config[section][field] = value
    EXPERIMENT.validate(config)
    for stage in ("train", "analyse", "predict"):
        main.run_stage(stage, config, workdir)
    (directory,) = {path.parent for path in workdir.rglob("config.json")}
    return directory, results.open(directory).runs[0]


@pytest.mark.parametrize("setting", UNSEEN)
def test_references_of_the_published_settings_are_exact(setting):
    config = CONFIG.get_config(f"setting={setting},model=random_features")
    reference = reference_of(config)
    assert reference.n == config.task.n
    squares = np.square(reference.interpolator - reference.truth)
    np.testing.assert_allclose(squares[~reference.seen].mean() / 2, UNSEEN[setting], atol=1e-9)
    assert squares[reference.seen].max() < 1e-18


@pytest.mark.parametrize("setting, small", [("2parity40", "2parity"), ("maj3dim40", "maj3")])
def test_forty_coordinates_have_the_reference_of_those_that_matter(setting, small):
    config = CONFIG.get_config(f"setting={setting}")
    reference = reference_of(config)
    squares = np.square(reference.interpolator - reference.truth)[~reference.seen]
    assert squares.mean() / 2 == pytest.approx(UNSEEN[small], abs=1e-12)


@pytest.mark.parametrize("radius, full", [(6, 7.499e7), (8, 3.256e8), (10, 2.258e8)])
def test_length_generalization_has_an_astronomic_interpolator(radius, full):
    config = reproduce.load("length_generalization").get_config(f"radius={radius},size=paper")
    reference = reference_of(config)
    squares = np.square(reference.interpolator - reference.truth)
    assert squares.mean() == pytest.approx(full, rel=1e-3)


@pytest.mark.slow
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
    directory, found = finish(f"{choice},tiny", tmp_path)
    predicted = {*PREDICTIONS, "not_defined"}
    for file, measures in (("measures", {*MEASURES}), ("predictions", predicted)):
        whole = results.read(directory / f"{file}.nc")
        assert set(whole.data_vars) <= measures and not results.check(whole)
    assert found["generalization_error"].dims == ("step", "replica")
    errors = found["generalization_error"]
    assert np.isfinite(errors).all() or "mean_field" in choice  # a rate for other widths
    assert found["coefficients"].dims == ("step", "replica", "monomial")
    assert found["theory"].values.tolist() == ["min_degree", "wide_ntk", "empirical_ntk"]
    whole = found["predicted_generalization_error"].isel(replica=0)
    assert (np.isnan(whole) == (found["not_defined"] != "")).all()
    assert np.isfinite(whole.sel(theory="min_degree"))
    assert set(read(directory / "run.json")["stages"]) == {"train", "analyse", "predict"}
    if "setting=2parity" in choice:  # two of them: of 6 bits and of 40, where theories are missing
        main.run_stage("report", CONFIG.get_config(f"{choice},tiny"), tmp_path)
        assert (directory.parent / "report" / "report.html").stat().st_size > 10_000


PAIRS = list(itertools.combinations(range(12), 2))


@pytest.mark.parametrize(
    "expression, followed, expected",
    [
        pytest.param(
            " + ".join(f"x{i}*x{j}" for i, j in PAIRS[:57]), 1, 57, marks=pytest.mark.slow
        ),
        ("3*x0 - 0.5*x1*x2 + 2*x0*x3 + 0.25", 2, 13.3125),
    ],
)
def test_the_mean_square_of_a_sampled_target_is_of_all_its_terms(expression, followed, expected):
    config = CONFIG.get_config("setting=2parity40,tiny")
    with config.unlocked():
        config.task.expression = expression
        config.evaluation.update({"relevant": 12, "monomials": followed})
    program = EXPERIMENT.build(config, replica_table(EXPERIMENT, config))
    assert program.exact["evaluated"] == "256 random inputs"
    assert len(program.coordinates["monomial"]) == followed
    assert program.exact["target_mean_square"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_measures_are_those_of_the_learned_function(tmp_path):
    directory, found = finish("setting=2parity,model=mlp,tiny", tmp_path)
    with np.load(directory / "learned.npz") as arrays:
        learned = arrays["values"][-1].astype(np.float64)
    task = tasks.make("polynomial", n=6, expression="x0*x1")
    target = np.asarray(tasks.truth_table(task), np.float64)
    seen = tasks.make_seen_set("where", 6, condition="x0 = 1 or x1 = 1").mask()
    interpolator = theory.min_degree_interpolator(target, seen)
    last = found.isel(step=-1)
    for name, other, where in (
        ("generalization_error", target, slice(None)),
        ("in_distribution_error", target, seen),
        ("unseen_error", target, ~seen),
        ("distance", interpolator, slice(None)),
        ("unseen_distance", interpolator, ~seen),
    ):
        expected = np.square(learned - other)[:, where].mean(axis=1) / 2
        np.testing.assert_allclose(last[name], expected, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(last["residual"].sel(theory="min_degree"), last["unseen_distance"])
    spectra = float64.spectrum(learned)
    # x₀ is the first binary digit of a monomial's place.
    places = {"x₀x₁": 0b110000, "x₀": 0b100000, "x₁": 0b010000, "1": 0}
    assert found["monomial"].values.tolist() == ["1", "x₀", "x₁", "x₀x₁"]
    for name, place in places.items():
        own = last["coefficients"].sel(monomial=name)
        np.testing.assert_allclose(own, spectra[:, place], atol=1e-6)
    predicted = last["predicted_coefficients"].sel(theory="min_degree").isel(replica=0)
    assert last["target_coefficients"].values.tolist() == [0, 0, 0, 1]
    assert predicted.values.tolist() == [-1, 1, 1, 0]
    # A parity of two bits, of which one input in four is unseen: r = 1.
    assert (last["highest_degree"], last["target_mass_above"]) == (1, 1)
    above = (np.bitwise_count(np.arange(64)) > 1) * np.square(spectra)
    np.testing.assert_allclose(last["mass_above"], above.sum(axis=1), rtol=1e-5)
    assert last["seen_variance"] == pytest.approx(8 / 9)
    temperature = theory.degree_temperature(learned[1], target, seen)
    assert last["degree_temperature"].values[1] == pytest.approx(temperature, abs=1e-6)
    # The metrics of training are the same measures in float32.
    line = json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])
    np.testing.assert_allclose(line["unseen_distance"], last["unseen_distance"], rtol=1e-4)
    # The parameters that a user loads are those of the learned functions.
    trained = pvr_jax.load_params(directory)
    assert list(trained.names) == found["replica"].values.tolist()
    network = models.build(n=6, **read(directory / "config.json")["model"])
    for name, values in zip(trained.names, learned, strict=True):
        outputs = network.apply(trained.of(name), cube.points(6))
        np.testing.assert_allclose(outputs, values, atol=1e-5)


@pytest.mark.slow
def test_predictions_of_the_wide_network_and_of_the_network_itself(tmp_path):
    directory, found = finish("setting=threesym,model=mlp,tiny", tmp_path)
    task = tasks.make("polynomial", n=6, expression="x0*x1 - 1.25*x1*x2 + 1.5*x2*x0")
    target = np.asarray(tasks.truth_table(task), np.float64)
    seen = tasks.make_seen_set("parity", 6, coordinates=(0, 1, 2)).mask()
    layers = theory.wide_networks.plain_layers(6, (16, 8))
    network = models.build(n=6, **read(directory / "config.json")["model"])
    keys = [jax.random.fold_in(jax.random.key(0), start) for start in range(4)]
    kernels = {
        "wide_ntk": theory.wide_networks.wide_eigenvalues(6, layers, theory.wide_networks.RELU),
        "empirical_ntk": theory.mean_empirical_kernel(network.init, network.apply, 6, keys, True),
    }
    for name, kernel in kernels.items():
        learned = theory.kernel_interpolator(kernel, target, seen)
        expected = np.square(learned - target)[~seen].mean() / 2
        predicted = found["predicted_unseen_error"].sel(theory=name)
        np.testing.assert_allclose(predicted, expected, rtol=1e-5)


@pytest.mark.slow
def test_replicas_differ_in_rate_and_share_their_start(tmp_path):
    _, found = finish(
        "setting=2parity,model=mlp,tiny", tmp_path, train__learning_rates=(1e-3, 1e-2)
    )
    names = found["replica"].values.tolist()
    assert names == ["rate0.001-seed1", "rate0.001-seed2", "rate0.01-seed1", "rate0.01-seed2"]
    first = found["generalization_error"].values
    np.testing.assert_array_equal(first[0, :2], first[0, 2:])
    assert (first[-1, :2] != first[-1, 2:]).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"holdout__condition": "x0 = 1 or"}, "config.holdout.condition: given 'x0 = 1 or'"),
        ({"holdout__condition": "x20 = 1"}, "config.holdout.condition: given 'x20 = 1'; allowed"),
        ({"holdout__name": "wher"}, "config.holdout.name: given 'wher'"),
        ({"holdout__condition": "x0 = 2"}, "config.holdout.condition: given 'x0 = 2'; allowed one"),
        ({"train__weight_decay": -1.0}, "config.train.weight_decay: given -1.0; allowed a number"),
        ({"train__seeds": 0}, "config.train.seeds: given 0; allowed a whole number of at least 1"),
        ({"evaluation__relevant": 21}, "config.evaluation.relevant: given 21; allowed 0 to 20"),
        ({"evaluation__relevant": 7}, "config.evaluation.relevant: given 7; allowed 0 to 6"),
        ({"task__n": 40}, "config.data.source: given 'whole'; allowed sampled, fresh, rows (the"),
        (
            {"task__n": 40, "data__source": "sampled", "evaluation__points": "enumerated"},
            "config.evaluation.points: given 'enumerated'; allowed auto or sampled with n = 40",
        ),
        (
            {"evaluation__points": "256"},
            "config.evaluation.points: given '256'; allowed auto, enumerated, sampled (how many is",
        ),
        ({"model__name": "mlpp"}, "config.model.name: given 'mlpp'"),
        ({"data__order": "random"}, "config.data.order: given 'random'"),
        (
            {"task__n": 25, "holdout": {"name": "random", "fraction": 0.5, "seed": 0}},
            "config.task.n: given 25; allowed 1 to 24 for a random seen set",
        ),
    ],
)
def test_mistakes_are_one_line(overrides, message):
    config = CONFIG.get_config("setting=2parity,model=mlp,tiny")
    with config.unlocked():
        for name, value in overrides.items():
            section, _, field = name.partition("__")
            if field:
                config[section][field] = value
            else:
                config[section] = value
    with pytest.raises(ValueError) as caught:
        EXPERIMENT.validate(config)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def changed(choice, **overrides):
    """A configuration with some fields set, `section__field=value`."""
    config = CONFIG.get_config(choice)
    with config.unlocked():
        for name, value in overrides.items():
            section, field = name.split("__")
            config[section][field] = value
    return config


def measured(config, values):
    """What is measured along training of one learned function, its values at the test points."""
    return EXPERIMENT.build(config, replica_table(EXPERIMENT, config)).measure(values, {})


def subcube_of_forty(frozen, **overrides):
    return changed(
        "setting=user,model=mlp,holdout=subcube,tiny",
        **{
            "task__n": 40,
            "task__expression": "x12*x13 + x0",
            "holdout__coordinates": tuple(range(frozen)),
            "holdout__values": (1,) * frozen,
            "data__source": "sampled",
            "data__samples": 500,
            "evaluation__relevant": 14,
            "evaluation__samples": 2048,
        }
        | overrides,
    )


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [8, 10, 12, 14])
def test_rows_and_test_points_of_a_rare_seen_set_are_seen(frozen):
    config = subcube_of_forty(frozen)
    EXPERIMENT.validate(config)
    built = build(EXPERIMENT, (config,))
    (program,), replicas = built.programs, built.replicas
    assert program.training_rows(replicas) == {"checked": 1000, "unseen": 0}
    batch = jax.vmap(program.batch, (None, 0))
    x = np.asarray(batch(replicas.data_key[0], jnp.arange(8))["x"])
    assert (x[..., :frozen] == 1).all()
    assert abs(x[..., frozen:].mean()) < 0.05
    # One in eight test points is seen, and what is said of them is so.
    reference = reference_of(config)
    points = points_of(config, reference)
    is_seen = (points.inputs[:, :frozen] == 1).all(axis=1)
    assert is_seen.sum() >= 256
    np.testing.assert_array_equal(reference.seen[points.indices], is_seen)
    truth = points.inputs[:, 12] * points.inputs[:, 13] + points.inputs[:, 0]
    np.testing.assert_array_equal(reference.truth[points.indices], truth)


@pytest.mark.slow
def test_rows_and_test_points_are_the_same_in_both_types_of_training():
    config = subcube_of_forty(12)

    def points_and_rows():
        built = build(EXPERIMENT, (config,))
        rows = built.programs[0].batch(built.replicas.data_key[0], 3)
        return points_of(config, reference_of(config)), np.asarray(rows["x"])

    single, x = points_and_rows()
    with environment.arithmetic("float64"):
        double, again = points_and_rows()
    np.testing.assert_array_equal(double.inputs, single.inputs)
    assert double.uniform == 2048 < len(double.inputs)
    np.testing.assert_array_equal(again, x)


@pytest.mark.slow
def test_measures_of_added_test_points():
    """The parts are averaged over all points, the cube over those that are random in it."""
    config = subcube_of_forty(12)
    reference = reference_of(config)
    points = points_of(config, reference)
    assert points.uniform == 2048 < len(points.inputs)
    truth, mdi, seen = (
        f[points.indices] for f in (reference.truth, reference.interpolator, reference.seen)
    )
    g = np.random.default_rng(0).normal(size=len(truth))
    found = measured(config, jnp.asarray(g, jnp.float32))
    halves, from_mdi = (np.square(g - f) / 2 for f in (truth, mdi))
    expected = {
        "in_distribution_error": halves[seen].mean(),
        "unseen_error": halves[~seen].mean(),
        "unseen_distance": from_mdi[~seen].mean(),
        "generalization_error": halves[:2048].mean(),
        "distance": from_mdi[:2048].mean(),
    }
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-5), name
    places = tracked_monomials(reference, config.evaluation.monomials).indices
    characters = np.asarray(cube.character(places, reference.n))[:, points.indices]
    coefficients = characters[:, :2048] @ g[:2048] / 2048
    np.testing.assert_allclose(found["coefficients"], coefficients, atol=1e-6)


@pytest.mark.slow
def test_rare_unseen_points_are_added_too():
    condition = "not (" + " and ".join(f"x{i} = 1" for i in range(14)) + ")"
    config = changed(
        "setting=2parity40,model=mlp,tiny",
        holdout__condition=condition,
        evaluation__relevant=14,
        evaluation__samples=800,
    )
    reference = reference_of(config)
    points = points_of(config, reference)
    is_unseen = (points.inputs[:, :14] == 1).all(axis=1)
    assert is_unseen.sum() >= 100
    np.testing.assert_array_equal(~reference.seen[points.indices], is_unseen)


RARE = "x0*x1 + " + "*".join(f"(1 + x{i})/2" for i in range(20, 31))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        # A term that one input in 2,048 has.
        (
            {"task__expression": RARE, "evaluation__samples": 2**14},
            "given 2; allowed all .* test points they .* some past x1",
        ),
        ({"holdout__condition": "x0 = 1 and x30 = 1"}, "given 2; allowed all"),
        ({"task__n": 12, "task__expression": "x0*x1 + x11"}, "2,048 of 4,096 test points"),
    ],
)
def test_coordinates_that_matter_are_checked_where_they_are_evaluated(overrides, message):
    config = changed("setting=2parity40,model=mlp,tiny", **overrides)
    with pytest.raises(run_log.RunError, match=f"^config.evaluation.relevant: .*{message}"):
        build(EXPERIMENT, (config,))


@pytest.mark.slow
def test_coordinates_that_matter_are_checked_on_training_rows():
    """At the test points the term is missing, in training it is not."""
    config = changed("setting=2parity40,model=mlp,tiny", data__samples=4000)
    built = build(EXPERIMENT, (config,))
    assert built.programs[0].training_rows(built.replicas) == {"checked": 8000, "unseen": 0}
    other = tasks.make("polynomial", n=40, expression=RARE)
    seen_set = seen_set_of(config, 40)
    wrong = experiment.training_set_of(config, other, seen_set)
    with pytest.raises(run_log.RunError, match=r"at \d+ of 8,000 training rows they depend"):
        experiment.check_rows(config, reference_of(config), seen_set, wrong, built.replicas)


def test_a_run_with_unseen_rows_does_not_start(tmp_path, monkeypatch):
    everything = tasks.make_seen_set("everything", 6)
    config = CONFIG.get_config("setting=2parity,model=mlp,tiny")
    wrong = experiment.training_set_of(config, task_of(config), everything)
    monkeypatch.setattr(experiment, "training_set_of", lambda *_: wrong)
    with pytest.raises(run_log.RunError, match=r"^32 of 128 training rows are withheld inputs"):
        main.run_stage("train", config, tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


WEIGHTS = "3*x0 + 2*x1 + 2*x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11 + x12 + x13 > 0"


@pytest.mark.parametrize(
    "holdout",
    [
        pytest.param({"name": "random", "fraction": 0.5, "seed": 0}, marks=pytest.mark.slow),
        {"name": "where", "condition": WEIGHTS},
    ],
    ids=["random", "halfspace"],
)
def test_an_interpolator_that_is_too_large_is_said_to_be_missing(holdout):
    config = changed("setting=user,model=mlp,tiny", task__n=14)
    with config.unlocked():
        config.holdout = holdout
    EXPERIMENT.validate(config)
    reference = reference_of(config)
    assert "allowed at most 4,096 of either kind" in reference.not_computed
    found = measured(config, jnp.zeros(2**14))
    assert float(found["unseen_error"]) == float(found["in_distribution_error"]) == 0.5
    for name in ("distance", "unseen_distance", "dropped_share"):
        assert np.isnan(found[name]), name
    monomials = tracked_monomials(reference, config.evaluation.monomials)
    assert monomials.indices.tolist() == [cube.index([0, 1], 14)] and monomials.target == [1]
    assert np.isnan(monomials.min_degree).all()


@pytest.mark.slow
def test_a_run_without_interpolator_goes_through_all_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(theory.min_degree, "MAX_POINTS", 4)
    interpolator_of.cache_clear()
    choice = "setting=user,model=mlp,holdout=random,tiny"
    directory, found = finish(choice, tmp_path)
    why = "too large a problem: 32 seen and 32 unseen points"
    assert found["not_defined"].values[0].startswith(why)
    assert (found["not_defined"].values[1:] == "").all()
    assert np.isnan(found["residual"].sel(theory="min_degree")).all()
    assert np.isfinite(found["residual"].sel(theory="wide_ntk")).all()
    assert "min_degree_profile" not in found and "highest_degree" not in found
    assert np.isnan(found["unseen_distance"]).all() and np.isfinite(found["unseen_error"]).all()
    assert read(directory / "run.json")["training_rows"] == {"checked": 64, "unseen": 0}
    main.run_stage("report", CONFIG.get_config(choice), tmp_path)
    assert why in (directory.parent / "report" / "not_defined.md").read_text()


@pytest.mark.parametrize(
    ("choice", "overrides", "words"),
    [
        ("setting=2parity,model=transformer", {}, "not for the model transformer"),
        ("setting=2parity40,model=mlp", {"task__n": 129}, "its kernel is not computed for n = 129"),
        (
            "setting=2parity,model=mlp",
            {"train__init_scales": (0.5,)},
            "training: init_scales: given 0.5; allowed 1",
        ),
    ],
)
def test_a_theory_that_says_nothing_says_why_in_words(choice, overrides, words):
    config = changed(f"{choice},tiny", **overrides)
    own = (config, replica_table(EXPERIMENT, config), lambda: iter(()))
    assert np.isfinite(theories.min_degree(*own)["predicted_unseen_error"]).all()
    with pytest.raises(Refusal, match=words):
        theories.wide_ntk(*own)


def test_the_wide_network_of_forty_bits_is_that_of_all_coordinates_that_matter():
    """Further coordinates that do not matter change nothing."""
    found = []
    for relevant in (2, 4):
        config = changed("setting=2parity40,model=mlp,tiny", evaluation__relevant=relevant)
        own = (config, replica_table(EXPERIMENT, config), lambda: iter(()))
        found.append(theories.wide_ntk(*own))
    np.testing.assert_allclose(*(own["predicted_unseen_error"] for own in found), rtol=1e-6)
    # Between the interpolator, whose unseen error is 8, and a function that is 0 there.
    assert 0.5 < found[0]["predicted_unseen_error"][0] < 8


@pytest.mark.parametrize(
    ("choice", "overrides", "words"),
    [
        ("setting=2parity40,model=mlp", {}, "n = 40; it is for n up to 12"),
        ("setting=2parity,model=mlp", {"evaluation__relevant": 2}, "evaluation.relevant is 0"),
        (
            "setting=2parity,model=mlp",
            {"train__init_scales": (0.5,)},
            "training: init_scales: given 0.5; allowed 1",
        ),
    ],
)
def test_the_kernel_of_the_network_itself_is_of_small_cubes(choice, overrides, words):
    config = changed(f"{choice},tiny", **overrides)
    with pytest.raises(Refusal, match=words):
        theories.empirical_ntk(config, replica_table(EXPERIMENT, config), lambda: iter(()))


def test_monomials_as_text():
    assert experiment.monomial_text([]) == "1"
    assert experiment.monomial_text([10, 2]) == "x₂x₁₀"
    assert experiment.monomial_text([0, 2, 3, 4, 5, 11]) == "x₀x₂…x₅x₁₁"


@pytest.mark.slow
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
