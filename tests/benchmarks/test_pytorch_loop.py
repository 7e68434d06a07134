"""The usual loop is a fair one: same data, same network, same loss, same errors as ours."""

import jax
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: bench)")

import torch

from benchmarks import pytorch_loop, pytorch_networks, studies
from benchmarks.replicas_against_loop import loop_of
from configs import canonical_holdout
from pvr_jax import models
from pvr_jax.boolean import cube, fourier

REPLICA = 1


@pytest.fixture(scope="module", params=["mlp", "transformer", "mixer"])
def both(request):
    """A tiny study at its start and the loop of its second replica."""
    config = studies.configuration(request.param, replicas=2, tiny=True, execution="map")
    study = studies.Study(config).start().compile()
    return study, loop_of(study, REPLICA)


def test_both_train_alike(both):
    study, loop = both
    assert len(loop.loader) == study.steps_per_epoch
    mean_loss, evaluated = loop.epoch()
    measured = study.epochs(1)
    state = study.state
    ours = state.loss_sum[REPLICA] / state.loss_count[REPLICA]
    np.testing.assert_allclose(ours, mean_loss, rtol=1e-5)
    for name in ("generalization_error", "in_distribution_error"):
        theirs = getattr(evaluated, name)
        np.testing.assert_allclose(measured[name][REPLICA], theirs, rtol=1e-4)


def test_rows_are_those_of_the_training_set(both):
    study, loop = both
    x, y = (values.numpy() for values in loop.loader.dataset.tensors)
    assert x.shape == (study.config.data.samples, study.task.n)
    assert (x[:, study.table["frozen_bit"][REPLICA]] == 1).all()
    np.testing.assert_array_equal(study.task.target(x), y)


def test_coefficients_are_ours():
    points = np.array(cube.points(6))
    values = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    matrix = pytorch_loop.characters(torch.tensor(points)).numpy()
    np.testing.assert_allclose(matrix @ values / 64, fourier.walsh_hadamard(values), atol=1e-6)


def test_only_the_mlp_computes_coefficients(both):
    study, loop = both
    evaluated = loop.evaluate()
    if study.config.model.name == "mlp":
        assert evaluated.coefficients.shape == (2**study.task.n,)
    else:
        assert evaluated.coefficients is None


# That they are the same functions is for the tests of pvr_jax's own networks, in tests/models.
@pytest.mark.parametrize("name", ["mlp", "transformer", "mixer"])
def test_the_networks_of_the_paper_have_as_many_parameters(name):
    parameters = canonical_holdout.MODELS[name]
    params = jax.eval_shape(
        models.build(name, 11, **parameters).init, jax.random.key(0), np.ones((1, 11), np.float32)
    )
    network = pytorch_networks.build(name, 11, **parameters)
    assert sum(leaf.numel() for leaf in network.parameters()) == models.parameter_count(params)
