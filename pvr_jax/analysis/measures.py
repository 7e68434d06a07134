"""The registry of measures of learned functions."""

from collections.abc import Callable

import jax

from pvr_jax.analysis import canonical, errors, spectrum

Measure = Callable[[jax.Array, jax.Array, jax.Array], dict[str, jax.Array]]

# One line adds a measure, and puts it into every report: a function of (learned[2^n], target[2^n],
# seen[2^n]) of ONE replica that returns {name: scalar or vector}.
MEASURES: tuple[Measure, ...] = (
    errors.half_squared_errors,
    spectrum.profile,
    canonical.leak,
    canonical.extrapolation,
    canonical.influences,
)


def measure_one(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return all measures of one learned function; every argument is [2^n].

    Pure and traceable: used in the training program and in the analysis. Undefined measures (the
    leak without mass, say) are NaN.
    """
    measured: dict[str, jax.Array] = {}
    for function in MEASURES:
        measured |= function(learned, target, seen)
    return measured


@jax.jit
def measure(learned: jax.Array, target: jax.Array, seen: jax.Array) -> dict[str, jax.Array]:
    """Return all measures of R learned functions.

    Args:
        learned: values of the networks [R, 2^n], in the order of `cube.points`.
        target: values of the target [2^n].
        seen: the seen inputs, bool [2^n], or [R, 2^n] if replicas differ.

    Returns:
        {name: [R] or [R, ...]}; errors are half squared errors.
    """
    return jax.vmap(measure_one, in_axes=(0, None, 0 if seen.ndim == 2 else None))(
        learned, target, seen
    )
