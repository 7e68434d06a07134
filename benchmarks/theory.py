"""How long do exact predictions take, by n and by the number of unseen points?

Seconds of the min-degree interpolator and of regression with the tangent kernel of an infinitely
wide ReLU network (depth 3), float64 on the CPU: for random unseen points, where both solve systems
of the size of the smaller side, and for a frozen bit, where both have closed forms. The target is
random, without structure to exploit; there is no bar.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.measuring import Measurement, measurement, timed
from pvr_jax import theory
from pvr_jax.tasks import holdouts

DIMENSIONS = (8, 11, 14, 17, 20)
UNSEEN = (1, 8, 64, 512, 1024, 2048)
KERNEL = {"depth": 3, "weight_variance": 2.0, "bias_variance": 0.1}
QUICK_SECONDS = 0.5  # slower cases have fewer repetitions


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield the seconds of both predictions for every n and unseen set."""
    for n in (6,) if tiny else DIMENSIONS:
        target = np.random.default_rng(n).standard_normal(2**n)
        eigenvalues = theory.relu_kernel_eigenvalues(n, **KERNEL)
        predictions = {
            "min-degree interpolator": theory.min_degree_interpolator,
            "wide ReLU kernel": partial(theory.kernel_interpolator, eigenvalues),
        }
        for name, predict in predictions.items():
            for kind, seen in seen_sets(n):
                yield seconds(name, predict, kind, target, seen)


def seen_sets(n: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield seen sets bool [2^n] with few random unseen points, and that of a frozen bit."""
    random = np.random.default_rng(n)
    for unseen in UNSEEN:
        if unseen <= 2 ** (n - 2):
            seen = np.ones(2**n, bool)
            seen[random.choice(2**n, unseen, replace=False)] = False
            yield "random points", seen
    yield "frozen bit", np.asarray(holdouts.canonical(n, 0))


def seconds(
    name: str,
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
    kind: str,
    target: np.ndarray,
    seen: np.ndarray,
) -> Measurement:
    """Time one prediction of the values [2^n] from the seen set bool [2^n]."""
    work = partial(predict, target, seen)
    times = timed(work, 1)
    if times.median < QUICK_SECONDS:
        times = timed(work, 5, warm_up=0)
    return measurement(
        name,
        times.median,
        "seconds",
        {"n": int(seen.size).bit_length() - 1, "unseen": int((~seen).sum()), "set": kind},
        spread=times.spread,
    )
