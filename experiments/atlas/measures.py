"""What is measured of every replica, class and function, from the learned halves.

`outputs` [R, 2^n] are learned functions, whose last coordinate is the frozen one: odd points are
seen, even ones are not. Means over replicas of a run weight each by the functions it stands for.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pvr_jax.analysis import halves as analysis
from pvr_jax.boolean import classes, cube, float64
from pvr_jax.experiment import Arrays
from pvr_jax.results import Measure, statistics

_ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
_OF_ALL = {"domain": "all functions and replicas", "kind": "exact", "dims": ("influence",)}
_OF_CLASS = {"kind": "exact", "dims": ("class", "monomial")}
_OF_FUNCTION = {"kind": "exact", "dims": ("function",)}
_SPECTRUM = {"kind": "exact", "dims": ("function", "set")}
MEASURES = {
    "share": Measure(
        "share of the low degree",
        "Of F, the seen half, the share that is learned by the monomials without the frozen bit. "
        "1: the low-degree bias; ½: no preference; 0: all on the monomials with it.",
        symbol="E[gF] / E[F²]",
    ),
    "share_by_degree": Measure(
        "share of the low degree", "Of the part of F of one degree.", dims=("degree",),
    ),
    "leak": Measure(
        "leak", "The squared coefficients of monomials with the frozen bit, over E F² as learned. "
        "0: the low-degree bias, ¼: halved.",
        symbol="Σ ĝ(T∪k)² / Σ (ĝ(T) + ĝ(T∪k))²", bounds=(0, math.inf),
    ),
    "in_distribution_error": Measure(
        "in-distribution error", "½E(g − F)².", domain="seen half", **_ERROR
    ),
    "projection": Measure(
        "slope of the error", "The mean error of all functions with a seen half is a line in the "
        "influence I of the frozen bit, error without influence + slope · I; the low-degree bias "
        "says 0 + 1 · I.", symbol="E[uF], u the learned unseen half",
    ),
    "error_without_influence": Measure(
        "error without influence", "The error of the function that does not use the frozen bit.",
        symbol="¼ E(g − F)² + ¼ E(u − F)²", domain="whole cube", **_ERROR,
    ),
    "class_spectrum": Measure("F̂(T)", "Coefficients of a class's representative.", **_OF_CLASS),
    "learned_low": Measure(
        "ĝ(T)", "Learned coefficients without the frozen bit, a mean over replicas.", **_OF_CLASS
    ),
    "learned_high": Measure(
        "ĝ(T∪k)", "Learned coefficients with the frozen bit, a mean over replicas.", **_OF_CLASS
    ),
    "error_at_influence": Measure(
        "error", "Mean error of all functions with this influence.", **_ERROR, **_OF_ALL
    ),
    "error_deviation": Measure(
        "standard deviation of the error", "Over functions and replicas.", **_ERROR, **_OF_ALL
    ),
    "smallest_error": Measure(
        "smallest error", "Of a function with a replica.", **_ERROR, **_OF_ALL
    ),
    "largest_error": Measure(
        "largest error", "Of a function with a replica.", **_ERROR, **_OF_ALL
    ),
    "share_below": Measure(
        "share below the influence", "Share of functions and replicas whose error is below the "
        "influence.", bounds=(0, 1), **_OF_ALL,
    ),
    "function_class_of": Measure(
        "class of the function", "Its representative, with all bits.", **_OF_FUNCTION
    ),
    "function_influence": Measure("influence", "Of the frozen bit.", **_OF_FUNCTION),
    "function_error": Measure(
        "error", "Mean over replicas.", domain="whole cube", **_ERROR, **_OF_FUNCTION
    ),
    "function_error_low": Measure(
        "lower bound", "Of the intervals of all functions together.", **_ERROR, **_OF_FUNCTION
    ),
    "function_error_high": Measure(
        "upper bound", "Of the intervals of all functions together.", **_ERROR, **_OF_FUNCTION
    ),
    "function_spectrum": Measure("f̂(S)", "Coefficients of the function.", **_SPECTRUM),
    "function_learned": Measure(
        "ĝ(S)", "Learned coefficients of the function, a mean over replicas.", **_SPECTRUM
    ),
}  # fmt: skip


def monomials(bits: int) -> list[str]:
    """Return the names of the monomials, such as "x0x2", in the order of `cube.index`."""
    sets = (cube.coordinates(index, bits) for index in range(2**bits))
    return ["".join(f"x{i}" for i in own) or "1" for own in sets]


def coordinates(replicas: pd.DataFrame, n: int) -> dict[str, Sequence[Any]]:
    """Return the coordinates of all dimensions."""
    size = 2 ** (n - 1)
    found = {
        "class": replicas["function_class"].drop_duplicates().tolist(),
        "monomial": monomials(n - 1),
        "set": monomials(n),
        "influence": np.arange(size + 1) / size,
    }
    if n <= classes.MAX_BITS:
        seen, unseen, _ = classes.pairs(n - 1)
        found["function"] = whole(seen, unseen, n)
    return found


def whole(seen: np.ndarray, unseen: np.ndarray, n: int) -> np.ndarray:
    """Return the numbers [P] of functions of n bits with these halves [P]."""
    parts = [classes.values_of(half, n - 1) for half in (unseen, seen)]
    return classes.number_of(np.stack(parts, axis=-1).reshape(len(seen), -1))


def of_replicas(outputs: np.ndarray, numbers: np.ndarray, replicas: pd.DataFrame) -> Arrays:
    """Return the measures of the last step, and the errors of all functions by influence.

    `numbers` [R] are the seen halves.
    """
    n = int(outputs.shape[1]).bit_length() - 1
    half, fitted, unseen = classes.values_of(numbers, n - 1), outputs[:, 1::2], outputs[:, ::2]
    line = analysis.error_line(half, fitted, unseen)
    spectrum, learned = map(float64.spectrum, (half, (fitted + unseen) / 2))
    degrees = np.arange(n) == np.bitwise_count(np.arange(2 ** (n - 1)))[:, None]
    squares = spectrum**2 @ degrees
    products = (spectrum * learned) @ degrees
    with np.errstate(invalid="ignore"):
        by_degree = np.where(squares > 0, products / squares, np.nan)
    known = np.isfinite(unseen).all(axis=1)
    weights = np.where(known, replicas["functions"], 0) / replicas["functions"][known].sum()
    given = (half[known], fitted[known], unseen[known])
    found, weights = analysis.errors_by_influence(*given), weights[known]
    mean = weights @ found.mean
    return {
        "share": products.sum(axis=1) / squares.sum(axis=1),
        "share_by_degree": by_degree,
        "leak": np.mean((fitted - unseen) ** 2, axis=1) / 4 / np.mean(fitted**2, axis=1),
        "projection": line.slope,
        "error_without_influence": line.at_zero,
        "error_at_influence": mean,
        "error_deviation": np.sqrt(weights @ (found.variance + (found.mean - mean) ** 2)),
        "smallest_error": found.smallest.min(axis=0),
        "largest_error": found.largest.max(axis=0),
        "share_below": weights @ analysis.share_below_influence(*given),
    }


def class_facts(outputs: np.ndarray, numbers: np.ndarray, replicas: pd.DataFrame) -> Arrays:
    """Return spectra of every class: of its representative, and learned, carried to it."""
    n = int(outputs.shape[1]).bit_length() - 1
    means = _class_means(outputs, numbers, replicas, n)
    names = replicas["function_class"].drop_duplicates()
    fitted, unseen = means[:, 1::2], means[:, ::2]
    return {
        "class_spectrum": float64.spectrum(classes.values_of(names, n - 1)),
        "learned_low": float64.spectrum((fitted + unseen) / 2),
        "learned_high": float64.spectrum((fitted - unseen) / 2),
    }


def _class_means(
    outputs: np.ndarray, numbers: np.ndarray, replicas: pd.DataFrame, n: int
) -> np.ndarray:
    """Return the mean learned function of each class's representative, [C, 2^n]."""
    carried = outputs.reshape(len(outputs), -1, 2).copy()
    for number in np.unique(numbers):
        _, order, sign = classes.to_representative(int(number), n - 1)
        own = numbers == number
        carried[own] = sign * carried[own][:, np.argsort(order)]
    carried = carried.reshape(outputs.shape)
    codes, names = pd.factorize(replicas["function_class"])
    weights = np.where(np.isfinite(outputs).all(axis=1), replicas["functions"], 0)
    sums = np.zeros((len(names), outputs.shape[1]))
    np.add.at(sums, codes, weights[:, None] * np.nan_to_num(carried))
    return sums / np.bincount(codes, weights)[:, None]


def function_facts(outputs: np.ndarray, replicas: pd.DataFrame) -> Arrays:
    """Return error, influence and spectra of every function with a frozen bit, up to symmetry.

    Of replicas of the representatives of all classes of seen halves.
    """
    n = int(outputs.shape[1]).bit_length() - 1
    seen, unseen, _ = classes.pairs(n - 1)
    numbers = whole(seen, unseen, n)
    targets = classes.values_of(numbers, n)
    errors, learned = [], []
    for half, target in zip(seen, targets, strict=True):
        own = outputs[(replicas["cell"] == half).to_numpy()]
        errors.append(np.mean((own - target) ** 2, axis=1) / 2)
        learned.append(statistics.mean(own.T))
    confidence = statistics.simultaneous(len(numbers))
    low, high = statistics.mean_interval(np.array(errors), "positive", confidence)
    known = classes.classes(n)
    return {
        "function_class_of": known.representatives[known.of[numbers]],
        "function_influence": np.mean(targets[:, ::2] != targets[:, 1::2], axis=1),
        "function_error": statistics.mean(np.array(errors)),
        "function_error_low": low,
        "function_error_high": high,
        "function_spectrum": float64.spectrum(targets),
        "function_learned": float64.spectrum(np.array(learned)),
    }
