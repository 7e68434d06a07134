"""The atlas: its cells, its symmetries, and a tiny run whose numbers are computed again."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pvr_jax
from configs import atlas
from experiments import reports
from experiments.atlas import theories
from experiments.atlas.experiment import EXPERIMENT, axes, seen_halves
from experiments.atlas.measures import monomials, of_replicas
from pvr_jax import models, results
from pvr_jax.analysis import canonical
from pvr_jax.analysis.measures import measure_one
from pvr_jax.boolean import classes, cube, float64
from pvr_jax.building import replica_table
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.publish import tables_of
from pvr_jax.theory import wide_networks


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ("model=mlp,bits=4", 14),
        ("model=mlp,bits=5", 222),
        ("model=transformer,bits=4", 40),
        ("model=transformer,bits=5", 24),
        ("model=transformer,bits=5,size=paper", 1992),
    ],
)
def test_a_cell_per_class_stands_for_all_functions(choice, count):
    config = atlas.get_config(choice)
    rows = axes(config)
    assert len(rows) == len({row["cell"] for row in rows}) == count
    if config.classes.sample:
        assert count == config.classes.sample
        return
    assert sum(row["functions"] for row in rows) == 2 ** (2 ** (config.task.n - 1))
    assert len({row["function_class"] for row in rows}) == {4: 14, 5: 222}[config.task.n]


def test_a_seed_draws_a_function_of_its_class():
    config = atlas.get_config("model=transformer,bits=5,size=small")
    table = replica_table(EXPERIMENT, config)
    halves, of = seen_halves(config, table), classes.classes(4).of
    numbers = table["cell"].to_numpy()
    assert np.array_equal(of[halves], of[numbers]) and len(table) == 16 * 24
    some = table.sample(30, random_state=0)
    assert np.array_equal(seen_halves(config, some), halves[some.index])  # by its row alone
    several = table["functions"] >= 100
    assert table.assign(half=halves)[several].groupby("cell")["half"].nunique().min() > 10


# A signed permutation of parameters that are drawn symmetrically and independently: Adam and the
# squared loss commute with it, so what it does to a function happens to the learned one as well.
def test_an_mlp_has_all_symmetries():
    network = models.build("mlp", 4, widths=(8, 8))
    x = np.asarray(cube.points(4))
    params = jax.tree.map(np.asarray, network.init(jax.random.key(0), x))
    kernel, last = params["Dense_0"]["kernel"], params["Dense_2"]
    order, signs = np.array([2, 0, 1, 3]), np.array([1.0, -1.0, -1.0, 1.0], np.float32)
    moved = {
        **params,
        "Dense_0": {**params["Dense_0"], "kernel": (signs[:, None] * kernel)[order]},
        "Dense_2": jax.tree.map(np.negative, last),
    }
    found, expected = network.apply(moved, (x * signs)[:, order]), network.apply(params, x)
    np.testing.assert_allclose(found, -expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_transformer_has_permutations_the_sign_and_the_negation_of_all_inputs():
    network = models.build("transformer", 4, **atlas.base.TINY_MODELS["transformer"])
    x = cube.points(4)
    params = network.init(jax.random.key(0), x)
    order = np.array([2, 0, 1, 3])
    positions = params["positions"].at[1:].set(params["positions"][1:][order])
    rows = params["embedding"]["rows"][::-1]
    moved = {**params, "positions": positions, "embedding": {"rows": rows}}
    moved["head"] = jax.tree.map(jnp.negative, params["head"])
    found, expected = network.apply(moved, -x[:, order]), network.apply(params, x)
    np.testing.assert_allclose(found, -expected, rtol=1e-4, atol=1e-5)


def test_errors_of_all_functions_are_weighted_by_how_many_they_are():
    random, bits = np.random.default_rng(0), 2
    found = classes.classes(bits)
    table = replica_table(EXPERIMENT, atlas.get_config("tiny")).assign(
        functions=np.repeat(found.sizes, 2)
    )
    halves = np.repeat(found.representatives, 2)
    outputs = random.normal(size=(8, 8))
    outputs[3] = np.nan  # diverged: left out
    facts = of_replicas(outputs, halves, table)
    errors, influences, weights = [], [], []
    for row, half, size in zip(outputs, halves, table["functions"], strict=True):
        for unseen in itertools.product([-1, 1], repeat=4):
            target = np.stack([unseen, classes.values_of(half, bits)], axis=1).ravel()
            errors.append(np.mean((row - target) ** 2) / 2)
            influences.append(np.mean(target[::2] != target[1::2]))
            weights.append(size if np.isfinite(row).all() else 0)
    errors, influences, weights = np.nan_to_num(errors), np.array(influences), np.array(weights)
    for place in range(5):
        own = (influences == place / 4) & (weights > 0)
        mean = np.average(errors[own], weights=weights[own])
        assert facts["error_at_influence"][place] == pytest.approx(mean)
        square = np.average((errors[own] - mean) ** 2, weights=weights[own])
        assert facts["error_deviation"][place] == pytest.approx(square**0.5)
        assert facts["smallest_error"][place] == pytest.approx(errors[own].min())
        assert facts["largest_error"][place] == pytest.approx(errors[own].max())
        below = np.average(errors[own] < place / 4, weights=weights[own])
        assert facts["share_below"][place] == pytest.approx(below)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("atlas")


@pytest.fixture(scope="module")
def study(workdir):
    config = atlas.get_config("tiny")
    with config.unlocked():
        config.train.execution = "vmap"
    return pvr_jax.run(EXPERIMENT, config, workdir)


@pytest.fixture(scope="module")
def outputs(study, workdir):
    """What was learned, [R, 2^n]."""
    (directory,) = workdir.glob("atlas/*")
    return np.array(list(EXPERIMENT.kept.read_last(directory)))


@pytest.mark.slow
def test_every_function_has_its_error(study, outputs):
    (run,) = study.runs
    assert run.sizes["replica"] == 8 and run.sizes["function"] == len(classes.pairs(2)[0])
    known = classes.classes(3)
    for place, number in enumerate(run["function"].values):
        target = classes.values_of(number, 3)
        assert run["function_influence"][place] == np.mean(target[::2] != target[1::2])
        assert run["function_class_of"][place] == known.representatives[known.of[number]]
        own = outputs[run["cell"].values == classes.number_of(target[1::2])]
        assert len(own) == 2
        error = np.mean((own - target) ** 2) / 2
        assert run["function_error"][place] == pytest.approx(error, rel=1e-5)
        found = float64.values_of(run["function_learned"].values[place])
        np.testing.assert_allclose(found, own.mean(axis=0), atol=1e-6)
    assert run["set"].values.tolist() == monomials(3)


@pytest.mark.slow
def test_measures_of_a_replica_are_those_of_the_analysis(study, outputs):
    (run,) = study.runs
    seen = jnp.arange(8) % 2 == 1
    for place, cell in enumerate(run["cell"].values):
        target = np.repeat(classes.values_of(cell, 2), 2)
        given = [jnp.asarray(part, jnp.float32) for part in (outputs[place], target)]
        found = {**measure_one(*given, seen), **canonical.low_degree_share(*given, seen)}
        for name in ("share", "share_by_degree", "leak", "projection"):
            own = run[name].values[place]
            np.testing.assert_allclose(own, found[name], rtol=1e-3, atol=1e-5, err_msg=name)
        error = run["error_without_influence"].values[place]
        assert error == pytest.approx(float(found["generalization_error"]), rel=1e-4)


@pytest.mark.slow
def test_theories_predict_their_shares(study, outputs):
    (run,) = study.runs
    shares = run["predicted_share_by_degree"]
    known = np.isfinite(run["share_by_degree"].values)
    assert np.array_equal(known, np.isfinite(shares.sel(theory="interpolator").values))
    assert shares.sel(theory="interpolator").values[known] == pytest.approx(1, abs=1e-6)
    layers = wide_networks.mlp_layers(3, (16, 8))
    eigenvalues = wide_networks.wide_eigenvalues(3, layers, wide_networks.RELU)
    limits = eigenvalues[:-1] / (eigenvalues[:-1] + eigenvalues[1:])
    found = shares.sel(theory="wide NTK").values
    np.testing.assert_allclose(found[known], np.broadcast_to(limits, found.shape)[known], rtol=1e-6)
    noise = shares.sel(theory="noise kernel").values[known]
    np.testing.assert_allclose(noise, noise[0])
    # No other strength of the noise kernel explains more of all learned unseen halves.
    weights = run["functions"].values
    values = classes.values_of(run["cell"].values, 2)

    def left(share):
        return np.sum(weights[:, None] * (outputs[:, ::2] - (2 * share - 1) * values) ** 2)

    assert left(noise[0]) < min(left(noise[0] - 1e-3), left(noise[0] + 1e-3))


def test_theories_that_do_not_apply_say_why():
    config = atlas.get_config("model=transformer,tiny")
    with pytest.raises(ValueError, match="model: given transformer; allowed mlp"):
        theories.wide_ntk(config, 0.5)
    config = atlas.get_config("tiny")
    with config.unlocked():
        config.train.init_scales = (0.5,)
    with pytest.raises(ValueError, match=r"init_scales: given 0\.5; allowed 1"):
        theories.empirical_ntk(config, 0.5)


@pytest.mark.slow
def test_the_report_counts_classes(study):
    report = reports.report_of("atlas")
    context = context_of(study, report.measures)
    files = tables_of(report, study, context)
    assert set(files) >= {"table.md", "degrees.md", "functions.md", "exceptions.md", "findings.md"}
    assert "Of 4 classes of seen halves" in files["findings.md"]
    assert files["exceptions.csv"].count("\n") == 1 + 4
    assert set(report.specs(study, context)) == {
        "share_by_degree", "error_by_influence", "functions_of_4_bits", "classes",
    }  # fmt: skip


@pytest.mark.slow
def test_the_report_does_without_predictions(study):
    report = reports.report_of("atlas")
    predicted = [name for name in study.runs[0] if "predicted" in name or name == "residual"]
    alone = results.Study(tuple(run.drop_vars(predicted) for run in study.runs))
    files = tables_of(report, alone, context := context_of(alone, report.measures))
    assert "NTK" not in files["table.md"] and "Of 4 classes" in files["findings.md"]
    assert "classes" not in report.specs(alone, context)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("task.n", 6, "config.task.n: given 6; allowed 2 to 5"),
        ("classes.negations", "some", "config.classes.negations: given 'some'; allowed each, none"),
        ("classes.sample", 5, "config.classes.sample: given 5; allowed 0 .all. to 4"),
        ("classes.member", "all", "config.classes.member: given 'all'; allowed representative"),
    ],
)
def test_mistakes_are_one_line(field, value, complaint):
    config = atlas.get_config("tiny")
    section, name = field.split(".")
    with config.unlocked():
        config[section][name] = value
    with pytest.raises(ValueError, match=complaint):
        EXPERIMENT.validate(config)


@pytest.mark.slow
def test_a_result_is_one_of_the_contract(study):
    assert results.check(study.runs[0]) == []
