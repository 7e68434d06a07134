"""What is measured of a run, declared once, and the dataset that holds it: measures.nc."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from pvr_jax import results
from pvr_jax.boolean import cube, float64, fourier, measures
from pvr_jax.results import Measure

# Every coordinate is flipped with probability ¼: the noise of the bound for symmetric networks.
RHO = 0.5
POSITIVE = (0, math.inf)
_ERROR = {"units": "half squared error", "bounds": POSITIVE}
_OF_TARGET = {"kind": "exact"}
_PAIR = {"kind": "exact", "dims": ("pair",)}
MEASURES = {
    "generalization_error": Measure(
        "generalization error",
        "½ E(g − f)² over the whole cube, seen and unseen inputs together, g the learned function: "
        "the error that Abbe et al. 2022 compare with the influence.",
        domain="whole cube",
        **_ERROR,
    ),
    "in_distribution_error": Measure(
        "in-distribution error",
        "½ E(g − f)² over the inputs that training may show, those with the frozen bit at its "
        "training value. Near zero once the network has fitted them.",
        domain="seen inputs",
        **_ERROR,
    ),
    "unseen_error": Measure(
        "unseen error",
        "½ E(g − f)² over the inputs with the frozen bit flipped.",
        domain="unseen inputs",
        **_ERROR,
    ),
    "leak": Measure(
        "leak",
        "On the seen inputs a monomial T and its higher-degree twin T ∪ {k} are the same function "
        "up to sign, so training fixes only the sum of their coefficients. The leak is the mass on "
        "the twins as a share of the squares of these sums: 0 when all is on the low-degree "
        "monomials (the low-degree prediction), ¼ when halved, 1 when all is on the twins.",
        bounds=POSITIVE,
    ),
    "leak_by_degree": Measure(
        "leak by degree",
        "The leak over the monomials T of one degree.",
        bounds=POSITIVE,
        dims=("degree",),
    ),
    "projection": Measure(
        "projection c",
        "The factor c for which c·f₋ₖ is closest to the learned function, f₋ₖ the target with bit "
        "k frozen. c = 1: the network continues as f₋ₖ; c < 1: it shrinks off the support.",
        domain="unseen inputs",
    ),
    "degree_temperature": Measure(
        "degree temperature",
        "The ρ from 0 to 1 of the noise kernel Π(1 + ρ xᵢx′ᵢ) whose interpolant is nearest to the "
        "learned function, (1 − c)/(1 + c) held to this range. 0: the min-degree interpolator; 1: "
        "zero off the support, no preference for low degree.",
        domain="unseen inputs",
        bounds=(0, 1),
    ),
    "residual_variance": Measure(
        "residual variance",
        "E(g − c·f₋ₖ)²: what the projection does not account for of the learned function.",
        domain="unseen inputs",
        bounds=POSITIVE,
    ),
    "influence_overlap": Measure(
        "overlap",
        "Σ f̂(S) ĝ(S) over the sets S that hold the frozen bit: how far the dependence of the "
        "learned function on that bit agrees with the target's.",
    ),
    "learned_influence": Measure(
        "learned influence",
        "Σ ĝ(S)² over the sets S that hold the frozen bit: how far the learned function depends on "
        "it. The low-degree prediction is 0.",
        bounds=POSITIVE,
    ),
    "degree_profile": Measure(
        "Fourier mass",
        "Sum of the squared Fourier coefficients of a degree.",
        bounds=POSITIVE,
        dims=("degree",),
    ),
    "tracked_coefficients": Measure(
        "coefficient",
        "Learned Fourier coefficients of aliased pairs, monomials that the seen inputs do not tell "
        "apart: T and its twin T ∪ {k}.",
        dims=("pair", "member"),
    ),
    "influence": Measure(
        "influence",
        "Inf_k(f) = Σ f̂(S)² over the sets S that hold the frozen bit k: the generalization error "
        "of f₋ₖ, the target with bit k frozen, which is the min-degree interpolator.",
        bounds=POSITIVE,
        **_OF_TARGET,
    ),
    "constant_error": Measure(
        "½ Var f", "The error of the best constant.", domain="whole cube", **_ERROR, **_OF_TARGET
    ),
    "seen_constant_error": Measure(
        "½ Var f, seen",
        "The error of the best constant over the seen inputs; of zero where f is constant there.",
        domain="seen inputs",
        **_ERROR,
        **_OF_TARGET,
    ),
    "mean_square": Measure("E f²", "Mean square of the target.", bounds=POSITIVE, **_OF_TARGET),
    "target_degree_profile": Measure(
        "Fourier mass of the target",
        "Sum of the squared Fourier coefficients of a degree.",
        dims=("degree",),
        **_OF_TARGET,
    ),
    "frozen_degree_profile": Measure(
        "Fourier mass of the frozen target",
        "The same of f₋ₖ, which the low-degree prediction is of.",
        dims=("degree",),
        **_OF_TARGET,
    ),
    "target_noise_stability": Measure(
        "Stab_½",
        "Noise stability Σ (½)^|S| f̂(S)² of the target, every bit flipped with probability ¼.",
        **_OF_TARGET,
    ),
    "target_orbit_cross_predictability_bound": Measure(
        "bound", "Σ f̂(S)² C(n, |S|) / C(2n, |S|), which bounds CP from above.", **_OF_TARGET
    ),
    "target_orbit_cross_predictability": Measure(
        "CP",
        "Cross-predictability of the orbit: the mean over permutations π of the 2n coordinates of "
        "⟨h, h∘π⟩², h the target with n more coordinates that it ignores.",
        **_OF_TARGET,
    ),
    "pair_low": Measure("T", "The low-degree monomial of an aliased pair.", **_PAIR),
    "pair_high": Measure("twin", "The monomial T ∪ {k} of an aliased pair.", **_PAIR),
    "pair_target_low": Measure("T in the target", "Its coefficient in the target.", **_PAIR),
    "pair_target_high": Measure("in the target", "The twin's coefficient in the target.", **_PAIR),
    "pair_limit": Measure(
        "predicted",
        "The low-degree prediction for the coefficient of T; that of its twin is 0.",
        **_PAIR,
    ),
    "linear_regression_error": Measure(
        "linear regression",
        "¼ (f̂(∅) − v f̂({k}) − b⁰ + v w⁰ₖ)², v the frozen value, b⁰ and w⁰ₖ the initial bias and "
        "weight of bit k: exactly the generalization error of linear regression trained to zero "
        "loss (Abbe et al. 2022). A bias and a constant bit look alike to it.",
        bounds=POSITIVE,
        kind="prediction",
    ),
}


def labeled(
    config: ConfigDict,
    problem: problems.Problem,
    steps: list[int],
    measured: list[dict[str, np.ndarray]],
    predictions: dict[str, np.ndarray],
    diverged: list[int | None],
) -> xr.Dataset:
    """Return measures.nc of a run; whatever the registry of measures holds is in it by name.

    Args:
        config: of the run.
        problem: what was learned.
        steps: of the evaluations, T.
        measured: of every evaluation, arrays [R] or [R, ...] by name.
        predictions: errors [R] that hold exactly for every replica, by the name of the measure.
        diverged: the step at which each replica diverged, or None.
    """
    names = [name for name in measured[0] if name != "finite"]
    columns = {name: np.stack([at_step[name] for at_step in measured]) for name in names}
    # The leak of degree n is not defined: T lacks the frozen bit.
    columns["leak_by_degree"] = np.pad(
        columns["leak_by_degree"], ((0, 0), (0, 0), (0, 1)), constant_values=np.nan
    )
    values = columns | target_values(problem) | pair_values(problem) | predictions
    if not problem.most_pairs:
        del values["tracked_coefficients"]
    return results.dataset(
        replica_table(problem, diverged),
        values,
        MEASURES | {n: _unknown(n, columns[n]) for n in names if n not in MEASURES},
        steps=steps,
        coordinates={"member": ("T", "twin")} if problem.most_pairs else {},
        experiment=config.experiment,
        run=settings.run_name(config),
        task=problem.task.name,
        model=config.model.name,
        optimizer=config.train.optimizer,
        size=config.size,
        n=problem.task.n,
        holdout="matched" if problem.matched else "canonical",
        frozen_value=problem.value,
        steps_per_epoch=problem.training_set.steps_per_epoch,
        config=config.to_dict(),
    )


def _unknown(name: str, column: np.ndarray) -> Measure:
    """Describe a measure that somebody added to the registry and not here."""
    own = tuple(f"{name}_{axis}" for axis in range(column.ndim - 2))
    return Measure(name.replace("_", " "), "Defined in pvr_jax/analysis/measures.py.", dims=own)


def replica_table(problem: problems.Problem, diverged: list[int | None]) -> pd.DataFrame:
    """Return the replica table; the frozen bit is missing where nothing is frozen."""
    bits = problem.replica_bits
    return pd.DataFrame(
        {
            "name": problem.names,
            "seed": problem.replica_seeds,
            "learning_rate": problem.replica_rates,
            "init_scale": problem.replica_scales,
            "frozen_bit": np.full(len(bits), np.nan) if problem.matched else bits,
            "diverged_at": [-1 if step is None else step for step in diverged],
        }
    )


def target_values(problem: problems.Problem) -> dict[str, Any]:
    """Return the exact facts about the target, those of a frozen bit per replica."""
    truth = problem.truth
    values: dict[str, Any] = {
        "constant_error": truth.var() / 2,
        "mean_square": np.square(truth).mean(),
        "target_degree_profile": _profile(truth),
    }
    if problem.matched:
        return values | _stability(problem) | {"seen_constant_error": truth.var() / 2}
    influences = problems.influences(problem)
    profiles = {bit: _profile(truth, bit, problem.value) for bit in problem.bits}
    # What is to be fitted varies by its mass above degree 0.
    seen = {bit: (own[1:].sum() or own.sum()) / 2 for bit, own in profiles.items()}
    of_bits = {
        "influence": influences,
        "seen_constant_error": seen,
        "frozen_degree_profile": profiles,
    }
    for name, found in of_bits.items():
        values[name] = np.array([found[int(bit)] for bit in problem.replica_bits])
    return values


def _stability(problem: problems.Problem) -> dict[str, float]:
    """Return what the lower bound for symmetric networks is made of, exactly.

    Noise stability of the target at rho = ½, and the cross-predictability of its orbit with the
    bound that lies between the two.
    """
    with float64.exact():
        coefficients = jnp.asarray(problem.coefficients, jnp.float64)
        exact = {
            "noise_stability": measures.noise_stability(coefficients, RHO),
            "orbit_cross_predictability": measures.orbit_cross_predictability(coefficients),
            "orbit_cross_predictability_bound": measures.orbit_cross_predictability_bound(
                coefficients
            ),
        }
        return {f"target_{name}": float(value) for name, value in exact.items()}


def pair_values(problem: problems.Problem) -> dict[str, np.ndarray]:
    """Return what the tracked pairs are, [R, P]; empty texts and NaN where a bit has fewer."""
    count = problem.most_pairs
    if not count:
        return {}
    texts = ("low", "high")
    found: dict[str, list[list[Any]]] = {}
    for bit in problem.replica_bits:
        pairs = problem.pairs[int(bit)]
        for name in (*texts, "target_low", "target_high", "limit"):
            own = [monomial(p[name]) if name in texts else p[name] for p in pairs]
            missing = "" if name in texts else np.nan
            found.setdefault(name, []).append(own + [missing] * (count - len(own)))
    return {f"pair_{name}": np.array(rows) for name, rows in found.items()}


def monomial(coordinates: list[int]) -> str:
    """Return a product of coordinates as text, such as "x6 x7"; more than 3 in a row shortened."""
    runs: list[list[int]] = []
    for i in sorted(coordinates):
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    texts = [f"x{r[0]}…x{r[-1]}" if len(r) > 3 else " ".join(f"x{i}" for i in r) for r in runs]
    return " ".join(texts) or "1"


def _profile(values: np.ndarray, bit: int | None = None, value: int = 1) -> np.ndarray:
    """Return the exact degree profile [n + 1] of a function, or of it with `bit` frozen."""
    with float64.exact():
        function = jnp.asarray(values, jnp.float64)
        if bit is not None:
            function = cube.frozen(function, bit, value)
        return np.asarray(fourier.degree_profile(fourier.walsh_hadamard(function)))
