"""Theories of a run's errors: functions from seen values to learned functions."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.canonical_holdout import sampled
from pvr_jax import lazy_training, tasks, theory
from pvr_jax.boolean import float64
from pvr_jax.boolean.facts import ExactFacts
from pvr_jax.experiment import Arrays, Learned, task_of
from pvr_jax.lazy_training import Function
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure, statistics
from pvr_jax.tasks import holdouts
from pvr_jax.theory.empirical_kernel import LARGEST_N

_OF_THEORY = {"dims": ("theory",), "kind": "prediction"}
PREDICTIONS = {
    "predicted_generalization_error": Measure(
        "predicted error",
        "The generalization error that a theory predicts. Wide NTK: regression with the tangent "
        "kernel of the network at infinite width. Empirical NTK: regression with the network's own "
        "tangent kernel at initialization, a mean over four initializations, permutations of the "
        "coordinates and x → −x. Both are what lazy training learns, without free parameters.",
        units="half squared error",
        bounds=(0, math.inf),
        **_OF_THEORY,
    ),
    "predicted_generalization_error_se": Measure(
        "standard error of the predicted error",
        "Jackknife standard error over the initializations of a kernel; if large, the kernels of "
        "these few networks disagree.",
        **_OF_THEORY,
    ),
    "residual": Measure(
        "residual",
        "½ E(g − h)², h the function that a theory predicts: its distance to the learned function "
        "g. Theories may predict the same error with different functions; this distinguishes them.",
        units="half squared error",
        domain="whole cube",
        bounds=(0, math.inf),
        dims=("theory",),
    ),
}


class Theory(NamedTuple):
    """A theory of the learned function.

    `without_one` are leave-one-out versions over initializations, if the theory has any; their
    spread gives the standard error of `function`. `error` is the error of `function` from exact
    facts about the target, for cubes that are too large to enumerate.
    """

    function: Function
    without_one: tuple[Function, ...] = ()
    error: Callable[[ExactFacts, int, int], float] | None = None


def compared(
    theory_of: Callable[[ConfigDict, int], Theory],
    config: ConfigDict,
    replicas: pd.DataFrame,
    learned: Learned,
) -> Arrays:
    """Return the error that a theory predicts, and the residual of every replica [R].

    Args:
        theory_of: maps configuration and n to the theory.
        config: the configuration.
        replicas: the replica table, ordered by frozen bits.
        learned: yields the learned spectra [2^n], in this order.

    Raises:
        Refusal: the theory does not apply to this run; the message says why.
        LinAlgError: its kernel cannot represent the target.
    """
    if replicas["frozen_bit"].isna().any():
        raise Refusal("nothing is frozen: there is no unseen input")
    task, value = task_of(config), config.holdout.value
    if sampled.is_sampled(config, task.n):
        return _errors_alone(theory_of(config, task.n), task, replicas["frozen_bit"], value)
    found_by, truth = theory_of(config, task.n), tasks.exact_values(task)

    def error_of(values: np.ndarray) -> float:
        return float(np.square(values - truth).mean() / 2)

    found = {name: np.full(len(replicas), np.nan) for name in PREDICTIONS}
    error, standard_error, residual = found.values()
    spectra = learned()
    for bit, own in replicas.groupby("frozen_bit", sort=False):
        seen = np.asarray(holdouts.canonical(task.n, int(bit), value))
        values = found_by.function(truth, seen)
        error[own.index] = error_of(values)
        if others := [error_of(function(truth, seen)) for function in found_by.without_one]:
            standard_error[own.index] = statistics.jackknife_error(others)
        spectrum = float64.spectrum(values)
        for replica in own.index:
            residual[replica] = np.square(next(spectra) - spectrum).sum() / 2
    return found


def _errors_alone(found_by: Theory, task: tasks.Task, bits: pd.Series, value: int) -> Arrays:
    """Return the predicted errors, from exact facts about the target."""
    if found_by.error is None:
        raise Refusal("points: given sampled; allowed enumerated")
    facts = tasks.exact_facts(task)
    errors = {bit: found_by.error(facts, int(bit), value) for bit in bits.unique()}
    return {"predicted_generalization_error": bits.map(errors).to_numpy(float)}


def influence(config: ConfigDict, n: int) -> Theory:
    """Return the min-degree interpolator, whose error is the influence."""
    return Theory(
        theory.min_degree_interpolator, error=lambda facts, bit, value: float(facts.influences[bit])
    )


def wide_ntk(config: ConfigDict, n: int) -> Theory:
    """Return regression with the tangent kernel of a run's network at infinite width.

    Raises:
        Refusal: the network is not an MLP, or an MLP under maximal update, which is not lazy at any
            width.
    """
    lazy_training.check(config)
    if config.model.name != "mlp":
        raise Refusal(f"model: given {config.model.name}; allowed mlp")
    eigenvalues = lazy_training.wide_eigenvalues(config, n)
    return Theory(
        partial(theory.kernel_interpolator, eigenvalues),
        error=lambda facts, bit, value: float(
            theory.kernel_error(*facts.cross_sums(bit), eigenvalues, value)
        ),
    )


def empirical_ntk(config: ConfigDict, n: int) -> Theory:
    """Return regression with the mean tangent kernel of a run's network at initialization.

    Raises:
        Refusal: the cube is too large.
    """
    lazy_training.check(config)
    if n > LARGEST_N:
        raise Refusal(f"n = {n}: allowed up to {LARGEST_N}")
    return Theory(*lazy_training.regression(config, n))
