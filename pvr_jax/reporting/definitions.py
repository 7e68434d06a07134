"""The measures by name: their headings in tables and what they mean, in the order of the table."""

from collections.abc import Mapping
from typing import NamedTuple

from pvr_jax.results.statistics import Scale


class Definition(NamedTuple):
    """A short heading for table columns, a full sentence for the page, and where values live."""

    heading: str
    meaning: str
    scale: Scale = "real"


class Theory(NamedTuple):
    """The same of a theory; `exact` where it claims the very error of each replica.

    The others speak of a limit, and a replica's distance from them is no error of the theory.
    """

    heading: str
    meaning: str
    exact: bool = False


LOSSES = {
    "generalization_error": Definition(
        "generalization error",
        "½ E(f̃ − f)² over the whole cube, seen and unseen inputs together: the error that "
        "Abbe et al. 2022 compare with the influence.",
        "positive",
    ),
    "in_distribution_error": Definition(
        "in-distribution error",
        "½ E(f̃ − f)² over the seen inputs only, those with the frozen bit at its training value. "
        "Near zero once the network has fitted what it could see.",
        "positive",
    ),
    "unseen_error": Definition(
        "unseen error",
        "½ E(f̃ − f)² over the unseen inputs only, those with the frozen bit flipped.",
        "positive",
    ),
}

PREDICTIONS = {
    "influence": Definition(
        "influence",
        "Inf_k(f) = Σ f̂(S)² over the sets S that hold the frozen bit k, computed exactly. It is "
        "the generalization error of the frozen function f₋ₖ, the one that does not use bit k.",
    ),
    "difference": Definition(
        "error − influence",
        "Generalization error minus influence. Zero is what the low-degree hypothesis predicts.",
    ),
}

EXPLANATIONS = {
    "leak": Definition(
        "leak",
        "On the seen inputs a monomial T and its higher-degree twin T ∪ {k} are the same function "
        "up to sign, so training fixes only the sum of their coefficients. The leak is the mass on "
        "the higher-degree twins as a share of the squares of these sums: 0 when all is on the "
        "low-degree twins (the low-degree prediction), ¼ when halved, 1 when all is on the "
        "higher-degree ones.",
        "positive",
    ),
    "projection": Definition(
        "projection c",
        "The factor c for which c·f₋ₖ is closest to the learned function over the unseen inputs. "
        "c = 1: the network continues as the frozen function; c < 1: it shrinks off the support.",
    ),
    "degree_temperature": Definition(
        "degree temperature",
        "The ρ from 0 to 1 of the noise kernel Π(1 + ρ xᵢx′ᵢ) whose interpolant is nearest to the "
        "learned function over the unseen inputs, (1 − c)/(1 + c) held to this range. 0: the "
        "min-degree interpolator; 1: zero off the support, no preference for low degree.",
        "unit",
    ),
    "influence_overlap": Definition(
        "overlap",
        "Σ f̂(S) ĝ(S) over the sets S that hold the frozen bit, g what was learned: how far its "
        "dependence on that bit agrees with the target's. Once the seen inputs are fitted, the "
        "error is exactly influence − 2·overlap + learned influence.",
    ),
    "learned_influence": Definition(
        "learned influence",
        "Inf_k(g) = Σ ĝ(S)² over the sets S that hold the frozen bit: how far what was learned "
        "depends on it. The low-degree prediction: it does not, and overlap and learned influence "
        "are 0.",
        "positive",
    ),
    "residual_variance": Definition(
        "residual variance",
        "What c·f₋ₖ does not account for of the learned function over the unseen inputs: "
        "the mean square of f̃ − c·f₋ₖ there.",
        "positive",
    ),
}

# What theory predicts the generalization error of a replica to be, by the name in measures.json.
THEORIES = {
    "linear_regression": Theory(
        "linear regression",
        "¼ (f̂(∅) − v f̂({k}) − b⁰ + v w⁰ₖ)², v the frozen value, b⁰ and w⁰ₖ the initial bias and "
        "weight of bit k: exactly the generalization error of linear regression trained to zero "
        "loss (Abbe et al. 2022). Not the influence: a bias and a constant bit look alike to it.",
        exact=True,
    ),
    "wide_ntk": Theory(
        "wide NTK",
        "The generalization error of regression with the tangent kernel of the network's own "
        "architecture and initialisation at infinite width: what gradient descent from zero tends "
        "to as the layers grow, when training is lazy. Computed exactly, without free parameters.",
    ),
    "empirical_ntk": Theory(
        "empirical NTK",
        "The generalization error of regression with the network's own tangent kernel at "
        "initialisation, a mean over four initialisations, permutations of the coordinates and "
        "x → −x: what gradient descent from zero learns to first order around the initialisation, "
        "when training is lazy. Without free parameters. ±: the jackknife standard error over the "
        "four; where it is large, so few networks do not agree on what their kernel says.",
    ),
}

UNEXPLAINED = {
    "unexplained": Definition(
        "left by …",
        "½ E(f̃ − g)² over the whole cube, g the function that a theory predicts: what it leaves "
        "unexplained of the learned function. For the influence g is the frozen function f₋ₖ, the "
        "min-degree interpolator; for a kernel it is what regression with it learns. Two theories "
        "may predict one error with different functions; this tells them apart.",
        "positive",
    ),
}

TARGETS = {
    "target_noise_stability": Definition(
        "Stab_½",
        "Noise stability Σ (½)^|S| f̂(S)² of the target, every bit flipped with probability ¼.",
    ),
    "target_orbit_cross_predictability_bound": Definition(
        "bound",
        "Σ f̂(S)² C(n, |S|) / C(2n, |S|), which bounds CP from above.",
    ),
    "target_orbit_cross_predictability": Definition(
        "CP",
        "Cross-predictability of the orbit: the mean over permutations π of the 2n coordinates of "
        "⟨f̄, f̄∘π⟩², where f̄ is the target with n more coordinates that it ignores.",
    ),
}

MEASURES = LOSSES | EXPLANATIONS
DEFINITIONS = LOSSES | PREDICTIONS | THEORIES | UNEXPLAINED | EXPLANATIONS | TARGETS


def heading(name: str) -> str:
    """Return the table heading of a measure, prediction or property of the target.

    One without a definition shows its own name.
    """
    return DEFINITIONS[name].heading if name in DEFINITIONS else name.replace("_", " ")


def scale(name: str) -> Scale:
    """Return where the values of a measure live; what a theory leaves unexplained is positive."""
    if name.startswith("unexplained_"):
        name = "unexplained"
    found = DEFINITIONS.get(name)
    return found.scale if isinstance(found, Definition) else "real"


def left_by(theory: str) -> str:
    """Return the table heading of what a theory leaves unexplained."""
    return f"left by {heading(theory)}"


def is_exact(theory: str) -> bool:
    """Return whether a theory claims the very error of each replica; an unknown one does not."""
    return theory in THEORIES and THEORIES[theory].exact


def ordered(names: set[str], registry: Mapping[str, Definition | Theory] = MEASURES) -> list[str]:
    """Return names in the order of a registry: the defined ones first, then the others by name."""
    return [name for name in registry if name in names] + sorted(names - registry.keys())
