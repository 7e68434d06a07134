"""The state of one replica and its training step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from pvr_jax.refusal import Refusal
from pvr_jax.training.losses import over_devices, squared_error

OPTIMIZERS = ("adam", "sgd")

# A transformation as a function of its learning rate.
Optimizer = Callable[[jax.Array | float], optax.GradientTransformation]


class State(NamedTuple):
    """Everything that one replica carries from step to step.

    In an ensemble every leaf has a leading axis R. `loss_sum` and `loss_count` collect the batch
    losses since the last evaluation; `diverged_at` is the first step whose loss was not finite, or
    -1. `carry` is what an algorithm around the optimizer carries, such as its place in a
    curriculum.
    """

    params: Any
    optimizer: optax.OptState
    step: jax.Array
    loss_sum: jax.Array
    loss_count: jax.Array
    diverged_at: jax.Array
    carry: Any = ()


def optimizer(
    name: str,
    learning_rate: float | jax.Array,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Callable[[jax.Array], jax.Array] | None = None,
) -> optax.GradientTransformation:
    """Return Adam (betas .9 and .999, eps 1e-8) or SGD with momentum, as PyTorch defines them.

    `weight_decay` times the parameters is added to the gradients, before Adam divides them by
    their size: PyTorch's weight_decay, not that of AdamW.

    `schedule(step)` multiplies the learning rate; None leaves it as it is.

    The learning rate lives in the optimizer's state: `init` stores the rate given here, `update`
    reads the stored one.

    Raises:
        ValueError: another name.
    """
    if schedule is not None:
        constant = optimizer(name, learning_rate, momentum, weight_decay)
        return optax.chain(constant, optax.scale_by_schedule(schedule))
    if weight_decay:
        decayed = optax.add_decayed_weights(weight_decay)
        return optax.chain(decayed, optimizer(name, learning_rate, momentum))
    if name == "adam":
        static = ("b1", "b2", "eps", "eps_root", "nesterov")
        return optax.inject_hyperparams(optax.adam, static_args=static)(
            learning_rate=learning_rate, b1=0.9, b2=0.999, eps=1e-8
        )
    if name == "sgd":
        return optax.inject_hyperparams(optax.sgd, static_args=("momentum", "nesterov"))(
            learning_rate=learning_rate, momentum=momentum
        )
    raise Refusal(f"optimizer: given {name!r}; allowed {', '.join(OPTIMIZERS)}")


def for_traced_rates(optimizer: Optimizer, rates: np.ndarray) -> Optimizer:
    """Return `optimizer` as a function of a rate that is traced, as those of replicas are.

    Most transformations only compute with their rate. Where one needs the number to be built, as
    with `optax.warmup_cosine_decay_schedule`, each of `rates` is a branch of the program.
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
    """Return a schedule: from 0 to 1 in `warmup_steps`, linearly, then 1.

    With `decay_steps` it goes down to 0 again along a cosine, in so many steps after the warm-up.
    """

    def schedule(step: jax.Array) -> jax.Array:
        rising = jnp.minimum((step + 1) / max(warmup_steps, 1), 1.0)
        if not decay_steps:
            return rising
        done = jnp.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
        return rising * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return schedule


def initial_state(params: Any, transformation: optax.GradientTransformation) -> State:
    """Return the state of one replica before its first step."""
    return State(
        params=params,
        optimizer=transformation.init(params),
        step=jnp.int32(0),
        loss_sum=jnp.float32(0),
        loss_count=jnp.int32(0),
        diverged_at=jnp.int32(-1),
    )


def train_step(
    state: State,
    batch: dict[str, jax.Array],
    *,
    apply: Callable[[Any, jax.Array], jax.Array],
    transformation: optax.GradientTransformation,
    loss: Callable[..., jax.Array] = squared_error,
    axis: str | None = None,
) -> tuple[State, dict[str, jax.Array]]:
    """Take one optimizer step of one replica on `batch` {x [b, ...], y [b], weight [b]}.

    `loss` is a function of `losses`. `axis` names the axis of the mesh over whose devices the rows
    of the batch are shared out; the step is then the same on all of them.

    Returns the new state and {"loss": the batch's loss before the step}.
    """

    def objective(params: Any) -> jax.Array:
        return loss(apply(params, batch["x"]), batch, axis)

    value, gradients = over_devices(axis, jax.value_and_grad(objective)(state.params))
    # Some transformations, such as `optax.polyak_sgd`, also look at the loss.
    update = optax.with_extra_args_support(transformation).update
    updates, optimizer_state = update(gradients, state.optimizer, state.params, value=value)
    first_failure = (state.diverged_at < 0) & ~jnp.isfinite(value)
    return (
        state._replace(
            params=optax.apply_updates(state.params, updates),
            optimizer=optimizer_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + value.astype(state.loss_sum.dtype),
            loss_count=state.loss_count + 1,
            diverged_at=jnp.where(first_failure, state.step, state.diverged_at),
        ),
        {"loss": value},
    )
