"""The counted products are those of the traced programs, operation for operation."""

import math

import jax
import jax.numpy as jnp
import pytest

from benchmarks import arithmetic
from configs import canonical_holdout
from pvr_jax import models

N, BATCH = 11, 64


def counted(jaxpr):
    """Operations of all matrix products of a traced program, loops unrolled."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracting, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contracting)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * inner
            continue
        inside = sum(
            counted(getattr(value, "jaxpr", value))
            for value in equation.params.values()
            if hasattr(getattr(value, "jaxpr", value), "eqns")
        )
        total += inside * equation.params.get("length", 1)
    return total


def network(name, size):
    small = canonical_holdout.SMALL_MODELS.get(name, {}) if size == "small" else {}
    return {"name": name, **canonical_holdout.MODELS[name], **small}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mlp", "paper"),
        ("transformer", "paper"),
        ("transformer", "small"),
        ("mixer", "paper"),
        ("mixer", "small"),
        ("random_features", "paper"),
        ("mean_field", "paper"),
    ],
)
def test_counts_are_those_of_the_traced_program(name, size):
    model = network(name, size)
    built = models.build(n=N, **model)
    x = jax.ShapeDtypeStruct((BATCH, N), jnp.float32)
    params = jax.eval_shape(built.init, jax.random.key(0), jnp.ones((1, N)))

    def loss(params, x):
        return jnp.square(built.apply(params, x)).sum()

    # The wide layer of mean field has its bias as a row of the kernel. It is no part of the floor.
    bias = 2 * BATCH * model["width"] if name == "mean_field" else 0
    forward = counted(jax.make_jaxpr(built.apply)(params, x).jaxpr)
    assert forward == arithmetic.forward_flops(model, N, BATCH) + bias
    training = counted(jax.make_jaxpr(jax.grad(loss))(params, x).jaxpr)
    # The Mixer's products over the tokens are made again for the gradient: that takes no longer
    # than keeping them, and less memory. It is no part of the floor.
    again = sum(product.forward for product in arithmetic.products(model, N, BATCH)[:2])
    repeated = again if name == "mixer" else 2 * bias
    assert training == arithmetic.training_flops(model, N, BATCH, BATCH) + repeated


def test_the_mlp_by_hand():
    model = network("mlp", "paper")
    inner = 512 * 1024 + 1024 * 512 + 512 * 64 + 64
    assert arithmetic.training_flops(model, N, 1900, 64) == 30 * 2 * 64 * (3 * inner + 2 * 11 * 512)
