"""measures.json: everything that the report needs to know of an analyzed run."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from pvr_jax import models
from pvr_jax.boolean import cube, float64, fourier, measures

# Every coordinate is flipped with probability ¼: the noise of the bound for symmetric networks.
RHO = 0.5


def document(
    config: ConfigDict,
    problem: problems.Problem,
    steps: list[int],
    measured: list[dict[str, np.ndarray]],
    predictions: dict[str, np.ndarray],
    diverged: list[int | None],
) -> dict[str, Any]:
    """Return measures.json: columns over [steps][replicas].

    Whatever the registry of measures holds is in it by name: scalars under "measures", where the
    report finds them, vectors beside it.
    """
    names = [name for name in measured[0] if name != "finite"]
    columns = {name: [at_step[name] for at_step in measured] for name in names}
    scalars = {name for name, column in columns.items() if column[0].ndim == 1}
    n, task = problem.task.n, problem.task
    return {
        "experiment": config.experiment,
        "size": config.size,
        "holdout": "matched" if problem.matched else "canonical",
        "task": task.name,
        "task_label": _label(task.name, task.params),
        "model": config.model.name,
        "model_label": models.label(config.model.to_dict()),
        "n": n,
        "frozen_value": problem.value,
        "loss": "half squared error",
        "steps": steps,
        "steps_per_epoch": problem.training_set.steps_per_epoch,
        "replicas": _replicas(problem, diverged),
        "influences": problems.influences(problem),
        "predictions": predictions,
        "measures": {name: columns[name] for name in columns if name in scalars},
        **{name: columns[name] for name in columns if name not in scalars},
        "target_degree_profile": _profile(problem.truth),
        "frozen_degree_profile": {
            bit: _profile(problem.truth, bit, problem.value) for bit in problem.bits
        },
        "tracked": {bit: {"pairs": pairs} for bit, pairs in problem.pairs.items()},
        **({"target": target_measures(problem)} if problem.matched else {}),
    }


@float64.exact()
def target_measures(problem: problems.Problem) -> dict[str, float]:
    """Return what the lower bound for symmetric networks is made of, exactly.

    Mean and variance of the target, its noise stability at rho = ½, and the cross-predictability
    of its orbit with the bound that lies between the two.
    """
    coefficients = jnp.asarray(problem.coefficients, jnp.float64)
    exact = {
        "noise_stability": measures.noise_stability(coefficients, RHO),
        "orbit_cross_predictability": measures.orbit_cross_predictability(coefficients),
        "orbit_cross_predictability_bound": measures.orbit_cross_predictability_bound(coefficients),
    }
    return {
        "mean": float(problem.truth.mean()),
        "variance": float(problem.truth.var()),
        **{name: float(value) for name, value in exact.items()},
    }


def _label(name: str, parameters: dict[str, Any]) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name} ({shown})" if shown else name


def _replicas(problem: problems.Problem, diverged: list[int | None]) -> list[dict[str, Any]]:
    columns = zip(
        problem.names,
        problem.replica_bits,
        problem.replica_rates,
        problem.replica_scales,
        problem.replica_seeds,
        diverged,
        strict=True,
    )
    return [
        {
            "name": name,
            "bit": None if problem.matched else int(bit),
            "learning_rate": float(rate),
            "init_scale": float(scale),
            "seed": int(seed),
            "diverged_at": step,
        }
        for name, bit, rate, scale, seed, step in columns
    ]


@float64.exact()
def _profile(values: np.ndarray, bit: int | None = None, value: int = 1) -> np.ndarray:
    """Return the exact degree profile [n + 1] of a function, or of it with `bit` frozen."""
    function = jnp.asarray(values, jnp.float64)
    if bit is not None:
        function = cube.frozen(function, bit, value)
    return np.asarray(fourier.degree_profile(fourier.walsh_hadamard(function)))
