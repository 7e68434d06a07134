"""The measures by name: their headings in tables and what they mean, in the order of the table."""

from typing import NamedTuple


class Definition(NamedTuple):
    """A short heading for table columns and a full sentence for the page."""

    heading: str
    meaning: str


LOSSES = {
    "generalization_error": Definition(
        "generalization error",
        "½ E(f̃ − f)² over the whole cube, seen and unseen inputs together: the error that "
        "Abbe et al. 2022 compare with the influence.",
    ),
    "in_distribution_error": Definition(
        "in-distribution error",
        "½ E(f̃ − f)² over the seen inputs only, those with the frozen bit at its training value. "
        "Near zero once the network has fitted what it could see.",
    ),
    "unseen_error": Definition(
        "unseen error",
        "½ E(f̃ − f)² over the unseen inputs only, those with the frozen bit flipped.",
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
    ),
    "projection": Definition(
        "projection c",
        "The factor c for which c·f₋ₖ is closest to the learned function over the unseen inputs. "
        "c = 1: the network continues as the frozen function; c < 1: it shrinks off the support.",
    ),
    "residual_variance": Definition(
        "residual variance",
        "What c·f₋ₖ does not account for of the learned function over the unseen inputs: "
        "the mean square of f̃ − c·f₋ₖ there.",
    ),
}

MEASURES = LOSSES | EXPLANATIONS
DEFINITIONS = LOSSES | PREDICTIONS | EXPLANATIONS


def heading(name: str) -> str:
    """Return the table heading of a measure; a measure without a definition shows its own name."""
    return DEFINITIONS[name].heading if name in DEFINITIONS else name.replace("_", " ")


def ordered(names: set[str]) -> list[str]:
    """Return measure names in table order: the defined ones first, then the others by name."""
    return [name for name in MEASURES if name in names] + sorted(names - MEASURES.keys())
