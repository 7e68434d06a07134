"""What the numbers say, in sentences."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import statistics
from pvr_jax.reporting.curriculum.arms import Pair
from pvr_jax.reporting.curriculum.tables import describe
from pvr_jax.reporting.tables import format_number

SIGNIFICANT = 0.05
FITTED = 0.05  # of the best constant's error, on the samples


def overview(pairs: Sequence[Pair]) -> str:
    """Return the question and its answer over all pairs."""
    first = pairs[0].normal
    question = (
        f"Training a network ({first.model}) on random samples of a {first.task} of {first.n} "
        "coordinates is compared with a degree curriculum, which begins with the samples that have "
        "few entries −1. Abbe et al. 2023 report that the curriculum needs fewer iterations."
    )
    faster = [pair for pair in pairs if _is_clear(pair, fewer=True)]
    slower = [pair for pair in pairs if _is_clear(pair, fewer=False)]
    better = [
        pair
        for pair in pairs
        if pair.smaller_error.p < SIGNIFICANT
        and 2 * pair.smaller_error.smaller > pair.smaller_error.compared
    ]
    total = len(pairs)
    answer = (
        f"By the sign test at {SIGNIFICANT:g}, the curriculum takes fewer iterations in "
        f"{len(faster)} of {total} comparisons and more in {len(slower)}; its error on the whole "
        f"cube is the smaller one in {len(better)} of {total}."
    )
    return f"{question} {answer}"


def all_findings(pairs: Sequence[Pair], stages: pd.DataFrame) -> list[tuple[str, str]]:
    """Return title and text of a paragraph per pair, and of one about the stages."""
    found = [(pair_title(pair, pairs), _pair_text(pair)) for pair in pairs]
    if len(stages):
        found.append(("Where the curriculum spends its iterations", _stage_text(stages)))
    return found


def pair_title(pair: Pair, pairs: Sequence[Pair]) -> str:
    """Return what tells a pair apart from the others: samples, and the settings that differ."""
    arm = pair.curriculum
    parts = [f"{arm.samples} samples"]
    for name, words in (("leap", "leap"), ("learning_rate", "rate"), ("init_scale", "init scale")):
        if len({getattr(other.curriculum, name) for other in pairs}) > 1:
            parts.append(f"{words} {getattr(arm, name):g}")
    if len({other.curriculum.directory for other in pairs}) > 1:
        parts.append(arm.directory.name)
    return ", ".join(parts)


def _is_clear(pair: Pair, fewer: bool) -> bool:
    test = pair.fewer_iterations
    return test.p < SIGNIFICANT and (2 * test.smaller > test.compared) == fewer


def _pair_text(pair: Pair) -> str:
    sentences = [_iterations(pair), _errors(pair)]
    constant = pair.normal.half_variance
    for arm, name in ((pair.normal, "normal training"), (pair.curriculum, "the curriculum")):
        fitted = arm.final("in_distribution_error") < FITTED * constant
        if count := int(np.sum(fitted & ~arm.learned)):
            sentences.append(
                f"After {name}, {count} of {len(arm.replicas)} replicas fit their samples without "
                "having learned the target: their error is above half that of the best constant."
            )
    return " ".join(sentences)


def _iterations(pair: Pair) -> str:
    ended = [int(arm.finished.sum()) for arm in (pair.normal, pair.curriculum)]
    total = len(pair.seeds)
    text = (
        f"Training ended in {ended[0]} of {total} replicas normally and in {ended[1]} of {total} "
        "with the curriculum."
    )
    ratio, low, high = pair.ratio
    if math.isfinite(ratio):
        more = ratio < 1
        factor = 1 / ratio if more else ratio
        bounds = sorted((1 / low, 1 / high)) if more else (low, high)
        interval = f" [{bounds[0]:.3g}, {bounds[1]:.3g}]" if math.isfinite(low) else ""
        who = "The curriculum takes" if more else "Normal training takes"
        other = "normal training" if more else "the curriculum"
        text += f" {who} {factor:.3g}{interval} times the iterations of {other};"
        return f"{text} {describe(pair.fewer_iterations, 'the curriculum takes fewer')}."
    return f"{text} {describe(pair.fewer_iterations, 'The curriculum takes fewer iterations')}."


def _errors(pair: Pair) -> str:
    means = [
        format_number(float(statistics.mean(arm.final("generalization_error"))), 3)
        for arm in (pair.normal, pair.curriculum)
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


def _stage_text(stages: pd.DataFrame) -> str:
    """Return how the iterations of the curriculum are spread over its radii, over all arms."""
    keys = ["run", "learning_rate", "init_scale", "samples", "leap"]
    shares: dict[tuple[int, int], list[float]] = {}
    for key, rows in stages.groupby(keys, sort=False):
        for radius, taken in zip(rows["radius"], rows["iterations"], strict=True):
            share = taken / rows["iterations"].sum()
            shares.setdefault((int(key[-1]), int(radius)), []).append(share)
    parts = [
        f"{np.mean(values):.0%} up to radius {radius}"
        + (f" (leap {leap})" if len({known for known, _ in shares}) > 1 else "")
        for (leap, radius), values in sorted(shares.items())
    ]
    return f"Of the iterations until its end the curriculum spends {', '.join(parts)}."
