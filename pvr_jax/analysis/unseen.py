"""Measures for any unseen domain: comparison with the min-degree interpolator.

All arrays are values at the same P points: the whole cube, or a uniform sample of it.
"""

import jax
import jax.numpy as jnp

from pvr_jax.analysis.errors import half_squared_errors

HIGHEST = jax.lax.Precision.HIGHEST


def against_interpolator(
    learned: jax.Array,
    target: jax.Array,
    seen: jax.Array,
    interpolator: jax.Array,
    dropped: jax.Array,
) -> dict[str, jax.Array]:
    """Return the three half squared errors and the distances to the min-degree interpolator m.

    `distance` ½E(g - m)² over all points, half the squared distance of the coefficients (Parseval);
    `unseen_distance` ½E over the unseen ones. `dropped_share` E(g h) / E(h²), h the part of the
    target that is not in m: 0 for m, 1 for the target; the leak of a leaky interpolator. Every
    argument is [P]; NaN if nothing is unseen or dropped.
    Source: Abbe et al. 2023.
    """
    halves = 0.5 * jnp.square(learned - interpolator)
    mass = jnp.mean(jnp.square(dropped))
    share = jnp.mean(learned * dropped) / jnp.where(mass > 0, mass, 1)
    return {
        **half_squared_errors(learned, target, seen),
        "distance": jnp.mean(halves),
        "unseen_distance": jnp.sum(halves * ~seen) / jnp.sum(~seen),
        "dropped_share": jnp.where(mass > 0, share, jnp.nan),
    }


def sampling_errors(
    learned: jax.Array, target: jax.Array, seen: jax.Array, uniform: int
) -> dict[str, jax.Array]:
    """Return the standard errors of the three half squared errors, of P random points.

    The first `uniform` are those of the error on the whole cube. Every argument is [P]. NaN for a
    part with fewer than two points.
    """
    halves = 0.5 * jnp.square(learned - target)

    def standard_error(own: jax.Array, weight: jax.Array) -> jax.Array:
        count = jnp.sum(weight)
        mean = jnp.sum(own * weight) / count
        variance = jnp.sum(jnp.square(own - mean) * weight) / jnp.where(count > 1, count - 1, 0)
        return jnp.sqrt(variance / count)

    everywhere = jnp.ones(uniform, bool)
    return {
        "generalization_error_sampling": standard_error(halves[:uniform], everywhere),
        "in_distribution_error_sampling": standard_error(halves, seen),
        "unseen_error_sampling": standard_error(halves, ~seen),
    }


def coefficients(learned: jax.Array, characters: jax.Array) -> jax.Array:
    """Return E g χ_S [M] of learned values [P] and the characters' values [M, P].

    Exact over the whole cube; over a sample of P points with a standard error of up to
    sqrt(E g² / P).
    """
    return jnp.matmul(characters.astype(learned.dtype), learned, precision=HIGHEST) / len(learned)
