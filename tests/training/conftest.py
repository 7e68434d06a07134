"""A small real ensemble: MLPs that fit a parity, one frozen bit per replica."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import models, tasks
from pvr_jax.boolean import cube
from pvr_jax.tasks import datasets
from pvr_jax.training.ensemble import ensemble
from pvr_jax.training.optimizers import optimizer
from pvr_jax.training.replicas import Replicas, device_mesh

N = 5


@pytest.fixture(scope="session")
def build():
    """Return `build(seeds, bits, devices=, execution=, ...)` -> Ensemble of small MLPs."""
    model = models.build("mlp", N, widths=(16, 8))
    task = tasks.make("parity", n=N, degree=2)
    training_set = datasets.canonical_training_set(task.target, N, samples=20, batch_size=8)

    def replicas(seeds, bits, rate):
        seeds, bits = np.asarray(seeds), np.asarray(bits)

        def keys(seed, bit):
            root = jax.random.key(seed)
            return jax.random.fold_in(root, bit), jax.random.fold_in(root, 1000)

        init_key, data_key = jax.vmap(keys)(jnp.asarray(seeds, jnp.uint32), jnp.asarray(bits))
        rates = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), seeds.shape)
        return Replicas(
            init_key, data_key, rates, jnp.ones_like(rates), {"bit": jnp.asarray(bits, jnp.int32)}
        )

    @cache
    def make(
        seeds,
        bits,
        devices=1,
        execution="vmap",
        group_size=1,
        rate=1e-2,
        counted=False,
        batch_devices=1,
    ):
        traces = []

        def apply(params, x):
            traces.append(x.shape)
            return model.apply(params, x)

        def evaluate(params, *, bit):
            outputs = apply(params, cube.points(N))
            return {"mean": jnp.mean(outputs), "bit": bit}

        built = ensemble(
            replicas(seeds, bits, rate),
            init=lambda key: model.init(key, jnp.ones((1, N))),
            apply=apply,
            batch=training_set.batch,
            optimizer=partial(optimizer, "adam"),
            evaluate=evaluate,
            mesh=device_mesh(jax.devices()[:devices], batch_devices),
            batch_devices=batch_devices,
            execution=execution,
            group_size=group_size,
        )
        return (built, traces) if counted else built

    # An ensemble holds no state, so equal ones are compiled once for all tests.
    return lambda seeds, bits, **choices: make(
        tuple(map(int, seeds)),
        tuple(map(int, bits)),
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in choices.items()
        },
    )
