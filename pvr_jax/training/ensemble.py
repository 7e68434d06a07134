"""An ensemble: the three compiled programs that start, advance and evaluate all replicas."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from pvr_jax.training.replicas import Replicas, over_replicas, pad
from pvr_jax.training.state import State, initial_state, train_step

Batch = dict[str, jax.Array]


@dataclass(frozen=True)
class Ensemble:
    """Replicas on a mesh, and the programs over them; each is traced and compiled once per run."""

    count: int
    replicas: Replicas  # padded to a multiple of the mesh
    mesh: Mesh
    execution: str
    matmul_precision: str
    start_program: Callable[[Replicas], State]
    advance_program: Callable[[State, Replicas, int, int], State]
    evaluate_program: Callable[[Any, Replicas], dict[str, jax.Array]]

    def shapes(self) -> State:
        """Return shapes and dtypes of the states without the padding, as checkpoints hold them."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.count, *leaf.shape[1:]), leaf.dtype),
            jax.eval_shape(self.start),
        )

    def start(self) -> State:
        """Return the initial states."""
        return self.start_program(self.replicas)

    def advance(self, state: State, first: int, last: int) -> State:
        """Take the steps first <= i < last; consumes `state`."""
        with jax.default_matmul_precision(self.matmul_precision):
            return self.advance_program(state, self.replicas, first, last)

    def with_compiled_evaluation(self, params: Any) -> "Ensemble":
        """Return the ensemble with the program of `evaluate` compiled, and not run.

        `params` have the shapes and places of those that will be evaluated.
        """
        with jax.default_matmul_precision("highest"):
            program = self.evaluate_program.lower(params, self.replicas).compile()
        return replace(self, evaluate_program=program)

    def evaluate(self, params: Any) -> dict[str, jax.Array]:
        """Return {name: [R, ...]} of the parameters, computed at full precision."""
        with jax.default_matmul_precision("highest"):
            return self.evaluate_program(params, self.replicas)


def member_start(
    replica: Replicas,
    *,
    init: Callable[[jax.Array], Any],
    optimizer: Callable[[jax.Array], Any],
    dtype: jnp.dtype,
) -> State:
    """Return the initial state of one replica, its parameters scaled, in the type of training."""
    params = jax.tree.map(
        lambda leaf: leaf.astype(dtype) * replica.init_scale.astype(dtype), init(replica.init_key)
    )
    return initial_state(params, optimizer(replica.learning_rate))


def member_advance(
    state: State,
    replica: Replicas,
    first: jax.Array,
    last: jax.Array,
    *,
    batch: Callable[..., Batch],
    step: Callable[[State, Batch], tuple[State, dict[str, jax.Array]]],
) -> State:
    """Take the steps first <= i < last of one replica.

    The bounds are data: segments of any length run the same compiled program, so where a run was
    cut by evaluations, checkpoints or an interruption cannot change a bit of its result.
    """

    def body(index: jax.Array, state: State) -> State:
        return step(state, batch(replica.data_key, index, **replica.conditions))[0]

    return lax.fori_loop(first, last, body, state)


def ensemble(
    replicas: Replicas,
    *,
    init: Callable[[jax.Array], Any],
    apply: Callable[[Any, jax.Array], jax.Array],
    batch: Callable[..., Batch],
    optimizer: Callable[[jax.Array | float], Any],
    evaluate: Callable[..., dict[str, jax.Array]],
    mesh: Mesh,
    execution: str,
    group_size: int = 1,
    matmul_precision: str = "highest",
    dtype: jnp.dtype = jnp.float32,
) -> Ensemble:
    """Build the programs of an ensemble from plain functions of ONE replica.

    Args:
        replicas: leading axis R.
        init: `init(key) -> params`.
        apply: `apply(params, x[b, ...]) -> predictions[b]`.
        batch: `batch(key, step, **conditions) -> {x, y, weight}`, pure.
        optimizer: `optimizer(learning_rate) -> optax.GradientTransformation`.
        evaluate: `evaluate(params, **conditions) -> {name: array}`; always runs at "highest".
        mesh: the devices.
        execution: "vmap", "map" or "chunked"; see `replicas`.
        group_size: replicas per group of "chunked".
        matmul_precision: precision of the matrix products of training, as JAX names them.
        dtype: of the parameters; float64 needs JAX's x64 mode (see `environment.arithmetic`).
    """
    transformation = optimizer(0.0)  # `update` reads each replica's own rate from its state

    def step(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        return train_step(state, batch, apply=apply, transformation=transformation)

    def member_evaluate(params: Any, replica: Replicas) -> dict[str, jax.Array]:
        return evaluate(params, **replica.conditions)

    return Ensemble(
        count=replicas.learning_rate.shape[0],
        replicas=pad(replicas, mesh),
        mesh=mesh,
        execution=execution,
        matmul_precision=matmul_precision,
        start_program=over_replicas(
            partial(member_start, init=init, optimizer=optimizer, dtype=dtype), mesh, "vmap"
        ),
        advance_program=over_replicas(
            partial(member_advance, batch=batch, step=step),
            mesh,
            execution,
            mapped=2,
            group_size=group_size,
            donate=True,
        ),
        evaluate_program=over_replicas(
            member_evaluate, mesh, execution, mapped=2, group_size=group_size
        ),
    )
