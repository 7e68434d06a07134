"""Measures of the canonical holdout from pairs of points, for any number of coordinates.

A pair is a random point x with the frozen bit k at its training value v, and at -v. All measures of
`canonical` and `errors` are means over pairs, or functions of such means, so no spectrum is needed;
those by degree and Fourier coefficients come from the same pairs. Functions are of one replica,
pure and traceable: a block of pairs becomes moments, moments of blocks are merged, and measures
come from moments, each with its standard error over the drawn points, `<name>_se` (delta method).
It is not the spread over seeds.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pvr_jax import checks
from pvr_jax.analysis.canonical import quotient
from pvr_jax.boolean import sampling
from pvr_jax.boolean.estimates import (
    HIGHEST,
    STREAM,
    Function,
    Moments,
    merge,
    summarize,
    summarize_jointly,
    uniform_points,
    values_at,
)

Measures = dict[str, jax.Array]
FEWEST_BLOCKS = 128  # from which the standard errors of weights by degree are known
CLEAR = 10  # standard errors above 0, from which a denominator is known well enough


class PairValues(NamedTuple):
    """Values [N] of the learned function and of the target at pairs of points."""

    learned_seen: jax.Array
    learned_unseen: jax.Array
    target_seen: jax.Array
    target_unseen: jax.Array


def measure_pairs(
    learned_seen: jax.Array,
    learned_unseen: jax.Array,
    target_seen: jax.Array,
    target_unseen: jax.Array,
) -> Measures:
    """Return the measures of one learned function from N pairs of points, and standard errors.

    Args:
        learned_seen: values [N] of the learned function where x_k = v.
        learned_unseen: its values [N] at the same points with x_k = -v.
        target_seen: values [N] of the target where x_k = v.
        target_unseen: its values [N] where x_k = -v.

    Returns:
        What `analysis.measure` returns as scalars: generalization_error, in_distribution_error,
        unseen_error, leak, projection, degree_temperature, residual_variance, learned_influence,
        influence_overlap; each with `<name>_se`. NaN where undefined.
    """
    values = PairValues(learned_seen, learned_unseen, target_seen, target_unseen)
    return pair_measures(pair_moments(values))


def pair_moments(values: PairValues) -> Moments:
    """Return the joint moments of what `pair_measures` is made of, over N pairs."""
    learned, flipped, target, flipped_target = values
    excess = flipped - target  # on the unseen half, over the frozen target f_{-k}
    own = (learned - flipped) / 2
    return summarize_jointly(
        jnp.stack(
            [
                jnp.square(learned - target) / 2,
                jnp.square(flipped - flipped_target) / 2,
                jnp.square(own),
                jnp.square(learned),
                own * (target - flipped_target) / 2,
                excess * target,
                jnp.square(target),
                jnp.square(excess),
            ],
            axis=-1,
        )
    )


def pair_measures(moments: Moments) -> Measures:
    """Return the measures of `measure_pairs` from the moments of all pairs."""
    found = _with_errors(_of_means, moments)
    # As a function of c held to [0, 1], so that the error bounds that of the held temperature.
    c = jnp.clip(found["projection"], 0, 1)
    slope = 2 / jnp.square(1 + c)
    return found | {
        "degree_temperature": (1 - c) / (1 + c),
        "degree_temperature_se": slope * found["projection_se"],
    }


def _of_means(means: jax.Array) -> Measures:
    seen_error, unseen_error, influence, seen_square, overlap, product, square, excess = means
    # c - 1, and so the residual: neither is a small difference of large numbers where g is near
    # to f_{-k}.
    beyond = quotient(product, square)
    explained = jnp.where(square > 0, beyond * product, 0)
    return {
        "generalization_error": (seen_error + unseen_error) / 2,
        "in_distribution_error": seen_error,
        "unseen_error": unseen_error,
        # Σ g^(T∪k)² is the influence of k, Σ (g^(T) + v g^(T∪k))² the mean square where x_k = v.
        "leak": quotient(influence, seen_square),
        "projection": 1 + beyond,
        "residual_variance": jnp.where(square > 0, excess - explained, jnp.nan),
        "learned_influence": influence,
        "influence_overlap": overlap,
    }


def degree_moments(
    x: jax.Array, learned_seen: jax.Array, learned_unseen: jax.Array, max_degree: int
) -> Moments:
    """Return the moments of `degree_measures` from one block; merge those of 128 blocks or more.

    Args:
        x: points [b, n], equal in the frozen coordinate; those of a block are paired with each
            other.
        learned_seen: values [b] of the learned function where x_k = v.
        learned_unseen: its values [b] where x_k = -v.
        max_degree: the largest degree.
    """
    # g = A + v x_k D, both of the other coordinates.
    halves = jnp.stack(
        [(learned_seen + learned_unseen) / 2, (learned_seen - learned_unseen) / 2, learned_seen],
        axis=-1,
    )
    weights = sampling.paired_weights(x, halves, max_degree, free=x.shape[-1] - 1)
    return summarize_jointly(weights.reshape(1, -1))


def degree_measures(moments: Moments) -> Measures:
    """Return `degree_profile` and `leak_by_degree` [max_degree + 1], with standard errors.

    As `analysis.measure` defines them, up to a degree. The weights are unbiased and may be
    negative; leaks are NaN where the mass on the seen inputs is below ten standard errors, as the
    error of a ratio is then not known either.
    """
    variance = jnp.diagonal(moments.squares) / (moments.count - 1) / moments.count
    noise = CLEAR * jnp.sqrt(variance).reshape(3, -1)[2]

    def of_means(means: jax.Array) -> Measures:
        without, having, visible = means.reshape(3, -1)
        return {
            "degree_profile": without + jnp.pad(having[:-1], (1, 0)),
            "leak_by_degree": jnp.where(visible > noise, quotient(having, visible), jnp.nan),
        }

    return _with_errors(of_means, moments)


def coefficient_moments(
    x: jax.Array,
    learned_seen: jax.Array,
    learned_unseen: jax.Array,
    value: jax.Array | int,
    low: jax.Array,
) -> Moments:
    """Return the moments of the coefficients of aliased pairs T and T∪k, from N pairs of points.

    Args:
        x: points [N, n].
        learned_seen: values [N] of the learned function where x_k = v.
        learned_unseen: its values [N] where x_k = -v.
        value: v.
        low: which coordinates are in T, bool [P, n], the frozen one never.
    """
    parts = [learned_seen + learned_unseen, value * (learned_seen - learned_unseen)]
    halves = jnp.stack(parts, axis=-1) / 2
    signs = sampling.characters(x, low).astype(halves.dtype)
    return summarize(signs[:, :, None] * halves[:, None, :])


def coefficient_measures(moments: Moments) -> Measures:
    """Return `tracked_coefficients` [P, 2], of T and of T∪k, with standard errors."""
    variance = moments.squares / (moments.count - 1) / moments.count
    return {"tracked_coefficients": moments.mean, "tracked_coefficients_se": jnp.sqrt(variance)}


def measure_canonical(
    learned: Function,
    target: Function,
    n: int,
    bit: jax.Array | int,
    value: jax.Array | int,
    key: jax.Array,
    *,
    points: int = sampling.POINTS,
    block: int = sampling.PAIRED_BLOCK,
    low: jax.Array | None = None,
    max_degree: int | None = None,
) -> Measures:
    """Return the measures of one learned function from random pairs, in the memory of one block.

    May be traced, and vmapped over replicas: their functions, frozen bits and keys.

    Args:
        learned: x[b, n] -> y[b].
        target: the same.
        n: number of coordinates.
        bit: the frozen coordinate k.
        value: the value v it is frozen to.
        key: of the random points, which share no random numbers with other draws from it.
        points: how many pairs, rounded up to whole blocks.
        block: pairs at a time.
        low: sets T of aliased pairs, bool [P, n], whose `tracked_coefficients` are returned too.
        max_degree: if given, `degree_profile` and `leak_by_degree` up to it are returned too.

    Returns:
        {name: scalar or vector}, each with `<name>_se`; the names are those of `analysis.measure`.

    >>> import jax
    >>> from pvr_jax.analysis import sampled
    >>> learned, target = (lambda x: x[:, 1]), (lambda x: x[:, 0] * x[:, 1])
    >>> key = jax.random.key(0)
    >>> found = sampled.measure_canonical(learned, target, 64, 0, 1, key, points=4096)
    >>> float(found["generalization_error"]), float(found["projection"]), float(found["leak"])
    (1.0, 1.0, 0.0)
    """
    block = min(block, points)
    least = 2 if max_degree is None else FEWEST_BLOCKS * block
    checks.integer(least).check("points", points)
    key = jax.random.fold_in(key, STREAM)

    def of_block(index: jax.Array) -> dict[str, Moments]:
        x = uniform_points(jax.random.fold_in(key, index), (block, n)).at[:, bit].set(value)
        flipped = x.at[:, bit].set(-value)
        values = PairValues(
            *(values_at(function, rows) for function in (learned, target) for rows in (x, flipped))
        )
        own = values.learned_seen, values.learned_unseen
        found = {"pairs": pair_moments(values)}
        if low is not None:
            found["coefficients"] = coefficient_moments(x, *own, value, low)
        if max_degree is not None:
            found["degrees"] = degree_moments(x, *own, max_degree)
        return found

    def add(total: dict[str, Moments], index: jax.Array) -> tuple[dict[str, Moments], None]:
        block = of_block(index)
        return {name: merge(total[name], block[name]) for name in block}, None

    shapes = jax.eval_shape(of_block, jnp.int32(0))
    nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
    total, _ = lax.scan(add, nothing, jnp.arange(-(-points // block), dtype=jnp.int32))
    read: dict[str, Callable[[Moments], Measures]] = {
        "pairs": pair_measures,
        "coefficients": coefficient_measures,
        "degrees": degree_measures,
    }
    measured: Measures = {}
    for name, moments in total.items():
        measured |= read[name](moments)
    return measured


def _with_errors(of_means: Callable[[jax.Array], Measures], moments: Moments) -> Measures:
    """Return functions of the means [m], and their standard errors by the delta method."""
    values = of_means(moments.mean)
    slopes = jax.jacfwd(of_means)(moments.mean)
    covariance = moments.squares / (moments.count - 1) / moments.count

    def error(value: jax.Array, slope: jax.Array) -> jax.Array:
        variance = jnp.einsum("...i,ij,...j->...", slope, covariance, slope, precision=HIGHEST)
        return jnp.where(jnp.isnan(value), jnp.nan, jnp.sqrt(jnp.maximum(variance, 0)))

    return values | {f"{name}_se": error(values[name], slopes[name]) for name in values}
