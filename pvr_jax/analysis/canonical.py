"""Measures of the canonical holdout: training saw only x_k = v, for one coordinate k.

On the seen half x_k is the constant v, so the monomials χ_T and χ_{T∪k} (k ∉ T) are the same
function up to the sign v: they are an aliased pair, and training determines only
g^(T) + v g^(T∪k). The low-degree bias puts the mass on χ_T.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.boolean import cube, fourier


def frozen_coordinate(seen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (k, v) of the canonical holdout with the seen set `seen` [2^n], both int32.

    The indicator of {x_k = v} is ½ + ½ v χ_k, whose coefficient of degree 1 determines both. The
    result is meaningless for other seen sets.
    """
    n = cube.dimension(seen, "seen")
    coefficients = fourier.walsh_hadamard(seen.astype(jnp.float32))
    of_degree_one = coefficients[jnp.array([1 << (n - 1 - k) for k in range(n)])]
    bit = jnp.argmax(jnp.abs(of_degree_one)).astype(jnp.int32)
    return bit, jnp.where(of_degree_one[bit] < 0, -1, 1).astype(jnp.int32)


def leak(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return how the learned mass is split between the monomials of aliased pairs.

    `leak_by_degree` [n]: for d = |T| from 0 to n-1,
    Σ g^(T∪k)² / Σ (g^(T) + v g^(T∪k))² over the T of size d without k. 0: all on the low-degree
    monomial, as the low-degree bias predicts; ¼: halved; 1: all on the high-degree monomial.
    `leak`: the same over all T. NaN if the denominator is 0.
    """
    n = cube.dimension(learned, "learned")
    bit, value = frozen_coordinate(seen)
    coefficients = fourier.walsh_hadamard(learned)
    twins = fourier.aliased(coefficients, bit)
    without = (jnp.arange(2**n) & cube.coordinate_mask(bit, n)) == 0
    high = jnp.where(without, jnp.square(twins), 0)
    # If training saw the whole cube, nothing is aliased.
    aliased = without & jnp.any(~seen)
    visible = jnp.where(aliased, jnp.square(coefficients + value * twins), 0)
    degrees = cube.degrees(n)
    high_by_degree = jax.ops.segment_sum(high, degrees, n + 1)[:n]
    visible_by_degree = jax.ops.segment_sum(visible, degrees, n + 1)[:n]
    return {
        "leak": quotient(jnp.sum(high), jnp.sum(visible)),
        "leak_by_degree": quotient(high_by_degree, visible_by_degree),
    }


def low_degree_share(
    learned: jax.Array, target: jax.Array, seen: jax.Array
) -> dict[str, jax.Array]:
    """Return which share of the frozen target is learned by the low-degree monomials.

    With F the target where x_k = v, `share` is Σ F^(T) g^(T) / Σ F^(T)² over all T without k, and
    `share_by_degree` [n] the same over the T of size 0 to n-1. If the seen half is fitted, 1: F is
    learned without x_k, as the low-degree bias predicts; ½: halved; 0: all on the high-degree
    monomials. NaN if the denominator is 0, or if training saw the whole cube.
    """
    n = cube.dimension(learned, "learned")
    bit, value = frozen_coordinate(seen)
    frozen = jnp.where(jnp.any(~seen), fourier.walsh_hadamard(cube.frozen(target, bit, value)), 0)
    products, degrees = frozen * fourier.walsh_hadamard(learned), cube.degrees(n)
    by_degree, squares = (
        jax.ops.segment_sum(values, degrees, n + 1)[:n] for values in (products, jnp.square(frozen))
    )
    return {
        "share": quotient(jnp.sum(by_degree), jnp.sum(squares)),
        "share_by_degree": quotient(by_degree, squares),
    }


def extrapolation(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return how the learned function extrapolates the frozen target to the unseen half.

    With f_{-k} the target with x_k frozen to v, `projection` is the c that minimizes
    E_unseen (g - c f_{-k})², and `residual_variance` that minimum. c = 1 and residual 0: the
    network ignores x_k, and its error is exactly the influence. c < 1: it shrinks off the support
    of the training data, and the loss alone misleads.

    `degree_temperature` is c on the scale of `theory.degree_temperature`: the ρ from 0 to 1 of the
    noise kernel Π(1 + ρ x_i x'_i) whose interpolant, (1 - ρ) / (1 + ρ) times f_{-k} on the unseen
    half, is nearest to g there. 0: the min-degree interpolator, 1: zero off the support. NaN where
    c is not finite.
    """
    bit, value = frozen_coordinate(seen)
    continuation = cube.frozen(target, bit, value)
    unseen = (~seen).astype(learned.dtype)
    c = quotient(
        jnp.sum(unseen * learned * continuation), jnp.sum(unseen * jnp.square(continuation))
    )
    residual = jnp.sum(unseen * jnp.square(learned - c * continuation)) / jnp.sum(unseen)
    # At c <= -1 the ratio has no meaning or changes its sign; the nearest interpolant is zero.
    ratio = (1 - c) / jnp.where(c > -1, 1 + c, 1)
    temperature = jnp.where(c > -1, jnp.clip(ratio, 0, 1), jnp.where(jnp.isfinite(c), 1.0, jnp.nan))
    return {
        "projection": c,
        "degree_temperature": temperature,
        "residual_variance": residual,
    }


def influences(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return why the error is not the influence of the target f, once the seen half is fitted.

    `learned_influence` Inf_k(g) = Σ g^(S)² and `influence_overlap` Σ f^(S) g^(S), both over S ∋ k.
    A g that equals f on the seen half has the generalization error (half squared, whole cube)
    Inf_k(f - g) = Inf_k(f) - 2 overlap + Inf_k(g), exactly: on the unseen half g - f is then
    -2v (D_k g - D_k f), D_k the derivative in x_k. The low-degree bias says that both are 0. NaN
    where training saw the whole cube.
    """
    bit, _ = frozen_coordinate(seen)
    own, given = (
        (cube.frozen(function, bit, 1) - cube.frozen(function, bit, -1)) / 2
        for function in (learned, target)
    )
    hidden = jnp.any(~seen)
    return {
        "learned_influence": jnp.where(hidden, jnp.mean(jnp.square(own)), jnp.nan),
        "influence_overlap": jnp.where(hidden, jnp.mean(own * given), jnp.nan),
    }


def tracked_coefficients(learned: jax.Array, pairs: jax.Array) -> jax.Array:
    """Return the learned function's coefficients of chosen monomials.

    learned [2^n] and spectrum indices `pairs` int32 [...] give [...]; NaN where an index is -1.
    """
    coefficients = fourier.walsh_hadamard(learned)
    return jnp.where(pairs < 0, jnp.nan, coefficients[jnp.maximum(pairs, 0)])


def tracked_pairs(
    target_coefficients: np.ndarray, bit: int, value: int, count: int
) -> list[dict[str, object]]:
    """Choose the aliased pairs to track in training.

    Pairs whose high-degree monomial is in the target come first (there the holdout matters), larger
    ones first, then the other monomials of the frozen target. For the quadratic chain and the
    staircase these are the monomials that the authors track.

    Args:
        target_coefficients: [2^n].
        bit: the frozen coordinate k.
        value: the value v it is frozen to.
        count: the largest number of pairs to return.

    Returns:
        For each pair the coordinates `low` (T) and `high` (T∪k), their coefficients in the target,
        `target_low` and `target_high`, and `limit` = target_low + v target_high, which the
        low-degree bias predicts for T (and 0 for T∪k).
    """
    n = int(target_coefficients.shape[-1]).bit_length() - 1
    mask = cube.coordinate_mask(bit, n)
    sets = np.arange(2**n)
    sets = sets[sets & mask == 0]
    low, high = target_coefficients[sets], target_coefficients[sets | mask]
    matters = np.flatnonzero((low != 0) | (high != 0))
    sets, low, high = sets[matters], low[matters], high[matters]
    order = np.lexsort((-sets, np.bitwise_count(sets), -np.abs(low), -np.abs(high)))[:count]
    return [
        {
            "low": list(cube.coordinates(int(sets[place]), n)),
            "high": list(cube.coordinates(int(sets[place] | mask), n)),
            "target_low": float(low[place]),
            "target_high": float(high[place]),
            "limit": float(low[place] + value * high[place]),
        }
        for place in order
    ]


def quotient(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Divide; NaN, without a warning, if the denominator is 0."""
    defined = denominator > 0
    return jnp.where(defined, numerator / jnp.where(defined, denominator, 1), jnp.nan)
