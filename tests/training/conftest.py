"""A small real ensemble: linear networks that fit parities, one frozen bit per replica."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import models, tasks
from pvr_jax.tasks import datasets
from pvr_jax.training.ensemble import ensemble
from pvr_jax.training.replicas import Replicas, device_mesh
from pvr_jax.training.state import optimizer

N = 5


@pytest.fixture(scope="session")
def build():
    """Return `build(seeds, bits, devices=, execution=, ...)` -> Ensemble of small MLPs."""
    model = models.build("mlp", N, widths=(16, 8))
    task = tasks.make("pvr", pointer_bits=1, window=2, aggregation="parity")
    assert task.n == 3
    task = tasks.make("parity", n=N, degree=2)
    training_set = datasets.canonical_training_set(task.target, N, samples=20, batch_size=8)

    def replicas(seeds, bits, rate):
        seeds, bits = np.asarray(seeds), np.asarray(bits)

        def keys(seed, bit):
            root = jax.random.key(seed)
            return jax.random.fold_in(root, bit), jax.random.fold_in(root, 1000)

        init_key, data_key = jax.vmap(keys)(jnp.asarray(seeds, jnp.uint32), jnp.asarray(bits))
        rates = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), seeds.shape)
        return Replicas(init_key, data_key, rates, {"bit": jnp.asarray(bits, jnp.int32)})

    def make(seeds, bits, devices=1, execution="vmap", group_size=1, rate=1e-2, traces=None):
        def apply(params, x):
            if traces is not None:
                traces.append(x.shape)
            return model.apply(params, x)

        def evaluate(params, *, bit):
            from pvr_jax.boolean import cube

            outputs = apply(params, cube.points(N))
            return {"mean": jnp.mean(outputs), "bit": bit}

        return ensemble(
            replicas(seeds, bits, rate),
            init=lambda key: model.init(key, jnp.ones((1, N))),
            apply=apply,
            batch=training_set.batch,
            optimizer=partial(optimizer, "adam"),
            evaluate=evaluate,
            mesh=device_mesh(jax.devices()[:devices]),
            execution=execution,
            group_size=group_size,
        )

    return make
