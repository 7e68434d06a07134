"""What is measured on an unseen domain: headings in tables and meanings, in the table's order."""

from pvr_jax.reporting.definitions import Definition
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, WIDE_NTK
from pvr_jax.results.statistics import Scale

UNEXPLAINED = "unexplained_"  # before the name of a theory: what it misses of the learned function

MEASURES = {
    "generalization_error": Definition(
        "generalization error",
        "½ E(g − f)² over the whole cube, seen and unseen inputs together.",
        "positive",
    ),
    "in_distribution_error": Definition(
        "in-distribution error",
        "½ E(g − f)² over the seen inputs. † marks a fit that is not finished: it is above 1 % of "
        "½ E f², the error of the zero function. Nothing is judged there, nor where it is missing.",
        "positive",
    ),
    "unseen_error": Definition(
        "unseen error", "½ E(g − f)² over the unseen inputs only.", "positive"
    ),
    "distance": Definition(
        "distance to MDI, whole cube",
        "½ E(g − m)² over the whole cube: half the squared distance of the coefficients.",
        "positive",
    ),
    "unseen_distance": Definition(
        "distance to MDI",
        "½ E(g − m)² over the unseen inputs: 0 for the MDI, and the MDI's own unseen error for the "
        "target.",
        "positive",
    ),
    "dropped_share": Definition(
        "dropped monomials learned",
        "Σ ĝ(S) f̂(S) / Σ f̂(S)² over the monomials that the target has and the MDI drops: 0 as "
        "the MDI has it, 1 as the target. What is above 0 leaks.",
    ),
    "degree_temperature": Definition(
        "degree temperature",
        "How soft the preference for low degrees is: the ρ for which the interpolant of the noise "
        "kernel Π (1 + ρ xᵢ x′ᵢ) is nearest to g on the unseen inputs. 0: the MDI; 1: a function "
        "that is 0 wherever training did not look.",
        "unit",
    ),
}

DERIVED = {
    "distance_share": Definition(
        "distance / MDI's error",
        "Distance to MDI over the MDI's own unseen error: 0 for the MDI, 1 for the target.",
        "positive",
    ),
    "error_share": Definition(
        "unseen error / MDI's error",
        "Unseen error over the MDI's own: 1 for the MDI, 0 for the target.",
        "positive",
    ),
    "mass_above": Definition(
        "mass above degree r",
        "Σ ĝ(S)² over the sets of more than r elements, r being the degree of the MDI: 0 as the "
        "MDI has it.",
        "positive",
    ),
}

THEORIES = {
    MIN_DEGREE: Definition(
        "MDI",
        "m, the min-degree interpolator: of all functions equal to the target on the seen inputs "
        "the one with the least Fourier mass on the highest degree, then on the next, and so on; "
        "computed exactly. The low-degree bias predicts g = m.",
    ),
    WIDE_NTK: Definition(
        "wide NTK",
        "What the infinitely wide network of the same kind learns in the lazy limit: the "
        "interpolator of least norm of its neural tangent kernel.",
    ),
}

DEFINITIONS = THEORIES | MEASURES | DERIVED


def heading(name: str) -> str:
    """Return the heading of a measure or theory; one without a definition shows its own name."""
    return DEFINITIONS[name].heading if name in DEFINITIONS else name.replace("_", " ")


def scale(name: str) -> Scale:
    """Return where the values of a column live; what a theory leaves unexplained is positive."""
    known = MEASURES | DERIVED
    if name in known:
        return known[name].scale
    return "positive" if name.startswith(UNEXPLAINED) else "real"
