"""The registry of models: a name and plain parameters in, pure functions out."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from pvr_jax import checks
from pvr_jax.models.activations import captured
from pvr_jax.models.convolutional import resnet, vgg
from pvr_jax.models.images import picture_mixer, picture_mlp, vit
from pvr_jax.models.linear import deep_linear, linear_regression
from pvr_jax.models.mean_field import mean_field
from pvr_jax.models.mixer import mixer
from pvr_jax.models.mlp import mlp
from pvr_jax.models.random_features import random_features
from pvr_jax.models.tokens import token_mixer, token_mlp, token_transformer
from pvr_jax.models.transformer import transformer
from pvr_jax.refusal import Refusal, did_you_mean

Params = Any


class Model(NamedTuple):
    """A network as pure functions.

    On {-1, +1}^n, `init(key, x[b, n]) -> params` and `apply(params, x[b, n]) -> y[b]`; a classifier
    has inputs x [b, ...] and logits [b, classes]. `activations(params, x)` returns the output of
    every layer, {path: array[b, ...]}, such as "Dense_0" of the MLP, before the nonlinearity, or
    "layers/0/attention" of a Transformer; "output" is the result of `apply`. All can be jitted and
    vmapped; `params` is a tree of arrays. Models of bits refuse Booleans and unsigned integers;
    classifiers of tokens refuse everything but integers, and, unless traced, tokens outside the
    alphabet.
    """

    init: Callable[[jax.Array, jax.Array], Params]
    apply: Callable[[Params, jax.Array], jax.Array]
    activations: Callable[[Params, jax.Array], dict[str, jax.Array]]


# One line adds a model: a function of (n, **parameters) that returns a Linen module [b, n] -> [b].
_MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "transformer": transformer,
    "mixer": mixer,
    "linear_regression": linear_regression,
    "deep_linear": deep_linear,
    "random_features": random_features,
    "mean_field": mean_field,
}

# One line adds a classifier: a function of (shape, alphabet, classes, **parameters) that returns a
# Linen module [b, *shape] -> [b, classes].
_TOKEN_CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "token_mlp": token_mlp,
    "token_transformer": token_transformer,
    "token_mixer": token_mixer,
}
_IMAGE_CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "resnet": resnet,
    "vgg": vgg,
    "vit": vit,
    "picture_mixer": picture_mixer,
    "picture_mlp": picture_mlp,
}
_GIVEN = ("n", "shape", "alphabet", "classes")  # determined by the task


def names() -> tuple[str, ...]:
    """Return the names of all registered models of bits.

    >>> from pvr_jax import models
    >>> {"mlp", "transformer", "mixer"} <= set(models.names())
    True
    """
    return tuple(sorted(_MODELS))


def classifier_names() -> tuple[str, ...]:
    """Return the names of all registered classifiers, of tokens and of images."""
    return tuple(sorted(_TOKEN_CLASSIFIERS | _IMAGE_CLASSIFIERS))


def parameters(name: str) -> dict[str, Any]:
    """Return the parameters of the model of bits `name`, with their defaults.

    Raises:
        ValueError: there is no such model.
    """
    return _parameters(_lookup(name, _MODELS))


def classifier_parameters(name: str) -> dict[str, Any]:
    """Return the parameters of the classifier `name`, with their defaults.

    Raises:
        ValueError: there is no such classifier.
    """
    return _parameters(_lookup(name, _TOKEN_CLASSIFIERS | _IMAGE_CLASSIFIERS))


def _parameters(maker: Callable[..., nn.Module]) -> dict[str, Any]:
    known = inspect.signature(maker).parameters.items()
    return {key: value.default for key, value in known if key not in _GIVEN}


def label(model: dict[str, Any]) -> str:
    """Return a model's name, with its parameters unless all have their defaults.

    `model` has "name" and parameters, of a model of bits or a classifier.

    Raises:
        ValueError: there is no such model.
    """
    kinds = _MODELS | _TOKEN_CLASSIFIERS | _IMAGE_CLASSIFIERS
    defaults = _parameters(_lookup(model["name"], kinds))
    given = {name: value for name, value in model.items() if name in defaults}
    if given == {name: defaults[name] for name in given}:
        return model["name"]
    shown = ", ".join(f"{key}={value}" for key, value in given.items())
    return f"{model['name']} ({shown})"


def build(name: str, n: int, **params: Any) -> Model:
    """Build the model `name` for inputs with n bits.

    Raises:
        ValueError: an unknown model or parameter, or a value out of range.

    >>> import jax
    >>> from pvr_jax import models
    >>> network, x = models.build("mlp", 3, widths=(4,)), jax.numpy.ones((2, 3))
    >>> params = network.init(jax.random.key(0), x)
    >>> network.apply(params, x).shape, models.parameter_count(params)  # (3 + 1) 4 + 4 + 1
    ((2,), 21)
    """
    maker = _lookup(name, _MODELS)
    _check_parameters(name, maker, params)
    return _pure(maker(n, **params), partial(checks.signs, with_shape=False))


def build_classifier(
    name: str, shape: tuple[int, ...], alphabet: int | None, classes: int, **params: Any
) -> Model:
    """Build the classifier `name`: inputs [b, *shape] to logits [b, classes].

    Args:
        name: one of `classifier_names()`, for tokens or images.
        shape: shape of one input, (tokens,) or (height, width).
        alphabet: number of different tokens, int32 from 0 on; None: the inputs are gray images,
            float32 in 0 to 1.
        classes: number of logits.
        params: see `classifier_parameters(name)`.

    Raises:
        ValueError: no such classifier for these inputs, an unknown parameter, or a value out of
            range.
    """
    images = alphabet is None
    kinds, inputs = (_IMAGE_CLASSIFIERS, "images") if images else (_TOKEN_CLASSIFIERS, "tokens")
    maker = _lookup(name, kinds, f" with {inputs}:")
    _check_parameters(name, maker, params)
    shape = checks.shape("shape", shape, (24, 24) if images else (11,))
    if len(shape) != 1 + images:
        form = "(height, width)" if images else "(tokens,)"
        raise Refusal(f"shape: given {shape!r}; allowed {form} with {inputs}")
    checks.sizes({"classes": classes, "alphabet": 1 if images else alphabet})
    check = (lambda x: None) if images else partial(checks.tokens, "x", alphabet=alphabet)
    return _pure(maker(shape, alphabet, classes, **params), check)


def _check_parameters(name: str, maker: Callable[..., nn.Module], params: dict[str, Any]) -> None:
    known = _parameters(maker)
    for key, value in params.items():
        if key not in known:
            raise Refusal(
                f"{key}: given {value!r}; allowed parameters of {name} are {', '.join(known)}"
            )


def _pure(module: nn.Module, check: Callable[[jax.Array], None]) -> Model:
    """Return a module's pure functions; `check(x)` raises ValueError for invalid inputs."""

    def init(key: jax.Array, x: jax.Array) -> Params:
        check(x)
        return module.init(key, x)["params"]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        check(x)
        return module.apply({"params": params}, x)

    def activations(params: Params, x: jax.Array) -> dict[str, jax.Array]:
        check(x)
        return captured(module, params, x)

    return Model(init, apply, activations)


def parameter_count(params: Params) -> int:
    """Return the number of scalars in a tree of parameters (or of their shapes)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _lookup(
    name: str, kinds: dict[str, Callable[..., nn.Module]], inputs: str = ""
) -> Callable[..., nn.Module]:
    if name not in kinds:
        hint = did_you_mean(name, kinds)
        raise Refusal(f"name: given {name!r}; allowed{inputs} {', '.join(sorted(kinds))}{hint}")
    return kinds[name]
