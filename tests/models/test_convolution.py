"""The convolution's two forms agree, in gradients too, and each platform compiles its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.models import convolutional


def operands(size, height=9, width=14, channels=3, features=5):
    generator = np.random.default_rng(0)
    shapes = (4, height, width, channels), (size, size, channels, features)
    return [jnp.asarray(generator.standard_normal(shape), jnp.float32) for shape in shapes]


def gradients(form, x, kernel):
    return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(form(x, kernel))), argnums=(0, 1))(x, kernel)


@pytest.mark.parametrize("size, stride", [(1, 2), (3, 1), (3, 2), (5, 3)])
def test_both_forms_agree_in_values_and_gradients(size, stride):
    forms = (
        convolutional.convolve,
        convolutional.as_convolution,
        convolutional.as_product,
    )

    def values_and_gradients(x, kernel):
        bound = [lambda *both, form=form: form(*both, stride) for form in forms]
        return [(form(x, kernel), *gradients(form, x, kernel)) for form in bound]

    found, *others = jax.jit(values_and_gradients)(*operands(size))
    assert found[0].shape == (4, -(-9 // stride), -(-14 // stride), 5)
    for other in others:
        for one, same in zip(found, other, strict=True):
            np.testing.assert_allclose(one, same, atol=2e-4)


@pytest.mark.parametrize("replicas", [False, True])
def test_a_cpu_multiplies_and_an_accelerator_convolves(replicas):
    def step(x, kernel):
        return gradients(lambda *both: convolutional.convolve(*both, 2), x, kernel)

    shared = [operand[None] if replicas else operand for operand in operands(3)]
    traced = jax.jit(jax.vmap(step) if replicas else step).trace(*shared)
    texts = {p: traced.lower(lowering_platforms=(p,)).as_text() for p in ("cpu", "cuda", "tpu")}
    assert {p: "stablehlo.convolution" in text for p, text in texts.items()} == {
        "cpu": False,
        "cuda": True,
        "tpu": True,
    }


def test_replicas_together_are_the_loop():
    x, kernel = operands(3)
    stacked = jnp.stack([x, 2 - x]), jnp.stack([kernel, kernel[::-1]])

    def form(x, kernel):
        return convolutional.convolve(x, kernel, 2)

    def both(x, kernel):
        return form(x, kernel), *gradients(form, x, kernel)

    together = jax.jit(jax.vmap(both))(*stacked)
    for index in range(2):
        for one, other in zip(together, jax.jit(both)(*(s[index] for s in stacked)), strict=True):
            np.testing.assert_allclose(one[index], other, atol=1e-4)


def test_pooling_takes_the_largest_of_four_and_drops_an_odd_edge():
    x = jnp.arange(2 * 5 * 7, dtype=jnp.float32).reshape(1, 5, 7, 2)
    pooled = convolutional.max_pool(x)
    assert pooled.shape == (1, 2, 3, 2)
    for row in range(2):
        for column in range(3):
            block = x[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_array_equal(pooled[0, row, column], block.max(axis=(0, 1)))
