"""The state of one replica and its training step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from pvr_jax.training.losses import over_devices, squared_error

Batch = dict[str, jax.Array]
# (params, batch, carry) -> (loss, carry).
Objective = Callable[[Any, Batch, Any], tuple[jax.Array, Any]]


class State(NamedTuple):
    """The training state of one replica.

    In an ensemble every leaf has a leading axis R. `loss_sum` and `loss_count` accumulate the batch
    losses since the last evaluation; `diverged_at` is the first step with a nonfinite loss, or -1.
    `carry` is further state, of an objective (such as batch statistics) or of an algorithm around
    the optimizer (such as the stage of a curriculum).
    """

    params: Any
    optimizer: optax.OptState
    step: jax.Array
    loss_sum: jax.Array
    loss_count: jax.Array
    diverged_at: jax.Array
    carry: Any = ()


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


def supervised(
    apply: Callable[[Any, jax.Array], jax.Array],
    loss: Callable[..., jax.Array] = squared_error,
    axis: str | None = None,
) -> Objective:
    """Return the objective of a network and a loss of `losses`, without a carry."""

    def objective(params: Any, batch: Batch, carry: Any) -> tuple[jax.Array, Any]:
        return loss(apply(params, batch["x"]), batch, axis), carry

    return objective


def train_step(
    state: State,
    batch: Batch,
    *,
    objective: Objective,
    transformation: optax.GradientTransformation,
    axis: str | None = None,
) -> tuple[State, dict[str, jax.Array]]:
    """Take one optimizer step of one replica on a batch.

    Args:
        state: state of the replica.
        batch: {x [b, ...], y [b], weight [b]}, or whatever the objective takes.
        objective: `objective(params, batch, carry) -> (loss, carry)`.
        transformation: the optimizer.
        axis: mesh axis over which the rows of the batch are split, if any; all its devices take the
            same step.

    Returns:
        The new state and {"loss": the loss of the batch before the step}.
    """

    def of_params(params: Any) -> tuple[jax.Array, Any]:
        return objective(params, batch, state.carry)

    (value, carry), gradients = jax.value_and_grad(of_params, has_aux=True)(state.params)
    value, gradients = over_devices(axis, (value, gradients))
    # Some transformations, such as `optax.polyak_sgd`, need the loss.
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
            carry=carry,
        ),
        {"loss": value},
    )
