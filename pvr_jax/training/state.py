"""The state of one replica and its training step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

OPTIMIZERS = ("adam", "sgd")


class State(NamedTuple):
    """Everything that one replica carries from step to step.

    In an ensemble every leaf has a leading axis R. `optimizer` holds the learning rate too, so it
    may differ from replica to replica. `loss_sum` and `loss_count` collect the batch losses since
    the last evaluation; `diverged_at` is the first step whose loss was not finite, or -1.
    """

    params: Any
    optimizer: optax.OptState
    step: jax.Array
    loss_sum: jax.Array
    loss_count: jax.Array
    diverged_at: jax.Array


def optimizer(
    name: str,
    learning_rate: float | jax.Array,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Return Adam (betas .9 and .999, eps 1e-8) or SGD with momentum, as PyTorch defines them.

    `weight_decay` times the parameters is added to the gradients, before Adam divides them by
    their size: PyTorch's weight_decay, not that of AdamW.

    The learning rate lives in the optimiser's state: `init` stores the rate given here, `update`
    reads the stored one, so that replicas of one program may differ in it.

    Raises:
        ValueError: another name.
    """
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
    raise ValueError(f"optimizer: given {name!r}; allowed {', '.join(OPTIMIZERS)}")


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


def squared_error(
    predictions: jax.Array, batch: dict[str, jax.Array], axis: str | None = None
) -> jax.Array:
    """Return the weighted mean of (prediction - y)^2 over a batch.

    This is the FULL squared error that the authors train with; the errors that are reported are
    halves of it. Rows of weight 0 (the padding of a last, smaller batch) do not count. Where the
    rows are shared out over the devices of the mesh axis `axis`, it is this device's part of it.
    """
    weight = batch["weight"]
    return jnp.sum(weight * jnp.square(predictions - batch["y"])) / _over(axis, jnp.sum(weight))


def train_step(
    state: State,
    batch: dict[str, jax.Array],
    *,
    apply: Callable[[Any, jax.Array], jax.Array],
    transformation: optax.GradientTransformation,
    loss: Callable[..., jax.Array] = squared_error,
    axis: str | None = None,
) -> tuple[State, dict[str, jax.Array]]:
    """Take one optimiser step of one replica on `batch` {x [b, ...], y [b], weight [b]}.

    `axis` names the axis of the mesh over whose devices the rows of the batch are shared out; the
    step is then the same on all of them.

    Returns the new state and {"loss": the batch's loss before the step}.
    """

    def objective(params: Any) -> jax.Array:
        return loss(apply(params, batch["x"]), batch, axis)

    value, gradients = _over(axis, jax.value_and_grad(objective)(state.params))
    updates, optimizer_state = transformation.update(gradients, state.optimizer, state.params)
    first_failure = (state.diverged_at < 0) & ~jnp.isfinite(value)
    return (
        State(
            params=optax.apply_updates(state.params, updates),
            optimizer=optimizer_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + value.astype(state.loss_sum.dtype),
            loss_count=state.loss_count + 1,
            diverged_at=jnp.where(first_failure, state.step, state.diverged_at),
        ),
        {"loss": value},
    )


def _over(axis: str | None, tree: Any) -> Any:
    """Return the sum over the devices of a mesh axis; `tree` itself where there is none."""
    return tree if axis is None else lax.psum(tree, axis)
