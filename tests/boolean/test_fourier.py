"""The transform against its definition, its exactness, and what is read off coefficients."""

import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.linalg import hadamard
from slow_cases import slow_but

from pvr_jax.boolean import cube, fourier, measures

few_examples = settings(deadline=None, max_examples=25, derandomize=True)


def by_definition(values):
    """Coefficients from products over subsets, listed independently of the code under test."""
    n = values.shape[-1].bit_length() - 1
    x = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    subsets = np.array(list(itertools.product([False, True], repeat=n)))
    characters = np.where(subsets[:, None, :], x[None], 1.0).prod(axis=-1)
    return values @ characters.T / 2**n


def integer_transform(values):
    """2^n times the coefficients of one integer-valued function, in int64."""
    values = values.astype(np.int64)
    n = values.size.bit_length() - 1
    for i in range(n):
        pairs = values.reshape(2**i, 2, -1)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 1] - pairs[:, 0]], axis=1)
    return values.reshape(-1)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def functions(draw):
    n = draw(st.sampled_from([1, 4, 7, 10]))
    return normal(2, 2**n, seed=draw(st.integers(0, 2**31)))


@pytest.mark.parametrize("n", range(1, 10))
def test_equals_the_definition(n):
    values = normal(3, 2**n)
    expected = by_definition(values)
    got = fourier.walsh_hadamard(values.astype(np.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    with jax.enable_x64(True):
        got = fourier.walsh_hadamard(values)
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 4, 7, 8, 11])
def test_equals_the_hadamard_matrix_on_reversed_points(n):
    # Entry (S, p) of scipy's matrix is (-1)^(number of bits 1 in S and p): there bit 1 means -1.
    # Here bit 1 means +1, which is the same matrix with the points in reverse order.
    values = normal(2**n)
    expected = hadamard(2**n) @ values[::-1] / 2**n
    with jax.enable_x64(True):
        np.testing.assert_allclose(fourier.walsh_hadamard(values), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", slow_but([6, 7, 8], [1, 5, 6, 7, 8, 12, 13]))
def test_a_character_has_one_coefficient(n):
    for index in {0, 1, 2 ** (n - 1), 2**n - 1, (2**n) // 3}:
        one = jnp.zeros(2**n).at[index].set(1)
        assert np.array_equal(fourier.walsh_hadamard(cube.character(index, n)), one)
        assert np.array_equal(fourier.inverse_walsh_hadamard(one), cube.character(index, n))


@few_examples
@given(functions())
def test_inverse_and_linearity(values):
    with jax.enable_x64(True):
        coefficients = fourier.walsh_hadamard(values)
        back = fourier.inverse_walsh_hadamard(coefficients)
        mixed = fourier.walsh_hadamard(2 * values[0] - 3 * values[1])
    coefficients = np.asarray(coefficients)
    np.testing.assert_allclose(back, values, rtol=0, atol=1e-13)
    np.testing.assert_allclose(mixed, 2 * coefficients[0] - 3 * coefficients[1], atol=1e-13)


@few_examples
@given(functions())
def test_parseval(values):
    with jax.enable_x64(True):
        coefficients = fourier.walsh_hadamard(values)
        weight = fourier.degree_profile(coefficients).sum(axis=-1)
    coefficients = np.asarray(coefficients)
    np.testing.assert_allclose(np.square(coefficients).sum(-1), np.square(values).mean(-1))
    np.testing.assert_allclose(weight, np.square(values).mean(-1))


@pytest.mark.parametrize("n", [3, 10, 16])
def test_float32_is_exact_on_integer_valued_functions(n):
    largest = 2 ** (24 - n) if n > 10 else 100
    values = np.random.default_rng(n).integers(-largest, largest + 1, 2**n)
    expected = integer_transform(values) / 2**n
    got = fourier.walsh_hadamard(values.astype(np.float32))
    assert np.array_equal(got, expected)
    assert np.array_equal(fourier.inverse_walsh_hadamard(got), values)


@pytest.mark.parametrize("n", [10, 16])
def test_float64_is_exact_on_large_integers(n):
    values = np.random.default_rng(n).integers(-(2**36), 2**36, 2**n)
    with jax.enable_x64(True):
        got = fourier.walsh_hadamard(values)
        assert got.dtype == jnp.float64
        assert np.array_equal(got, integer_transform(values) / 2**n)
        assert np.array_equal(fourier.inverse_walsh_hadamard(got), values)


def test_float32_is_exact_on_a_random_boolean_function_of_20_coordinates():
    values = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), 2**20)
    assert np.array_equal(fourier.walsh_hadamard(values), integer_transform(values) / 2**20)


@pytest.mark.slow
def test_float32_is_exact_at_24_coordinates():
    # x0 chooses between two parities, so the function has four coefficients of +-1/2.
    n, selector = 24, cube.index([0], 24)
    one, other = cube.index(range(1, 24), n), cube.index([3, 11, 20], n)

    @jax.jit
    def largest_error():
        chosen = cube.character(selector, n) > 0
        values = jnp.where(chosen, cube.character(one, n), cube.character(other, n))
        expected = jnp.zeros(2**n).at[jnp.array([one, one | selector, other])].set(0.5)
        expected = expected.at[other | selector].set(-0.5)
        return jnp.abs(fourier.walsh_hadamard(values) - expected).max()

    assert largest_error() == 0


@pytest.mark.parametrize("n", slow_but([10, 11], [10, 11, 12, 15]))
@pytest.mark.parametrize("inverse", [False, True])
def test_the_passes_of_every_platform_agree(n, inverse):
    # A CPU takes one of these ways, a GPU or TPU the other; on integers both are exact.
    values = np.random.default_rng(n).integers(-99, 100, (2, 2**n)).astype(np.float32)
    by_sums = jax.jit(fourier._by_sums, static_argnums=(1, 2))(values, inverse, 2.0**-n)
    by_products = jax.jit(fourier._by_products, static_argnums=(1, 2))(values, inverse, 2.0**-n)
    assert np.array_equal(by_sums, by_products)
    if not inverse:
        expected = [integer_transform(row) / 2**n for row in values]
        assert np.array_equal(by_sums, expected)


@pytest.mark.parametrize("n", slow_but([7], [7, 11]))
@pytest.mark.parametrize("transform", [fourier.walsh_hadamard, fourier.inverse_walsh_hadamard])
def test_batches_jit_and_vmap_agree(transform, n):
    values = np.random.default_rng(0).integers(-9, 10, (2, 3, 2**n)).astype(np.float32)
    expected = np.stack([[transform(row) for row in block] for block in values])
    for got in (
        transform(values),
        jax.jit(transform)(values),
        jax.vmap(transform)(values),
        jax.vmap(jax.vmap(transform))(values),
        jax.vmap(transform, in_axes=1, out_axes=1)(values),
    ):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", slow_but([3], [3, 9, 11]))
def test_derivatives(n):
    values, tangent, weights = normal(3, 2**n)

    with jax.enable_x64(True):

        def loss(values):
            return (weights * fourier.walsh_hadamard(values) ** 2).sum()

        # The transform divided by 2^n has the inverse transform divided by 2^n as its transpose.
        coefficients = fourier.walsh_hadamard(values)
        expected = fourier.inverse_walsh_hadamard(2 * weights * coefficients) / 2**n
        np.testing.assert_allclose(jax.grad(loss)(values), expected, rtol=0, atol=1e-14)
        _, moved = jax.jvp(fourier.walsh_hadamard, (values,), (tangent,))
        np.testing.assert_allclose(moved, fourier.walsh_hadamard(tangent), rtol=0, atol=1e-15)

        profile_gradient = jax.grad(lambda c: fourier.degree_profile(c)[2])(coefficients)
        at_degree_two = np.where(cube.degrees(n) == 2, 2 * coefficients, 0)
        np.testing.assert_allclose(profile_gradient, at_degree_two, rtol=0, atol=1e-15)


def test_integers_booleans_and_half_precision_become_a_float():
    assert fourier.walsh_hadamard(np.arange(8, dtype=np.int32)).dtype == jnp.float32
    assert fourier.walsh_hadamard(np.arange(8) > 3).tolist() == [0.5, 0, 0, 0, 0.5, 0, 0, 0]
    assert fourier.walsh_hadamard(jnp.ones(8, jnp.bfloat16)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert fourier.walsh_hadamard(np.arange(8)).dtype == jnp.float64
        assert fourier.walsh_hadamard(jnp.ones(8, jnp.float32)).dtype == jnp.float32


def test_whole_numbers_beyond_32_bits_keep_their_size():
    # 5e9 has 24 significant bits, so float32 holds it; wrapped around at 32 bits it is 7.05e8.
    signs = np.array([1, -1, -1, 1])
    for values in (5_000_000_000 * signs, (5_000_000_000 * signs).tolist()):
        assert fourier.walsh_hadamard(values).tolist() == [0, 0, 0, 5e9]
        assert fourier.low_degree_projection(values, 0).tolist() == [5e9, 0, 0, 0]
        np.testing.assert_allclose(fourier.sum_by_degree(values), [5e9, -1e10, 5e9])
    unsigned = np.full(4, 2**40, np.uint64)
    assert fourier.walsh_hadamard(unsigned).tolist() == [2**40, 0, 0, 0]
    coefficients = np.array([0, 3 * 2**40, 0, -(2**40)])
    np.testing.assert_allclose(measures.influences(coefficients), [2.0**80, 10 * 2.0**80])
    assert float(fourier.inverse_walsh_hadamard(coefficients)[0]) == -4 * 2.0**40


def test_whole_numbers_that_jax_would_wrap_are_refused():
    values = np.array([1, 2, 3, 2**31])
    message = r"given 2147483648; allowed whole numbers of 32 bits, floats, or jax.enable_x64"
    for call in (lambda: cube.frozen(values, 0), lambda: fourier.aliased(values, 0)):
        with pytest.raises(ValueError, match=message):
            call()
        with jax.enable_x64(True):
            assert int(call()[1]) == 2**31
    assert cube.frozen(values - 1, 0).tolist() == [2, 2**31 - 1] * 2


def test_strict_dtype_promotion_is_accepted():
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(True):
        coefficients = fourier.walsh_hadamard(normal(2, 16))
        fourier.degree_profile(fourier.low_degree_projection(coefficients, 2))
        fourier.aliased(cube.frozen(coefficients, 1), 1)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_degree_profile_adds_the_weights_of_each_degree(n):
    coefficients = normal(2, 3, 2**n)
    sizes = np.array([bin(s).count("1") for s in range(2**n)])
    expected = np.stack([(coefficients[..., sizes == d] ** 2).sum(-1) for d in range(n + 1)], -1)
    sums = np.stack([coefficients[..., sizes == d].sum(-1) for d in range(n + 1)], -1)
    with jax.enable_x64(True):
        np.testing.assert_allclose(fourier.degree_profile(coefficients), expected, rtol=1e-13)
        np.testing.assert_allclose(fourier.sum_by_degree(coefficients), sums, atol=1e-12)
    got = fourier.degree_profile(coefficients.astype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    mapped = jax.jit(jax.vmap(fourier.degree_profile))(coefficients.astype(np.float32))
    np.testing.assert_allclose(mapped, expected, rtol=1e-5)


def test_low_degree_projection_is_an_orthogonal_projection():
    n = 7
    coefficients = normal(2, 2**n).astype(np.float32)
    for degree in range(n + 1):
        low = fourier.low_degree_projection(coefficients, degree)
        rest = coefficients - low
        assert np.array_equal(fourier.low_degree_projection(low, degree), low)
        assert not (low * rest).any()
        assert not fourier.degree_profile(low)[..., degree + 1 :].any()
        assert not fourier.degree_profile(rest)[..., : degree + 1].any()
        inner = fourier.inverse_walsh_hadamard(low) * fourier.inverse_walsh_hadamard(rest)
        np.testing.assert_allclose(inner.mean(axis=-1), 0, atol=1e-3)
        traced = jax.jit(fourier.low_degree_projection)(coefficients, jnp.int32(degree))
        assert np.array_equal(traced, low)
    assert np.array_equal(fourier.low_degree_projection(coefficients, n), coefficients)


def test_aliased_multiplies_the_function_by_a_coordinate():
    n = 5
    values = np.random.default_rng(0).integers(-9, 10, (2, 2**n)).astype(np.float32)
    coefficients = fourier.walsh_hadamard(values)
    for bit in range(n):
        product = values * np.asarray(cube.points(n))[:, bit]
        expected = fourier.walsh_hadamard(product)
        assert np.array_equal(fourier.aliased(coefficients, bit), expected)
        assert np.array_equal(jax.jit(fourier.aliased)(coefficients, jnp.int32(bit)), expected)


def test_freezing_moves_weight_to_the_set_without_the_bit():
    n, k = 6, 2
    values = np.random.default_rng(0).integers(-9, 10, 2**n).astype(np.float32)
    coefficients = fourier.walsh_hadamard(values)
    has_k = np.array([k in cube.coordinates(s, n) for s in range(2**n)])
    for value in (-1, 1):
        moved = coefficients + value * fourier.aliased(coefficients, k)
        got = fourier.walsh_hadamard(cube.frozen(values, k, value))
        assert np.array_equal(got, np.where(has_k, 0, moved))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fourier.walsh_hadamard(np.ones(12)), r"values: .* length 12; allowed 2\^n with n"),
        (lambda: fourier.walsh_hadamard(np.ones(1)), r"values: .* length 1; allowed"),
        (lambda: fourier.walsh_hadamard(np.ones((4, 0))), r"values: .* length 0; allowed"),
        (lambda: fourier.walsh_hadamard(1.0), r"values: given a scalar"),
        (lambda: fourier.walsh_hadamard(np.ones(4) * 1j), r"values: given dtype complex64"),
        (lambda: fourier.inverse_walsh_hadamard(np.ones(3)), r"coefficients: .* length 3"),
        (lambda: fourier.degree_profile(np.ones(3)), r"coefficients: .* length 3"),
        (lambda: fourier.low_degree_projection(np.ones(8), 4), r"degree: given 4; allowed 0 to 3"),
        (lambda: fourier.low_degree_projection(np.ones(8), -1), r"degree: given -1"),
        (lambda: fourier.low_degree_projection(np.ones(8), np.ones(2)), r"degree: given an array"),
        (lambda: fourier.aliased(np.ones(8), 3), r"coordinate: given 3; allowed 0 to 2"),
    ],
)
def test_bad_input_says_what_was_given_and_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()
