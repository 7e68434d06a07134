"""Measures of runs, and exact facts about targets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from pvr_jax.boolean import cube, float64, fourier, measures
from pvr_jax.results import Measure

# Every coordinate flips with probability ¼: the noise in the bound for symmetric networks.
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
        "On the seen inputs the monomials T and T ∪ {k} of an aliased pair are the same function "
        "up to sign, so training fixes only the sum of their coefficients. The leak is the mass on "
        "the monomials T ∪ {k} as a share of the squares of these sums: 0 when all is on T (the "
        "low-degree prediction), ¼ when halved, 1 when all is on T ∪ {k}.",
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
        "k frozen. c = 1: the network extrapolates f₋ₖ; c < 1: it shrinks off the support.",
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
        "E(g − c·f₋ₖ)²: the part of the learned function that is orthogonal to f₋ₖ.",
        domain="unseen inputs",
        bounds=POSITIVE,
    ),
    "influence_overlap": Measure(
        "overlap",
        "Σ f̂(S) ĝ(S) over the sets S that contain the frozen bit: the agreement between the "
        "dependences of learned function and target on that bit.",
    ),
    "learned_influence": Measure(
        "learned influence",
        "Σ ĝ(S)² over the sets S that contain the frozen bit: the influence of that bit on the "
        "learned function. The low-degree prediction is 0.",
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
        "Learned Fourier coefficients of aliased pairs, monomials T and T ∪ {k} that are equal on "
        "the seen inputs up to sign.",
        dims=("pair", "member"),
    ),
    "influence": Measure(
        "influence",
        "Inf_k(f) = Σ f̂(S)² over the sets S that contain the frozen bit k: the generalization "
        "error of f₋ₖ, the target with bit k frozen, which is the min-degree interpolator.",
        bounds=POSITIVE,
        **_OF_TARGET,
    ),
    "constant_error": Measure(
        "½ Var f", "The error of the best constant.", domain="whole cube", **_ERROR, **_OF_TARGET
    ),
    "seen_constant_error": Measure(
        "½ Var f, seen",
        "The error of the best constant over the seen inputs; of zero if f is constant there.",
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
        "The same for f₋ₖ, the low-degree prediction.",
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
    "pair_target_high": Measure("in the target", "Coefficient of T ∪ {k} in the target.", **_PAIR),
    "pair_limit": Measure(
        "predicted",
        "The low-degree prediction for the coefficient of T; that for T ∪ {k} is 0.",
        **_PAIR,
    ),
}
SAMPLED = ("influence", *[name for name, own in MEASURES.items() if own.kind == "measure"])
MEASURES |= {
    f"{name}_se": Measure(
        f"sampling error of {MEASURES[name].long_name}",
        "Its standard error over the random points at which it was measured, where the cube is too "
        "large to enumerate; not the spread over seeds.",
        kind=MEASURES[name].kind,
        dims=MEASURES[name].dims,
        bounds=POSITIVE,
    )
    for name in SAMPLED
}


def facts(
    truth: np.ndarray, coefficients: np.ndarray, bits: Sequence[int], value: int
) -> dict[str, Any]:
    """Return the exact facts about a target, those of a frozen bit per replica.

    Args:
        truth: values [2^n] of the target in float64.
        coefficients: spectrum [2^n] of the target.
        bits: the frozen bit of every replica [R]; empty if nothing is frozen.
        value: value of frozen bits in training.
    """
    values: dict[str, Any] = {
        "constant_error": truth.var() / 2,
        "mean_square": np.square(truth).mean(),
        "target_degree_profile": _profile(truth),
    }
    if not len(bits):
        return values | _stability(coefficients) | {"seen_constant_error": truth.var() / 2}
    with float64.exact():
        influences = np.asarray(measures.influences(jnp.asarray(coefficients)))
    profiles = {bit: _profile(truth, bit, value) for bit in dict.fromkeys(bits)}
    # The variance of the function to be fitted is its mass above degree 0.
    seen = {bit: (own[1:].sum() or own.sum()) / 2 for bit, own in profiles.items()}
    return values | {
        "influence": influences[np.asarray(bits)],
        "seen_constant_error": np.array([seen[bit] for bit in bits]),
        "frozen_degree_profile": np.array([profiles[bit] for bit in bits]),
    }


def _stability(coefficients: np.ndarray) -> dict[str, float]:
    """Return the exact quantities of the lower bound for symmetric networks.

    The noise stability of the target at rho = ½, the cross-predictability of its orbit, and the
    bound between the two.
    """
    with float64.exact():
        spectrum = jnp.asarray(coefficients, jnp.float64)
        exact = {
            "noise_stability": measures.noise_stability(spectrum, RHO),
            "orbit_cross_predictability": measures.orbit_cross_predictability(spectrum),
            "orbit_cross_predictability_bound": measures.orbit_cross_predictability_bound(spectrum),
        }
        return {f"target_{name}": float(value) for name, value in exact.items()}


def pair_facts(pairs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, np.ndarray]:
    """Describe the tracked pairs of every replica, [R, P], padded with "" and NaN."""
    count = max(map(len, pairs))
    found = {}
    for name in ("low", "high", "target_low", "target_high", "limit"):
        is_text = name in ("low", "high")
        missing = [["" if is_text else math.nan] * (count - len(own)) for own in pairs]
        rows = [[monomial(p[name]) if is_text else p[name] for p in own] for own in pairs]
        found[f"pair_{name}"] = np.array([[*r, *m] for r, m in zip(rows, missing, strict=True)])
    return found


def monomial(coordinates: list[int]) -> str:
    """Format a product of coordinates, such as "x6 x7"; abbreviate more than 3 in a row."""
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
