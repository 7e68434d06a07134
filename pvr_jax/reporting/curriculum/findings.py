"""What the numbers say, in sentences."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pvr_jax.number_text import exact
from pvr_jax.reporting import statistics
from pvr_jax.reporting.curriculum.arms import LEARNED, Arm, Pair, SignTest
from pvr_jax.reporting.curriculum.tables import describe, ratio_seeds
from pvr_jax.reporting.tables import MISSING, format_number, format_percent, seeds_text

FITTED = 0.05  # of the best constant's error, on the samples


def overview(pairs: Sequence[Pair]) -> str:
    """Return the question and its answer over all pairs."""
    first = pairs[0].normal
    question = (
        f"Training a network ({first.model}) on random samples of a {first.task} of {first.n} "
        "coordinates is compared with a degree curriculum, which begins with the samples that have "
        "few entries −1. Abbe et al. 2023 report that the curriculum needs fewer iterations."
    )
    level = 1 - statistics.simultaneous(len(pairs))
    faster = sum(_shows(pair.fewer_iterations, level, smaller=True) for pair in pairs)
    slower = sum(_shows(pair.fewer_iterations, level, smaller=False) for pair in pairs)
    better = sum(_shows(pair.smaller_error, level, smaller=True) for pair in pairs)
    worse = sum(_shows(pair.smaller_error, level, smaller=False) for pair in pairs)
    total = len(pairs)
    each = f", {level:.3g} for each of {total} comparisons" if total > 1 else ""
    answer = (
        f"By the sign test at {1 - statistics.CONFIDENCE:.2g}{each}, the curriculum takes fewer "
        f"iterations in {faster} of {total} and more in {slower}; its error on the whole cube is "
        f"the smaller one in {better} of {total} and the larger one in {worse}."
    )
    return f"{question} {answer}"


def all_findings(pairs: Sequence[Pair], arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Return title and text of a paragraph per pair, and of one about the stages of all arms."""
    found = [(pair_title(pair, pairs), _pair_text(pair)) for pair in pairs]
    curricula = [arm for arm in arms if not arm.is_normal]
    if any(arm.finished.any() for arm in curricula):
        found.append(("Where the curriculum spends its iterations", _stage_text(curricula)))
    return found


def pair_title(pair: Pair, pairs: Sequence[Pair]) -> str:
    """Return what tells a pair apart from the others: samples, and the settings that differ."""
    arm = pair.curriculum
    parts = [f"{arm.samples} samples"]
    for name, words in (("leap", "leap"), ("learning_rate", "rate"), ("init_scale", "init scale")):
        if len({getattr(other.curriculum, name) for other in pairs}) > 1:
            parts.append(f"{words} {exact(getattr(arm, name))}")
    if len({other.curriculum.directory for other in pairs}) > 1:
        parts.append(arm.directory.name)
    return ", ".join(parts)


def _shows(test: SignTest, level: float, smaller: bool) -> bool:
    """Return whether a sign test shows at a level that one is smaller more often, or larger."""
    return test.p < level and (2 * test.smaller > test.compared) == smaller


def _pair_text(pair: Pair) -> str:
    sentences = [_iterations(pair), _errors(pair)]
    constant = pair.normal.half_variance
    for arm, name in ((pair.normal, "normal training"), (pair.curriculum, "the curriculum")):
        fitted = arm.final("in_distribution_error") < FITTED * constant
        unlearned = arm.final("generalization_error") >= LEARNED * constant
        if count := int(np.sum(fitted & unlearned)):
            sentences.append(
                f"After {name}, {count} of {len(arm.replicas)} replicas fit their samples without "
                "having learned the target: their error is above half that of the best constant."
            )
    return " ".join(sentences)


def _iterations(pair: Pair) -> str:
    ended = [
        f"{int(arm.finished.sum())} of {len(arm.replicas)}"
        for arm in (pair.normal, pair.curriculum)
    ]
    text = f"Training ended in {ended[0]} replicas normally and in {ended[1]} with the curriculum."
    ratio, low, high = pair.ratio
    if math.isfinite(ratio):
        more = ratio < 1
        factor = 1 / ratio if more else ratio
        bounds = sorted((1 / low, 1 / high)) if more else (low, high)
        interval = f" [{bounds[0]:.3g}, {bounds[1]:.3g}]" if math.isfinite(low) else f" [{MISSING}]"
        who = "The curriculum takes" if more else "Normal training takes"
        other = "normal training" if more else "the curriculum"
        seeds = ratio_seeds(-pair.log_ratios if more else pair.log_ratios)
        text += f" {who} {factor:.3g}{interval}{seeds} times the iterations of {other}"
        text += ", not told apart from 1;" if low <= 1 <= high else ";"
        return f"{text} {describe(pair.fewer_iterations, 'the curriculum takes fewer')}."
    return f"{text} {describe(pair.fewer_iterations, 'The curriculum takes fewer iterations')}."


def _errors(pair: Pair) -> str:
    errors = [arm.final("generalization_error") for arm in (pair.normal, pair.curriculum)]
    means = [
        f"{format_number(float(statistics.mean(values)), 3)}{seeds_text(values)}"
        for values in errors
    ]
    learned = [
        format_number(float(statistics.mean(arm.final("target_coefficient"))), 2)
        for arm in (pair.normal, pair.curriculum)
    ]
    return (
        f"On the whole cube the error is {means[0]} after normal training and {means[1]} after the "
        f"curriculum ({describe(pair.smaller_error, 'smaller with the curriculum')}), the learned "
        f"share of the target {learned[0]} and {learned[1]}."
    )


def _stage_text(curricula: Sequence[Arm]) -> str:
    """Return how the iterations of the curriculum are spread over its radii: means over arms.

    Shares are of the iterations of the replicas that ended, so those of a leap add up to 1.
    """
    shares: dict[int, list[Counter[int]]] = {}
    for arm in curricula:
        spent = Counter[int]()
        for replica in arm.replicas:
            for stage, taken in replica.spent if replica.finished else ():
                spent[stage.radius] += taken
        if whole := spent.total():
            own = Counter({radius: taken / whole for radius, taken in spent.items()})
            shares.setdefault(arm.leap, []).append(own)
    parts = [
        f"{format_percent(np.mean([own[radius] for own in of_leap]))} up to radius {radius}"
        + (f" (leap {leap})" if len(shares) > 1 else "")
        for leap, of_leap in sorted(shares.items())
        for radius in sorted(set().union(*of_leap))
    ]
    replicas = [replica for arm in curricula for replica in arm.replicas]
    text = f"Of the iterations until its end the curriculum spends {', '.join(parts)}"
    if waiting := sum(not replica.finished for replica in replicas):
        text += f"; {waiting} of {len(replicas)} replicas did not end and are not counted"
    return f"{text}."
