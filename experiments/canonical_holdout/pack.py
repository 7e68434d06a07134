"""Problems that are trained together, in one program: a run has one of them, a sweep many.

They agree in all that is compiled (n, model, data, schedule, optimizer) and differ in their
targets and in their replicas' bits, rates, scales and seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout.problem import Problem
from pvr_jax.analysis import canonical, learned
from pvr_jax.analysis.measures import measure_one
from pvr_jax.boolean import cube
from pvr_jax.tasks import datasets
from pvr_jax.tasks.pvr import binary_number
from pvr_jax.training.replicas import Replicas


@dataclass(frozen=True)
class Pack:
    """One or more problems; R replicas, one problem after the other."""

    problems: tuple[Problem, ...]
    truths: np.ndarray  # float64 [T, 2^n], the different targets
    targets: np.ndarray  # int32 [R], which of them a replica learns

    @property
    def first(self) -> Problem:
        """The first problem, for all that they have in common."""
        return self.problems[0]

    @property
    def names(self) -> list[str]:
        """The names of the replicas [R], within their own problem."""
        return [name for problem in self.problems for name in problem.names]

    def slices(self) -> list[slice]:
        """Return the replicas of each problem, as a part of all."""
        ends = np.cumsum([problem.count for problem in self.problems]).tolist()
        return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]

    def parts(self, some: slice) -> Iterator["Part"]:
        """Yield the parts of some consecutive replicas that belong to one problem each."""
        for index, own in enumerate(self.slices()):
            first, last = max(own.start, some.start), min(own.stop, some.stop)
            if first < last:
                yield Part(
                    index,
                    slice(first - own.start, last - own.start),
                    slice(first - some.start, last - some.start),
                )


class Part(NamedTuple):
    """Consecutive replicas of one problem: as a part of its own, and of those at hand."""

    problem: int
    own: slice
    given: slice


def join(together: Sequence[Problem]) -> Pack:
    """Return the pack of problems that agree in all that is compiled."""
    rows: dict[bytes, int] = {}
    targets, truths = [], []
    for problem in together:
        key = problem.truth.tobytes()
        if key not in rows:
            rows[key] = len(rows)
            truths.append(problem.truth)
        targets += [rows[key]] * problem.count
    return Pack(tuple(together), np.stack(truths), np.array(targets, np.int32))


def make_replicas(pack: Pack) -> Replicas:
    """Return the replicas of all problems; where targets differ, "target" is a condition.

    Each depends on its own seed and bit, never on its position or on who else is there.
    """
    most_pairs = max(problem.most_pairs for problem in pack.problems)
    each = [problems.make_replicas(problem, most_pairs) for problem in pack.problems]
    replicas = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
    if len(pack.truths) > 1:
        replicas.conditions["target"] = jnp.asarray(pack.targets)
    return replicas


def batches(
    training_set: datasets.TrainingSet, truths: jax.Array
) -> Callable[..., dict[str, jax.Array]]:
    """Return `batch(key, step, bit=, pairs=, target=)` of one replica.

    The tracked pairs play no part. Without `target` the training set's own target labels the
    inputs, else row `target` of the truths [T, 2^n].
    """

    def batch(
        key: jax.Array,
        step: jax.Array,
        *,
        bit: jax.Array,
        pairs: jax.Array,
        target: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        shown = training_set.batch(key, step, bit)
        if target is None:
            return shown
        labels = truths[target, binary_number(shown["x"])]
        return shown | {"y": labels.astype(jnp.float32)}

    return batch


def evaluator(
    apply: Callable[[Any, jax.Array], jax.Array],
    truths: jax.Array,
    seen: Callable[[jax.Array], jax.Array],
) -> Callable[..., dict[str, jax.Array]]:
    """Return `evaluate(params, bit=, pairs=, target=)` of one replica on the whole cube.

    It gives every measure and the tracked coefficients [P, 2] (NaN where a bit has fewer pairs);
    nothing of size 2^n leaves it.

    Args:
        apply: the network.
        truths: the targets [T, 2^n]; the first is meant where `target` is not given.
        seen: from the frozen bit to the mask [2^n] of the seen inputs.
    """
    first, n = truths[0], cube.dimension(truths[0])

    def evaluate(
        params: Any, *, bit: jax.Array, pairs: jax.Array, target: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        outputs = learned.on_cube(apply, params, n)
        measured = measure_one(outputs, first if target is None else truths[target], seen(bit))
        tracked = canonical.tracked_coefficients(outputs, pairs)
        return {**measured, "tracked_coefficients": tracked}

    return evaluate
