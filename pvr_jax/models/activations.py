"""What the layers of a network return on the way to its output."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from pvr_jax.models.transformer import REPEATED

OUTPUT = "output"


def captured(module: nn.Module, params: Any, x: jax.Array) -> dict[str, jax.Array]:
    """Return what every submodule returns for inputs, by its path such as "layers/0/attention".

    Pure; can be jitted and vmapped. The value is what the submodule itself returns: of a dense
    layer, before the nonlinearity that follows it.

    Args:
        module: maps x [b, ...] to [b, ...].
        params: its parameters.
        x: inputs [b, ...], of the module's kind.

    Returns:
        Arrays [b, ...] by path, and the module's own output under "output". The calls of a
        submodule that is called several times are numbered from 0, and so are repeated layers.
    """
    by_path = _returned(module, params, x)
    sizes = [jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype) for size in (2, 3)]
    two, three = (
        jax.eval_shape(lambda params, x: _returned(module, params, x), params, rows)
        for rows in sizes
    )
    found = {}
    for path, value in sorted(by_path.items()):  # jax.jit sorts them too
        # Tokens stand before the batch in some layers: the axis of the batch is the one that grows.
        pairs = zip(two[path].shape, three[path].shape, strict=True)
        found[path] = jnp.moveaxis(value, [few != more for few, more in pairs].index(True), 0)
    return found


def _returned(module: nn.Module, params: Any, x: jax.Array) -> dict[str, jax.Array]:
    """Return what submodules return, by path, with their axes in their own order."""
    _, kept = module.apply({"params": params}, x, capture_intermediates=True)
    return dict(_by_path(kept["intermediates"], ()))


def _by_path(tree: Any, path: tuple[str, ...]) -> Any:
    """Yield (path, array) of a tree of submodules."""
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
