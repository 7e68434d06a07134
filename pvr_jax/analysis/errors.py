"""The three errors, all HALF squared errors, over different inputs."""

import jax
import jax.numpy as jnp


def half_squared_errors(
    learned: jax.Array, target: jax.Array, seen: jax.Array
) -> dict[str, jax.Array]:
    """Return ½E(g - f)² over the whole cube, over the seen and over the unseen inputs.

    All arguments are [2^n]. `generalization_error` is over the WHOLE cube (Abbe et al. 2022),
    `in_distribution_error` over the seen inputs, `unseen_error` over the unseen ones (NaN where
    there are none).
    """
    halves = 0.5 * jnp.square(learned - target)
    return {
        "generalization_error": jnp.mean(halves),
        "in_distribution_error": jnp.sum(halves * seen) / jnp.sum(seen),
        "unseen_error": jnp.sum(halves * ~seen) / jnp.sum(~seen),
    }
