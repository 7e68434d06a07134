"""The theories set beside a run's errors: functions from what is seen to what is learned."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from pvr_jax import models, theory
from pvr_jax.refusal import Refusal
from pvr_jax.theory import kernel_features, wide_networks
from pvr_jax.theory.empirical_kernel import LARGEST_N

STARTS = 4  # initializations of which the empirical kernel is the mean
# Of different networks: the tasks of a study, one after the other, share those of its models.
MOST_KERNELS = 4

# From the target's values [2^n] and the seen set bool [2^n] to the predicted values [2^n].
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Theory(NamedTuple):
    """What a theory says is learned.

    `without_one` are the same with each initialization left out in turn, empty where the theory
    knows none: how far they are apart says how far `function` depends on the few that were drawn.
    """

    function: Function
    without_one: tuple[Function, ...] = ()


def theories_of(
    config: ConfigDict, problem: problems.Problem
) -> tuple[dict[str, Theory], dict[str, str]]:
    """Return the theories that say something of a run, and of the others why they do not.

    "influence": the min-degree interpolator, whose error is the influence. "wide_ntk" and
    "empirical_ntk": regression with the tangent kernel of the infinitely wide network and of the
    network itself, at initialization.
    """
    if problem.matched:
        reason = "nothing is frozen: there is no unseen input"
        return {}, dict.fromkeys(("influence", "wide_ntk", "empirical_ntk"), reason)
    theories = {"influence": Theory(theory.min_degree_interpolator)}
    not_defined = {}
    for name, theory_of in (("wide_ntk", wide_theory), ("empirical_ntk", empirical_theory)):
        try:
            theories[name] = theory_of(config, problem.task.n)
        except Refusal as error:
            not_defined[name] = str(error)
    return theories, not_defined


def wide_theory(config: ConfigDict, n: int) -> Theory:
    """Return regression with the tangent kernel of a run's network at infinite width.

    Raises ValueError for networks without one here: all but the MLP, and the MLP under maximal
    update, which is never lazy, however wide.
    """
    _check_scales(config)
    model = config.model
    if model.name != "mlp":
        raise Refusal(f"model: given {model.name}; allowed mlp")
    layers = wide_networks.mlp_layers(
        n, model.widths, model.initialisation, model.alpha, model.get("biases", True)
    )
    eigenvalues = wide_networks.wide_eigenvalues(n, layers, wide_networks.RELU)
    return Theory(partial(theory.kernel_interpolator, eigenvalues))


def empirical_theory(config: ConfigDict, n: int) -> Theory:
    """Return regression with the mean tangent kernel of a run's network at initialization.

    Raises ValueError for a cube that is too large for it.
    """
    _check_scales(config)
    if n > LARGEST_N:
        raise Refusal(f"n = {n}: allowed up to {LARGEST_N}")
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    starts, regress, regress_with_fewer = _kernels(model, n, config.train.dtype)
    return Theory(
        partial(regress, starts),
        tuple(
            partial(regress_with_fewer, starts[:i] + starts[i + 1 :]) for i in range(len(starts))
        ),
    )


@lru_cache(maxsize=MOST_KERNELS)
def _kernels(model: str, n: int, dtype: str) -> tuple[tuple, Callable, Callable]:
    """Symmetrized kernels, one per initialization, and how to regress with all and with fewer.

    Of a model by its parameters as JSON; `dtype` is that of JAX at the time. Kernels of small
    networks are factorized, since those of Transformers cannot be told from rounding otherwise;
    the gradients of large ones do not fit into memory.
    """
    network = models.build(n=n, **json.loads(model))
    keys = [jax.random.fold_in(jax.random.key(0), start) for start in range(STARTS)]
    with jax.default_matmul_precision("highest"):
        if kernel_features.fits(network.init, n):
            root_of = partial(theory.symmetric_kernel, network.init, network.apply, n)
            regress = theory.symmetric_interpolator
            # Rounding, checked for all of them, is far below the differences between starts.
            return tuple(map(root_of, keys)), regress, partial(regress, check_rounding=False)
        kernel_of = partial(theory.mean_empirical_kernel, network.init, network.apply, n)
        matrices = tuple(kernel_of([key], symmetrise=True) for key in keys)
        return matrices, _regress_with_matrix, _regress_with_matrix


def _regress_with_matrix(
    kernels: Sequence[np.ndarray], values: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    return theory.kernel_interpolator(np.mean(kernels, axis=0), values, seen)


def _check_scales(config: ConfigDict) -> None:
    """Refuse scaled starts: their kernels differ from replica to replica of one bit."""
    if any(scale != 1 for scale in config.train.init_scales):
        raise Refusal(
            f"init_scales: given {', '.join(f'{s:g}' for s in config.train.init_scales)}; allowed 1"
        )
