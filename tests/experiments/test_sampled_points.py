"""The canonical holdout at random pairs of points: the same measures, at any n."""

import jax
import numpy as np
import pytest

from configs import canonical_holdout
from experiments.canonical_holdout import sampled
from experiments.canonical_holdout.experiment import EXPERIMENT
from experiments.canonical_holdout.measures import MEASURES
from pvr_jax import frame, results, tasks, theory
from pvr_jax.analysis import canonical
from pvr_jax.boolean import float64
from pvr_jax.building import replica_table, replicas_of
from pvr_jax.refusal import Refusal
from pvr_jax.theory import wide_networks

PAIRS = 1 << 13
BY_DEGREE = ("degree_profile", "leak_by_degree")


def config_of(task="pvr_majority", points="sampled", bits="0,7", **parameters):
    config = canonical_holdout.get_config(f"task={task},model=mlp,tiny").unlock()
    config.task.update(parameters)
    config.holdout.bits = bits
    config.evaluation.update({"points": points, "samples": PAIRS, "tracked_pairs": 4})
    config.train.seeds = 1
    return config.lock()


def measured(config):
    """The measures of the initial networks of a configuration, in float64."""
    table = replica_table(EXPERIMENT, config)
    program = EXPERIMENT.build(config, table)
    replicas = replicas_of(EXPERIMENT, program, table)

    def of_one(init_key, data_key, **conditions):
        drawn = program.draw(data_key, **conditions)
        outputs = program.outputs(program.init(init_key), drawn, **conditions)
        return outputs, drawn

    values = jax.jit(jax.vmap(of_one))
    outputs, drawn = values(replicas.init_key, replicas.data_key, **replicas.conditions)
    outputs, drawn = jax.tree.map(np.asarray, (outputs, drawn))
    with float64.exact():
        measure = jax.jit(jax.vmap(lambda o, d, given: program.measure(o, d, **given)))
        found = measure(outputs.astype(np.float64), drawn, replicas.conditions)
        return jax.tree.map(np.asarray, found)


@pytest.mark.slow
@pytest.mark.parametrize("task, bits", [("pvr_majority", "0,7"), ("quadratic_chain", "none")])
def test_sampled_measures_are_the_enumerated_ones_within_their_errors(task, bits):
    whole, pairs = (measured(config_of(task, points, bits)) for points in ("enumerated", "sampled"))
    if bits != "none":
        assert {f"{name}_se" for name in whole} <= {*pairs}
    for name, exact in ((name, own) for name, own in whole.items() if name in pairs):
        found, error = pairs[name], pairs[f"{name}_se"]
        if name in BY_DEGREE:  # up to a degree, and no leak where there is hardly any mass
            assert np.isnan(found[:, sampled.MAX_DEGREE + 1 :]).all()
            exact = np.where(np.isnan(found), np.nan, exact)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(exact), err_msg=name)
        # Five standard errors, for some 80 numbers; 1e-6 for those that do not vary.
        known = ~np.isnan(exact)
        assert np.all(np.abs(found - exact)[known] <= 5 * error[known] + 1e-6), name


def test_every_sampled_measure_is_described():
    assert {*measured(config_of(bits="3"))} <= {*MEASURES}


def test_seeds_have_their_own_points_and_bits_share_them():
    config = config_of(bits="0,7").unlock()
    config.train.seeds = 2
    table = replica_table(EXPERIMENT, config)
    program = EXPERIMENT.build(config, table)
    keys = replicas_of(EXPERIMENT, program, table).data_key
    drawn = np.asarray(jax.vmap(program.draw)(keys)["points"])
    seeds = table["seed"].to_numpy()
    same = (drawn[:, None] == drawn[None]).all(axis=-1)
    np.testing.assert_array_equal(same, seeds[:, None] == seeds[None])


@pytest.mark.parametrize("bit", [0, 5, 10])
def test_tracked_pairs_are_those_of_the_spectrum(bit):
    task = tasks.make("pvr_majority")
    coefficients = float64.exact_spectrum(tasks.exact_values(task))
    expected = canonical.tracked_pairs(coefficients, bit, 1, 12)
    terms = sampled.terms_of(tasks.exact_facts(task))
    assert sampled.tracked_pairs(terms, task.n, bit, 1, 12) == expected


def test_facts_without_a_closed_form_are_estimated(monkeypatch):
    """An unnamed copy of x0 x1 + x2 on 40 coordinates: influences 1, 1, 1 and 0."""
    task = tasks.make("polynomial", n=40, expression="x0*x1 + x2")
    monkeypatch.setattr(sampled, "FACT_PAIRS", 1 << 16)
    found = sampled.facts(task, None, [0, 2, 5], 1)
    known = sampled.facts(task, tasks.exact_facts(task), [0, 2, 5], 1)
    np.testing.assert_allclose(known["influence"], [1, 1, 0])
    off = np.abs(found["influence"] - known["influence"])
    assert np.all(off <= 5 * found["influence_se"] + 1e-6)
    for name in ("constant_error", "seen_constant_error"):
        np.testing.assert_allclose(found[name], known[name], rtol=0.01)


def test_too_large_a_cube_cannot_be_enumerated():
    config = config_of("pvr", "enumerated", pointer_bits=5, window=3)
    with pytest.raises(Refusal, match=r"evaluation\.points: given 'enumerated'; allowed sampled"):
        EXPERIMENT.validate(config)


@pytest.mark.slow
def test_a_run_of_37_bits_is_measured_and_predicted(tmp_path):
    config = config_of("pvr", "auto", "0,7", pointer_bits=5, window=3, aggregation="parity")
    for stage in ("train", "analyse", "predict"):
        directory = frame.STAGES[stage](EXPERIMENT, config, tmp_path)
    study = results.open(directory)
    final = study.final().set_index("frozen_bit")
    # Parity of windows of 3 with 5 pointer bits: a pointer bit changes which parity, so the two
    # differ for half of the inputs; a value bit is in 3 of 32 windows.
    np.testing.assert_array_equal(final["influence"], [1 / 2, 3 / 32])
    assert (final["generalization_error_se"] > 0).all()
    predicted = study.by_theory("predicted_generalization_error")
    np.testing.assert_array_equal(
        predicted["predicted_generalization_error_influence"], final["influence"]
    )
    facts = tasks.exact_facts(tasks.make(**config.task.to_dict()))
    layers = wide_networks.mlp_layers(
        37, config.model.widths, config.model.initialisation, config.model.alpha, True
    )
    eigenvalues = wide_networks.wide_eigenvalues(37, layers, wide_networks.RELU)
    expected = [theory.kernel_error(*facts.cross_sums(bit), eigenvalues) for bit in (0, 7)]
    np.testing.assert_allclose(predicted["predicted_generalization_error_wide_ntk"], expected)
    with np.load(directory / "spectra.npz") as spectra:
        assert spectra["coefficients"].shape == (1, 2, len(spectra["sets"]), 2)
        assert spectra["sets"].sum(axis=1).max() >= 3 and spectra["pairs_of_points"] == PAIRS
