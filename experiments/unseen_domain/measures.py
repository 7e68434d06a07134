"""Measures of runs, and of predictions."""

import math

from pvr_jax.results import Measure

_ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
_MASS = {"bounds": (0, math.inf)}
_EXACT = {"kind": "exact"}
MEASURES = {
    "generalization_error": Measure(
        "generalization error",
        "½E(g − f)², g learned, f the target.",
        domain="whole cube",
        **_ERROR,
    ),
    "in_distribution_error": Measure(
        "in-distribution error", "½E(g − f)² over the inputs seen.", domain="seen inputs", **_ERROR
    ),
    "unseen_error": Measure(
        "unseen error", "½E(g − f)² over the inputs held out.", domain="unseen inputs", **_ERROR
    ),
    **{
        f"{name}_sampling": Measure(
            f"sampling error of the {words}",
            "Standard error from the random choice of test points, which are the same for all "
            "replicas; it does not include the spread between seeds.",
            **_ERROR,
        )
        for name, words in (
            ("generalization_error", "generalization error"),
            ("in_distribution_error", "in-distribution error"),
            ("unseen_error", "unseen error"),
        )
    },
    "distance": Measure(
        "distance to MDI, whole cube",
        "½E(g − m)², m the min-degree interpolator (MDI): half the squared distance of all "
        "coefficients.",
        domain="whole cube",
        **_ERROR,
    ),
    "unseen_distance": Measure(
        "distance to MDI",
        "½E(g − m)² over the inputs held out, m the min-degree interpolator (MDI): 0 for the MDI; "
        "for the target it is the MDI's own unseen error.",
        domain="unseen inputs",
        **_ERROR,
    ),
    "dropped_share": Measure(
        "dropped monomials learned",
        "Over the monomials that the target has and the MDI drops: 0 as the MDI, 1 as the target. "
        "What is above 0 leaks.",
        symbol="Σ ĝ(S) f̂(S) / Σ f̂(S)²",
    ),
    "degree_temperature": Measure(
        "degree temperature",
        "How soft the preference for low degrees is: the ρ for which the interpolator of the noise "
        "kernel Π (1 + ρ xᵢ x′ᵢ) is nearest to g on the unseen inputs. 0: the MDI; 1: a function "
        "that is 0 on all unseen inputs.",
        bounds=(0, 1),
        domain="unseen inputs",
    ),
    "mass_above": Measure(
        "mass above degree r",
        "Sum of the squared coefficients of g above degree r, the degree of the MDI.",
        **_MASS,
    ),
    "coefficients": Measure(
        "learned coefficient",
        "Fourier coefficient of g, for the monomials in which target and MDI differ most.",
        symbol="ĝ(S)",
        dims=("monomial",),
    ),
    "degree_profile": Measure(
        "Fourier mass",
        "Sum of the squared Fourier coefficients of a degree.",
        dims=("degree",),
        **_MASS,
    ),
    "target": Measure("target", "f, on inputs x in {−1, +1}ⁿ.", **_EXACT),
    "seen": Measure("seen inputs", "Which inputs training shows.", **_EXACT),
    "seen_fraction": Measure("share seen", "Share of the inputs that are seen.", **_EXACT),
    "evaluated": Measure("evaluated on", "The inputs that measures average over.", **_EXACT),
    "training_rows": Measure("training rows", "The file that training shows.", **_EXACT),
    "training_samples": Measure("training samples", "Rows of an epoch.", **_EXACT),
    "target_mean_square": Measure(
        "E f²", "Mean square of the target.", domain="whole cube", **_EXACT
    ),
    "seen_variance": Measure(
        "variance of the target",
        "Var f over the seen inputs; E f² if f is constant there.",
        domain="seen inputs",
        **_EXACT,
    ),
    "highest_degree": Measure("r", "The degree of the MDI, if any is above it.", **_EXACT),
    "target_mass_above": Measure(
        "target's mass there", "Mass of the target above degree r.", **_EXACT
    ),
    "target_coefficients": Measure(
        "target", "Fourier coefficient of the target.", dims=("monomial",), **_EXACT
    ),
    "target_degree_profile": Measure(
        "Fourier mass of the target", "Of every degree.", dims=("degree",), **_EXACT
    ),
    "min_degree_profile": Measure(
        "Fourier mass of the MDI", "Of every degree.", dims=("degree",), **_EXACT
    ),
}
_HALVES = {**_ERROR, "dims": ("theory",)}
PREDICTIONS = {
    "predicted_generalization_error": Measure(
        "predicted generalization error",
        "½E(h − f)², h the function that the theory predicts.",
        domain="whole cube",
        kind="prediction",
        **_HALVES,
    ),
    "predicted_unseen_error": Measure(
        "predicted unseen error",
        "½E(h − f)² over the inputs held out, h the function that the theory predicts.",
        domain="unseen inputs",
        kind="prediction",
        **_HALVES,
    ),
    "predicted_coefficients": Measure(
        "predicted coefficient",
        "Fourier coefficient of the function that the theory predicts.",
        kind="prediction",
        dims=("theory", "monomial"),
    ),
    "residual": Measure(
        "distance to the theory",
        "½E(g − h)² over the inputs held out, h the function that the theory predicts.",
        domain="unseen inputs",
        **_HALVES,
    ),
}
