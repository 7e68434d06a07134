"""The canonical holdout where the cube is too large to enumerate: everything from random pairs.

A pair is a random input with the frozen bit at its training value and flipped. Every seed has its
own pairs, the same for all its frozen bits, so the spread over seeds contains the sampling error.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import lax
from ml_collections import ConfigDict

from pvr_jax import tasks
from pvr_jax.analysis import sampled
from pvr_jax.boolean import estimates, sampling
from pvr_jax.boolean.facts import ExactFacts
from pvr_jax.checks import invalid
from pvr_jax.experiment import Arrays
from pvr_jax.models import Model
from pvr_jax.refusal import Refusal

# Choices of `evaluation.points`; "auto" enumerates the cube up to the first n, and nobody may
# beyond the second: errors and spectra of every replica at every evaluation are over 2^n points.
POINTS = ("auto", "enumerated", "sampled")
LARGEST_AUTO, LARGEST_ENUMERATED = 20, 24
# Pairs that are evaluated at once, and whose products estimate weights by degree.
BLOCK = 1024
MAX_DEGREE = 3  # of these weights
MAX_SETS = 4096  # coefficients in a file of spectra
MAX_TERMS = 1 << 16  # monomials of a target that are looked through for aliased pairs
FACT_PAIRS = 1 << 20  # pairs of points for the facts of a target without a closed form
FEWEST = 1 << 12  # pairs of a run
DEFAULTS = {"evaluation.points": "auto", "evaluation.samples": 1 << 16}
WEIGHT = 64  # of a pair, in values that are in memory while it is measured


def is_sampled(config: ConfigDict, n: int) -> bool:
    """Return whether a run on n bits is measured at random points.

    Raises:
        Refusal: it asks for an enumeration of too large a cube.
    """
    points = config.evaluation.get("points", "auto")
    if points == "enumerated" and n > LARGEST_ENUMERATED:
        allowed = f"sampled, or auto, as the task has n = {n}; n up to {LARGEST_ENUMERATED}"
        raise invalid("config.evaluation.points", points, allowed)
    return points == "sampled" or (points == "auto" and n > LARGEST_AUTO)


class Pairs:
    """The random pairs of a run, and what is measured at them; of one replica, traceable.

    Args:
        model: the network.
        target: the target, x[b, n] to y[b].
        n: number of coordinates.
        value: the value v of the frozen bit in training.
        count: how many pairs.
        sets: sets of coordinates bool [K, n] whose coefficients a file of spectra holds.
        is_frozen: whether some bit is; if not, the points of a pair are the same.
    """

    def __init__(
        self,
        model: Model,
        target: Any,
        n: int,
        value: int,
        count: int,
        sets: np.ndarray,
        is_frozen: bool,
    ) -> None:
        self._is_frozen = is_frozen
        self._apply, self._target, self._n, self._value = model.apply, target, n, value
        self._block = min(BLOCK, count // sampled.FEWEST_BLOCKS)
        self._blocks = -(-count // self._block)
        self._sets = jnp.asarray(sets)

    @property
    def count(self) -> int:
        """The number of pairs, a multiple of the block."""
        return self._block * self._blocks

    def draw(self, data_key: jax.Array, **conditions: jax.Array) -> Arrays:
        """Return the key of a replica's pairs."""
        key = jax.random.fold_in(data_key, estimates.STREAM)
        return {"points": jax.random.key_data(key)}

    def _points(self, drawn: Arrays, index: jax.Array, bit: jax.Array) -> tuple[Any, Any]:
        """Return a block of points, seen and unseen; equal where no bit is frozen (bit = n)."""
        key = jax.random.fold_in(jax.random.wrap_key_data(drawn["points"]), index)
        x = estimates.uniform_points(key, (self._block, self._n))
        return x.at[:, bit].set(self._value), x.at[:, bit].set(-self._value)

    def outputs(self, params: Any, drawn: Arrays, bit: jax.Array, **conditions: Any) -> jax.Array:
        """Return the learned values [blocks, 2, block] at all pairs."""

        def of_block(index: jax.Array) -> jax.Array:
            both = jnp.concatenate(self._points(drawn, index, bit))
            return self._apply(params, both).reshape(2, -1)

        return lax.map(of_block, jnp.arange(self._blocks))

    def _moments(self, outputs: jax.Array, of_block: Any) -> Any:
        """Return the moments of all blocks, merged."""

        def of(index: jax.Array) -> dict[str, estimates.Moments]:
            return of_block(index, outputs[index].astype(jnp.promote_types(outputs.dtype, "f4")))

        shapes = jax.eval_shape(of, jnp.int32(0))
        nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)

        def add(total: Any, index: jax.Array) -> tuple[Any, None]:
            block = of(index)
            return {name: estimates.merge(total[name], block[name]) for name in block}, None

        return lax.scan(add, nothing, jnp.arange(self._blocks))[0]

    def measure(
        self, outputs: jax.Array, drawn: Arrays, bit: jax.Array, low: jax.Array, known: jax.Array
    ) -> dict[str, jax.Array]:
        """Return all measures with their sampling errors, those by degree padded with NaN."""

        def of_block(index: jax.Array, learned: jax.Array) -> dict[str, estimates.Moments]:
            x, flipped = self._points(drawn, index, bit)
            target = [self._target(own.astype(learned.dtype)) for own in (x, flipped)]
            values = sampled.PairValues(*learned, *(own.astype(learned.dtype) for own in target))
            own = {"pairs": sampled.pair_moments(values)}
            if self._is_frozen:
                tracked = sampled.coefficient_moments(x, *learned, self._value, low)
                by_degree = sampled.degree_moments(x, *learned, MAX_DEGREE)
                return own | {"tracked": tracked, "degrees": by_degree}
            weights = sampling.paired_weights(x, learned[0][:, None], MAX_DEGREE, free=self._n)
            return own | {"degrees": estimates.summarize(weights.reshape(1, -1))}

        found = self._moments(outputs, of_block)
        measured = sampled.pair_measures(found["pairs"])
        if self._is_frozen:
            by_degree = sampled.degree_measures(found["degrees"])
            tracked = sampled.coefficient_measures(found["tracked"])
            measured |= {n: jnp.where(known[:, None], own, jnp.nan) for n, own in tracked.items()}
        else:
            profile, error = _with_error(found["degrees"])
            by_degree = {"degree_profile": profile, "degree_profile_se": error}
            on_the_whole = ("generalization_error", "in_distribution_error")
            measured = {f"{n}{e}": measured[f"{n}{e}"] for n in on_the_whole for e in ("", "_se")}
        room = (0, self._n - MAX_DEGREE)
        return measured | {
            name: jnp.pad(own, room, constant_values=jnp.nan) for name, own in by_degree.items()
        }

    def coefficients(
        self, outputs: jax.Array, drawn: Arrays, bit: jax.Array, **conditions: Any
    ) -> jax.Array:
        """Return the learned coefficients of the sets, and their standard errors, [K, 2]."""

        def of_block(index: jax.Array, learned: jax.Array) -> dict[str, estimates.Moments]:
            signs = (
                sampling.characters(own, self._sets).astype(learned.dtype)
                for own in self._points(drawn, index, bit)
            )
            products = [own * values[:, None] for own, values in zip(signs, learned, strict=True)]
            return {"sets": estimates.summarize(sum(products) / 2)}

        return jnp.stack(_with_error(self._moments(outputs, of_block)["sets"]), axis=-1)


def _with_error(moments: estimates.Moments) -> tuple[jax.Array, jax.Array]:
    variance = moments.squares / (moments.count - 1) / moments.count
    return moments.mean, jnp.sqrt(variance)


def tracked_pairs(
    terms: Mapping[tuple[int, ...], float], n: int, bit: int, value: int, count: int
) -> list[dict[str, object]]:
    """Choose the aliased pairs to track from the monomials of a target.

    As `canonical.tracked_pairs` does from a spectrum, in the same order.
    """
    lows = {tuple(i for i in own if i != bit) for own in terms}
    pairs = [(own, terms.get(own, 0.0), terms.get(tuple(sorted((*own, bit))), 0.0)) for own in lows]

    def order(pair: tuple[tuple[int, ...], float, float]) -> tuple[Any, ...]:
        own, low, high = pair
        return -abs(high), -abs(low), len(own), -sum(1 << (n - 1 - i) for i in own)

    return [
        {
            "low": list(own),
            "high": sorted((*own, bit)),
            "target_low": low,
            "target_high": high,
            "limit": low + value * high,
        }
        for own, low, high in sorted(pairs, key=order)[:count]
    ]


def terms_of(facts: ExactFacts | None) -> dict[tuple[int, ...], float]:
    """Return the monomials of a target; none where they are unknown or too many."""
    try:
        return facts.monomials(MAX_TERMS) if facts else {}
    except Refusal:
        return {}


def sets_to_keep(n: int, pairs: Sequence[Sequence[Mapping[str, Any]]]) -> np.ndarray:
    """Return the sets whose coefficients are kept, bool [K, n].

    All of degree 3 and less, or of 2 or 1 where these are more than 4,096, and the tracked ones.
    """
    degree = next(
        d
        for d in range(MAX_DEGREE, -1, -1)
        if d < 2 or sum(math.comb(n, i) for i in range(d + 1)) <= MAX_SETS
    )
    sets = sampling.sets_up_to(n, degree)
    tracked = [tuple(pair[name]) for own in pairs for pair in own for name in ("low", "high")]
    return sampling.members([*dict.fromkeys([*sets, *tracked])], n)


def facts(
    task: tasks.Task, known: ExactFacts | None, bits: Sequence[int], value: int
) -> dict[str, Any]:
    """Return the facts about a target as `measures.facts` does, estimated where there is no other.

    Estimated influences have an `influence_se`, which is 0 where they are exact.
    """
    if known is None:
        return _estimated(task, bits, value)
    variance = known.mean_square - known.mean**2
    values: dict[str, Any] = {
        "constant_error": variance / 2,
        "mean_square": known.mean_square,
        "target_degree_profile": known.degree_profile,
    }
    if not len(bits):
        stability = {"target_noise_stability": known.noise_stability(0.5)}
        return values | stability | {"seen_constant_error": variance / 2}
    profiles = {bit: np.append(known.frozen(bit, value), 0.0) for bit in dict.fromkeys(bits)}
    seen = {bit: (own[1:].sum() or own.sum()) / 2 for bit, own in profiles.items()}
    return values | {
        "influence": known.influences[np.asarray(bits)],
        "influence_se": np.zeros(len(bits)),
        "seen_constant_error": np.array([seen[bit] for bit in bits]),
        "frozen_degree_profile": np.array([profiles[bit] for bit in bits]),
    }


def _estimated(task: tasks.Task, bits: Sequence[int], value: int) -> dict[str, Any]:
    key, n = jax.random.key(0), task.n
    of_target = partial(sampling.moments, n=n, key=key, points=FACT_PAIRS)
    whole = of_target(task.target)
    mean, square = (float(whole[name].value) for name in ("mean", "mean_square"))
    variance = square - mean**2
    values: dict[str, Any] = {"constant_error": variance / 2, "mean_square": square}
    if not len(bits):
        return values | {"seen_constant_error": variance / 2}
    seen = {}
    for bit in dict.fromkeys(bits):
        own = of_target(lambda x, bit=bit: task.target(x.at[:, bit].set(value)))
        mean, square = (float(own[name].value) for name in ("mean", "mean_square"))
        seen[bit] = (square - mean**2 or square) / 2
    own = [*dict.fromkeys(bits)]
    found = sampling.influences(task.target, n, key, bits=own, points=FACT_PAIRS)
    rows = [own.index(bit) for bit in bits]
    return values | {
        "influence": found.value[rows],
        "influence_se": found.standard_error[rows],
        "seen_constant_error": np.array([seen[bit] for bit in bits]),
    }


class Measured(NamedTuple):
    """How replicas are measured: functions of their program, facts, pairs, attributes."""

    program: dict[str, Any]
    facts: dict[str, Any]
    pairs: list[list[dict[str, Any]]]
    attributes: Mapping[str, Any] = MappingProxyType({})


def of_pairs(
    config: ConfigDict, task: tasks.Task, model: Model, replicas: pd.DataFrame
) -> Measured:
    """Return what is measured at random pairs of points."""
    n, value, chosen = task.n, config.holdout.value, config.evaluation
    known = tasks.known_facts(task)
    terms = terms_of(known)
    bits = replicas["frozen_bit"].dropna().astype(int).tolist()
    tracked = {
        bit: tracked_pairs(terms, n, bit, value, chosen.tracked_pairs)
        for bit in dict.fromkeys(bits)
    }
    of_replicas = [tracked[bit] for bit in bits]
    sets = sets_to_keep(n, list(tracked.values()))
    count = chosen.get("samples", DEFAULTS["evaluation.samples"])
    pairs = Pairs(model, task.target, n, value, count, sets, bool(bits))

    def conditions(table: pd.DataFrame) -> Arrays:
        """Of pairs there is room for all that are asked, and for one at least."""
        low = np.zeros((len(table), max(chosen.tracked_pairs, 1), n), bool)
        known = np.zeros(low.shape[:2], bool)
        for place, of_replica in enumerate(of_replicas):
            known[place, : len(of_replica)] = True
            for row, pair in zip(low[place], of_replica, strict=False):
                row[pair["low"]] = True
        bit = frozen_condition(table, n)
        return {"bit": bit, "low": jnp.asarray(low), "known": jnp.asarray(known)}

    program = {
        "draw": pairs.draw,
        "outputs": pairs.outputs,
        "measure": pairs.measure,
        "keep": pairs.coefficients,
        "conditions": conditions,
        "kept_beside": {"sets": sets, "pairs_of_points": pairs.count, **beside(replicas)},
        "outputs_size": WEIGHT * pairs.count,
    }
    attributes = {"points": "sampled", "pairs_of_points": pairs.count}
    return Measured(program, facts(task, known, bits, value), of_replicas, attributes)


def frozen_condition(table: pd.DataFrame, n: int) -> jax.Array:
    """Return the frozen bit of every replica, int32 [R]; a bit past the last stands for none."""
    return jnp.asarray(table["frozen_bit"].fillna(n).astype(int).to_numpy(), jnp.int32)


def beside(replicas: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what a file of spectra says of its replicas."""
    bits = replicas["frozen_bit"].fillna(-1).astype(int).to_numpy()
    return {"bit": bits, "seed": replicas["seed"].to_numpy()}
