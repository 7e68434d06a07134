"""The programs of every study at the size of the paper: traced, not compiled.

A tiny run compiles what this traces, which takes ten times as long; those runs are marked slow.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import registry, reproduce
from pvr_jax.building import build
from pvr_jax.training import environment


def cases():
    """Return (study, choice) for each program that differs in kind and not in numbers alone.

    By default every model of an experiment once; the slow ones are those of each study and
    optimizer, and two networks that take as long as ten others.
    """
    found, known = [], set()
    for name in reproduce.names():
        module = reproduce.load(name)
        for choice in module.runs("paper"):
            config = module.get_config(choice)
            kind = (config.experiment, config.model.name)
            of_study = (name, *kind, config.train.optimizer)
            if of_study not in known:
                is_quick = kind not in known and config.model.name not in ("resnet", "vgg")
                marks = () if is_quick else pytest.mark.slow
                found.append(pytest.param(name, choice, marks=marks))
            known |= {kind, of_study}
    return found


@pytest.mark.parametrize(("name", "choice"), cases())
def test_every_kind_of_run_starts_steps_and_is_evaluated(name, choice, stand_in_for_mnist):
    config = reproduce.load(name).get_config(choice)
    with environment.arithmetic(config.train.dtype):
        ensemble = build(registry.experiment_of(config), (config,)).ensemble
        state = jax.eval_shape(ensemble.start)
        after = jax.eval_shape(lambda before: ensemble.advance(before, 0, 1), state)
        measured = jax.eval_shape(ensemble.evaluate, state)
    signature = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (state, after))
    assert signature[0] == signature[1]  # a step leaves a state of the same kind
    parameters = jax.tree.leaves(state.params)
    assert {leaf.dtype for leaf in parameters} == {np.dtype(config.train.dtype)}
    replicas = ensemble.replicas.learning_rate.shape[0]
    assert ensemble.count <= replicas
    assert all(leaf.shape[0] == replicas for leaf in [*parameters, *measured.values()])
    assert all(jnp.issubdtype(leaf.dtype, jnp.number) for leaf in measured.values())
