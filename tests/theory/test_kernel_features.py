"""Kernels as features: against the matrix, against characters, and where the matrix fails."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import models, theory
from pvr_jax.boolean import cube
from pvr_jax.theory import kernel_features

KEYS = jax.random.split(jax.random.key(0), 2)


def kernels_of(init, apply, n, keys=KEYS):
    return [theory.symmetric_kernel(init, apply, n, key) for key in keys]


def features_of(model, n):
    kernels = kernels_of(model.init, model.apply, n)
    return kernel_features.mean_features([kernel.root for kernel in kernels])


def characters(n):
    """Return χ_S(x) [2^n, 2^n], points by sets, and the sizes of the sets."""
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    subsets = np.array(list(itertools.product([0, 1], repeat=n)))
    return np.prod(np.where(subsets[None], points[:, None], 1.0), axis=2), subsets.sum(axis=1)


def noise_network(n, rho):
    """A function linear in its parameters, the tangent kernel of which is Π(1 + ρ x_i y_i)."""
    subsets = jnp.array(list(itertools.product([0, 1], repeat=n)))

    def init(key, x):
        return {"theta": jax.random.normal(key, (2**n,))}

    def apply(params, x):
        products = jnp.prod(jnp.where(subsets, x[:, None], 1.0), axis=2)
        return products @ (params["theta"] * np.sqrt(rho) ** np.asarray(subsets).sum(axis=1))

    return init, apply


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_basis_is_orthonormal_and_each_copy_is_whole(n):
    basis = kernel_features.permutation_basis(n)
    for level in range(n + 1):
        columns = np.concatenate(
            [copies[level - j] for j, copies in enumerate(basis) if 0 <= level - j < len(copies)],
            axis=1,
        )
        assert columns.shape == (math.comb(n, level),) * 2
        np.testing.assert_allclose(columns.T @ columns, np.eye(len(columns)), atol=1e-13)
    for j, copies in enumerate(basis):
        assert len(copies) == n - 2 * j + 1
        assert {copy.shape[1] for copy in copies} == {
            math.comb(n, j) - (math.comb(n, j - 1) if j else 0)
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, shape", [("mixer", {"width": 8, "depth": 1}), ("mlp", {"widths": (9, 5)})]
)
def test_products_of_the_features_are_the_symmetrized_kernel(name, shape):
    n = 5
    model = models.build(name, n, **shape)
    features = features_of(model, n)
    kernel = theory.mean_empirical_kernel(model.init, model.apply, n, KEYS, symmetrize=True)
    np.testing.assert_allclose(features @ features.T, kernel, rtol=1e-12, atol=1e-12 * kernel.max())


def test_more_points_than_parameters():
    n = 6
    model = models.build("linear_regression", n)
    features = features_of(model, n)
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    np.testing.assert_allclose(features @ features.T, points @ points.T + 1, atol=1e-12)


@pytest.mark.slow
def test_steep_kernels_keep_their_high_degrees():
    # The eigenvalue of degree 6 is 7e-16 of the largest, which no matrix in float64 can hold.
    n, rho = 9, 3e-3
    target = characters(n)[0][:, 63] + characters(n)[0][:, 3]  # degrees 6 and 2
    seen = np.arange(2**n) % 2 == 0  # the last coordinate is -1
    init, apply = noise_network(n, rho)
    learned = theory.symmetric_interpolator(kernels_of(init, apply, n, KEYS[:1]), target, seen)
    expected = theory.noise_kernel_interpolator(target, seen, rho)
    np.testing.assert_allclose(learned, expected, atol=1e-4)
    kernel = theory.mean_empirical_kernel(init, apply, n, KEYS[:1], symmetrize=True)
    with pytest.raises(ValueError, match="misses the seen values"):
        theory.kernel_interpolator(kernel, target, seen)


def test_what_rounding_decides_is_refused():
    # The degrees 7 and 8 have 1e-21 and 1e-24 of the largest eigenvalue.
    n = 8
    target = characters(n)[0][:, -1]
    seen = np.arange(2**n) % 2 == 0
    init, apply = noise_network(n, 1e-3)
    with pytest.raises(ValueError, match=r"prediction moves by \d+.* with the rounding of float64"):
        theory.symmetric_interpolator(kernels_of(init, apply, n, KEYS[:1]), target, seen)


@pytest.mark.parametrize("seed", range(4))
def test_least_norm_in_features_is_kernel_regression(seed):
    random = np.random.default_rng(seed)
    n = 5
    features = random.standard_normal((2**n, 40)) * 0.7 ** np.arange(40)
    values, seen = random.standard_normal(2**n), random.random(2**n) < 0.5
    expected = theory.kernel_interpolator(features @ features.T, values, seen)
    np.testing.assert_allclose(
        theory.feature_interpolator(features, values, seen), expected, rtol=1e-6, atol=1e-6
    )
    # Rows that depend on others change nothing where the values depend alike.
    weights = random.standard_normal(5)
    few = random.standard_normal((2**n, 5))
    learned = theory.feature_interpolator(few, few @ weights, seen)
    np.testing.assert_allclose(learned, few @ weights, atol=1e-10)


@pytest.mark.slow
def test_the_transformer_holds_what_its_matrix_cannot():
    n = 7
    model = models.build(
        "transformer", n, width=16, depth=2, heads=2, head_width=8, feed_forward_width=16
    )
    target = np.sign(characters(n)[0][:, [1, 2, 4]].sum(axis=1)) * characters(n)[0][:, 96]
    seen = np.asarray(cube.points(n))[:, 0] > 0
    learned = theory.symmetric_interpolator(kernels_of(model.init, model.apply, n), target, seen)
    np.testing.assert_allclose(learned[seen], target[seen], atol=1e-8)


def test_bad_input_says_what_is_allowed():
    model = models.build("mlp", 11)
    with pytest.raises(ValueError, match="parameters: given 1,089,153; allowed 131,072 for roots"):
        theory.symmetric_kernel(model.init, model.apply, 11, KEYS[0])
    with pytest.raises(ValueError, match="n: given 13; allowed 1 to 12"):
        theory.symmetric_kernel(model.init, model.apply, 13, KEYS[0])
    ones = np.ones(8)
    with pytest.raises(ValueError, match=r"features: given shape \(4, 2\); allowed \[8, any\]"):
        theory.feature_interpolator(np.ones((4, 2)), ones, ones > 0)
    with pytest.raises(ValueError, match="misses the seen values by up to 1"):
        theory.feature_interpolator(np.zeros((8, 2)), ones, ones > 0)
