"""Optimizers of optax by name, as functions of their learning rate."""

import ast
import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from pvr_jax.refusal import Refusal

# A function from learning rate to transformation.
Optimizer = Callable[[jax.Array | float], optax.GradientTransformation]

# These need the loss function, or are not optimizers.
NOT_BY_NAME = ("lbfgs", "scale_by_learning_rate")
# The rate, as optax and PyTorch name it: no parameter, since replicas differ in it.
RATE = ("learning_rate", "lr")


@cache
def names() -> tuple[str, ...]:
    """Return the names of optimizers: the functions of optax whose first argument is a rate."""
    found = {name: getattr(optax, name) for name in dir(optax) if name.islower()}
    functions = {n: f for n, f in found.items() if inspect.isfunction(f) and n[0] != "_"}
    first = {n: next(iter(inspect.signature(f).parameters), "") for n, f in functions.items()}
    return tuple(n for n, own in first.items() if own == "learning_rate" and n not in NOT_BY_NAME)


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Parse a string such as "adamw(b2=0.95, weight_decay=1e-4)" into name and parameters.

    Raises:
        Refusal: a syntax error, an unknown name or parameter, or a value that is not a number,
            string, True, False or None.
    """
    given = repr(text)
    allowed = 'a name of optax, with numbers as in "adamw(b2=0.95, weight_decay=1e-4)"'
    try:
        tree = ast.parse(text, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = call.func.id
        options = {own.arg: ast.literal_eval(own.value) for own in call.keywords}
        if call.args or None in options:
            raise ValueError
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise Refusal(f"optimizer: given {given}; allowed {allowed}") from None
    if name not in names():
        raise Refusal(f"optimizer: given {given}; allowed {', '.join(names())}")
    known = [*inspect.signature(getattr(optax, name)).parameters][1:]
    for option in options:
        if option not in known:
            rate = "; the rate goes into learning_rates" if option in RATE else ""
            allowed = ", ".join(known) or "nothing"
            raise Refusal(f"optimizer: given {given}; allowed of {name}: {allowed}{rate}")
    return name, options


def optimizer(
    name: str,
    learning_rate: float | jax.Array,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Callable[[jax.Array], jax.Array] | None = None,
) -> optax.GradientTransformation:
    """Return an optimizer of optax: "adam", "sgd", "adamw(b2=0.95)"; see `parsed`.

    Adam (betas .9 and .999, eps 1e-8) and SGD match PyTorch. The learning rate is part of the
    optimizer's state: `init` stores it, `update` reads it.

    Args:
        name: name of the optimizer, with parameters.
        learning_rate: may be traced.
        momentum: momentum of "sgd", unless given in `name`.
        weight_decay: coefficient of the L2 penalty, as in PyTorch's Adam and SGD. The decoupled
            decay of AdamW is a parameter of "adamw".
        schedule: `schedule(step)` multiplies the learning rate; None: constant.

    Raises:
        Refusal: another name.
    """
    if schedule is not None:
        constant = optimizer(name, learning_rate, momentum, weight_decay)
        return optax.chain(constant, optax.scale_by_schedule(schedule))
    if weight_decay:
        decayed = optax.add_decayed_weights(weight_decay)
        return optax.chain(decayed, optimizer(name, learning_rate, momentum))
    kind, options = parsed(name)
    if kind == "sgd":
        options = {"momentum": momentum, **options}
    make = getattr(optax, kind)
    static = [*inspect.signature(make).parameters][1:]
    return optax.inject_hyperparams(make, static_args=static)(
        learning_rate=learning_rate, **options
    )


def for_traced_rates(optimizer: Optimizer, rates: np.ndarray) -> Optimizer:
    """Make `optimizer` accept a traced rate, as replicas need.

    Most transformations only compute with their rate. If one needs a concrete rate, as with
    `optax.warmup_cosine_decay_schedule`, each of `rates` becomes a branch of the program.
    """
    numbers = np.unique(rates)

    def at(rate: jax.Array | float) -> optax.GradientTransformation:
        try:
            return optimizer(rate)
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
            branches = [
                optax.with_extra_args_support(optimizer(number.item())) for number in numbers
            ]
        own = jnp.searchsorted(numbers, rate)
        return optax.GradientTransformationExtraArgs(
            lambda params: lax.switch(own, [each.init for each in branches], params),
            lambda *arguments, **more: lax.switch(
                own, [partial(each.update, **more) for each in branches], *arguments
            ),
        )

    return at


def warmup(warmup_steps: int, decay_steps: int = 0) -> Callable[[jax.Array], jax.Array]:
    """Return a schedule that rises linearly from 0 to 1 in `warmup_steps`.

    It then decays to 0 along a cosine in `decay_steps`, or, if these are 0, stays at 1.
    """

    def schedule(step: jax.Array) -> jax.Array:
        rising = jnp.minimum((step + 1) / max(warmup_steps, 1), 1.0)
        if not decay_steps:
            return rising
        done = jnp.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
        return rising * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return schedule
