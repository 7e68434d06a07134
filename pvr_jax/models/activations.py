"""Capture the activations of a network's layers."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from pvr_jax.models.transformer import REPEATED

OUTPUT = "output"


def captured(module: nn.Module, params: Any, x: jax.Array) -> dict[str, jax.Array]:
    """Return the output of every submodule by its path, such as "layers/0/attention".

    Pure; can be jitted and vmapped. For a dense layer, the output is before the nonlinearity.

    Args:
        module: maps x [b, ...] to [b, ...].
        params: its parameters.
        x: inputs [b, ...].

    Returns:
        Arrays [b, ...] by path; "output" is the output of the module. Repeated calls of a
        submodule, and repeated layers, are numbered from 0.
    """
    by_path = _returned(module, params, x)
    sizes = [jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype) for size in (2, 3)]
    two, three = (
        jax.eval_shape(lambda params, x: _returned(module, params, x), params, rows)
        for rows in sizes
    )
    found = {}
    for path, value in sorted(by_path.items()):  # jax.jit sorts them too
        # In some layers tokens precede the batch; the batch axis is the one that grows.
        pairs = zip(two[path].shape, three[path].shape, strict=True)
        found[path] = jnp.moveaxis(value, [few != more for few, more in pairs].index(True), 0)
    return found


def _returned(module: nn.Module, params: Any, x: jax.Array) -> dict[str, jax.Array]:
    """Return the outputs of submodules, by path, with their own order of axes."""
    _, kept = module.apply({"params": params}, x, capture_intermediates=True)
    return dict(_by_path(kept["intermediates"], ()))


def _by_path(tree: Any, path: tuple[str, ...]) -> Any:
    """Yield (path, array) for a tree of submodules."""
    for name, own in tree.items():
        if name != "__call__":
            yield from _by_path(own, (*path, name))
            continue
        calls = jax.tree.leaves(own)
        if REPEATED in path:
            place = path.index(REPEATED) + 1
            for number, value in enumerate(calls[0]):
                yield "/".join((*path[:place], str(number), *path[place:])), value
        elif len(calls) == 1:
            yield "/".join(path) or OUTPUT, calls[0]
        else:
            for number, value in enumerate(calls):
                yield "/".join((*path, str(number))), value
