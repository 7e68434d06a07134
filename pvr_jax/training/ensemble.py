"""Ensembles: the compiled programs that start, advance and evaluate all replicas."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from pvr_jax.training import hosts
from pvr_jax.training.losses import squared_error
from pvr_jax.training.optimizers import Optimizer, for_traced_rates
from pvr_jax.training.replicas import (
    AXIS,
    BATCH_AXIS,
    Mode,
    Replicas,
    device_mesh,
    needed_devices,
    on_devices,
    over_replicas,
    pad,
    padded_count,
    possible_modes,
)
from pvr_jax.training.state import (
    Batch,
    Objective,
    State,
    initial_state,
    supervised,
    train_step,
)

Step = Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]


# The condition that holds given initial parameters, a tree.
START = "start"


class Member(NamedTuple):
    """The programs of ONE replica.

    `start(replica) -> state`, `advance(state, replica, first, last) -> state` and
    `evaluate(params, carry, replica) -> {name: array}`.
    """

    start: Callable[[Replicas], State]
    advance: Callable[[State, Replicas, jax.Array, jax.Array], State]
    evaluate: Callable[[Any, Any, Replicas], dict[str, jax.Array]]


@dataclass(frozen=True)
class Ensemble:
    """Replicas on a mesh, and their programs; each is traced and compiled once per run."""

    count: int
    replicas: Replicas  # padded to a multiple of the mesh
    mesh: Mesh
    member: Member
    mode: Mode
    alternatives: tuple[Mode, ...]  # modes that a timed probe may choose
    matmul_precision: str
    start_program: Callable[[Replicas], State]
    advance_program: Callable[[State, Replicas, int, int], State]
    evaluate_program: Callable[[Any, Any, Replicas], dict[str, jax.Array]]

    @property
    def share(self) -> int:
        """Number of replicas per device, padding included."""
        return padded_count(self.count, self.mesh) // self.mesh.shape[AXIS]

    def shapes(self, padded: bool = False) -> State:
        """Return shapes and dtypes of the states; if `padded`, with padding and shardings."""
        shapes = jax.eval_shape(self.start_program, self.replicas)
        if padded:
            placed = partial(jax.ShapeDtypeStruct, sharding=on_devices(self.mesh))
            return jax.tree.map(lambda leaf: placed(leaf.shape, leaf.dtype), shapes)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.count, *leaf.shape[1:]), leaf.dtype), shapes
        )

    def in_mode(self, mode: Mode) -> "Ensemble":
        """Return the ensemble in another execution mode."""
        programs = _programs(self.member, self.mesh, mode)
        programs["start_program"] = self.start_program  # the same in every mode
        return replace(self, mode=mode, alternatives=(), **programs)

    def of_first(self, count: int) -> "Ensemble":
        """Return the ensemble of the first replicas alone, on the same devices."""
        some = jax.tree.map(lambda leaf: leaf[:count], self.replicas)
        return replace(self, count=count, replicas=pad(some, self.mesh))

    def planned(self, mesh: Mesh, mode: Mode, count: int) -> "Ensemble":
        """Return an ensemble of `count` replicas to compile and not to run.

        Its replicas are shapes, so neither they nor the devices of the mesh need exist.
        """
        padded, sharding = padded_count(count, mesh), on_devices(mesh)
        placed = partial(jax.ShapeDtypeStruct, sharding=sharding)
        shapes = jax.tree.map(
            lambda leaf: placed((padded, *leaf.shape[1:]), leaf.dtype), self.replicas
        )
        programs = _programs(self.member, mesh, mode)
        return replace(
            self, count=count, replicas=shapes, mesh=mesh, mode=mode, alternatives=(), **programs
        )

    def start(self) -> State:
        """Return the initial states."""
        return self.start_program(self.replicas)

    def advance(self, state: State, first: int, last: int) -> State:
        """Take the steps first <= i < last; consumes `state`."""
        with jax.default_matmul_precision(self.matmul_precision):
            return self.advance_program(state, self.replicas, first, last)

    def with_compiled_evaluation(self, state: State) -> "Ensemble":
        """Return the ensemble with `evaluate` compiled, without running it.

        `state` has the shapes and shardings of the states to evaluate.
        """
        with jax.default_matmul_precision("highest"):
            lowered = self.evaluate_program.lower(state.params, state.carry, self.replicas)
            program = lowered.compile()
        return replace(self, evaluate_program=program)

    def evaluate(self, state: State) -> dict[str, jax.Array]:
        """Return {name: [R, ...]} for the states' parameters, at full precision."""
        with jax.default_matmul_precision("highest"):
            return self.evaluate_program(state.params, state.carry, self.replicas)


def assemble(
    replicas: Replicas,
    member: Member,
    *,
    execution: str,
    group_size: int = 1,
    matmul_precision: str = "highest",
    batch_devices: int = 1,
    mesh: Mesh | None = None,
) -> Ensemble:
    """Place replicas on devices and build their programs.

    Args:
        replicas: leading axis R.
        member: the programs of one replica.
        execution: "auto", "vmap", "map" or "chunked"; see `replicas`. "auto" chooses by platform
            and size, and leaves alternatives to a timed probe.
        group_size: replicas per group of "chunked".
        matmul_precision: precision of matrix products in training, as in JAX.
        batch_devices: number of devices that share the rows of a batch.
        mesh: the devices; None: as many of `hosts.devices` as the replicas can use.
    """
    count = replicas.learning_rate.shape[0]
    if mesh is None:
        mesh = device_mesh(needed_devices(count, hosts.devices(), batch_devices), batch_devices)
    platform = mesh.devices.flat[0].platform
    mode, *alternatives = possible_modes(
        execution,
        group_size,
        platform,
        padded_count(count, mesh) // mesh.shape[AXIS],
        _bytes(member.start, replicas),
    )
    return Ensemble(
        count=count,
        replicas=pad(replicas, mesh),
        mesh=mesh,
        member=member,
        mode=mode,
        alternatives=tuple(alternatives),
        matmul_precision=matmul_precision,
        **_programs(member, mesh, mode),
    )


def _programs(member: Member, mesh: Mesh, mode: Mode) -> dict[str, Callable[..., Any]]:
    """Return the compiled programs over all replicas."""
    return {
        # Sequentially: batched, the draws of all replicas would be in memory at once.
        "start_program": over_replicas(member.start, mesh, Mode("map")),
        "advance_program": over_replicas(member.advance, mesh, mode, mapped=2, donate=True),
        "evaluate_program": over_replicas(member.evaluate, mesh, mode, mapped=3),
    }


def _bytes(start: Callable[[Replicas], State], replicas: Replicas) -> int:
    """Return the size of one replica's state."""
    first = partial(jax.tree.map, lambda leaf: leaf[0])
    one = jax.eval_shape(lambda replicas: start(first(replicas)), replicas)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))


def member_start(
    replica: Replicas,
    *,
    init: Callable[[jax.Array], Any],
    optimizer: Optimizer,
    dtype: jnp.dtype,
    carry: Callable[[Any], Any] = lambda params: (),
) -> State:
    """Return the initial state of one replica, with scaled parameters in the training dtype.

    Parameters are drawn, or taken from the replica's condition `START`.
    """
    given = replica.conditions.get(START)
    params = jax.tree.map(
        lambda leaf: leaf.astype(dtype) * replica.init_scale.astype(dtype),
        init(replica.init_key) if given is None else given,
    )
    state = initial_state(params, optimizer(replica.learning_rate))
    return state._replace(carry=carry(params))


def member_step(replica: Replicas, *, optimizer: Optimizer, **choices: Any) -> Step:
    """Return the training step of one replica, at its own learning rate; see `train_step`."""
    return partial(train_step, transformation=optimizer(replica.learning_rate), **choices)


def member_advance(
    state: State,
    replica: Replicas,
    first: jax.Array,
    last: jax.Array,
    *,
    batch: Callable[..., Batch],
    step_of: Callable[[Replicas], Step],
    optimizer: Optimizer,
    fresh_at: tuple[int, ...] = (),
    batch_devices: int = 1,
) -> State:
    """Take the steps first <= i < last of one replica, each with `step_of(replica)`.

    With several `batch_devices` each takes its share of the rows of every batch. The optimizer is
    reset before the steps `fresh_at`.

    The bounds are traced: segments of any length run the same compiled program, so evaluations,
    checkpoints and interruptions do not change a single bit of the result.
    """

    step = step_of(replica)

    def fresh(state: State) -> State:
        return state._replace(optimizer=optimizer(replica.learning_rate).init(state.params))

    def body(index: jax.Array, state: State) -> State:
        if fresh_at:
            is_fresh = jnp.isin(index, jnp.asarray(fresh_at))
            state = lax.cond(is_fresh, fresh, lambda state: state, state)
        rows = batch(replica.data_key, index, **replica.conditions)
        return step(state, share_of(rows, batch_devices))[0]

    return lax.fori_loop(first, last, body, state)


def share_of(batch: Batch, batch_devices: int) -> Batch:
    """Return this device's share of the rows of a batch, along the batch axis of the mesh.

    The last share is padded with copies of the last row, of weight 0: any loss is finite there.
    """
    if batch_devices == 1:
        return batch
    rows = -(-batch["weight"].shape[0] // batch_devices)

    def cut(mode: str, leaf: jax.Array) -> jax.Array:
        padding = [(0, rows * batch_devices - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1)
        filled = jnp.pad(leaf, padding, mode=mode)
        return lax.dynamic_slice_in_dim(filled, lax.axis_index(BATCH_AXIS) * rows, rows)

    return {
        name: jax.tree.map(partial(cut, "constant" if name == "weight" else "edge"), part)
        for name, part in batch.items()
    }


def ensemble(
    replicas: Replicas,
    *,
    init: Callable[[jax.Array], Any],
    batch: Callable[..., Batch],
    optimizer: Optimizer,
    evaluate: Callable[..., dict[str, jax.Array]],
    execution: str,
    apply: Callable[[Any, jax.Array], jax.Array] | None = None,
    loss: Callable[..., jax.Array] = squared_error,
    objective: Objective | None = None,
    carry: Callable[[Any], Any] | None = None,
    fresh_at: tuple[int, ...] = (),
    mesh: Mesh | None = None,
    group_size: int = 1,
    matmul_precision: str = "highest",
    batch_devices: int = 1,
    dtype: jnp.dtype = jnp.float32,
) -> Ensemble:
    """Build an ensemble from plain functions of ONE replica.

    Args:
        replicas: leading axis R.
        init: `init(key) -> params`.
        apply: `apply(params, x[b, ...]) -> predictions[b, ...]`; unused with an objective.
        batch: `batch(key, step, **conditions) -> {x, y, weight}`, pure.
        optimizer: `optimizer(learning_rate) -> optax.GradientTransformation`, such as `optax.adam`
            or `lambda rate: optax.sgd(optax.cosine_decay_schedule(rate, 1000))`; the learning rate
            is traced.
        evaluate: `evaluate(params, **conditions) -> {name: array}`, at "highest" precision. With a
            carry, the first argument is (params, carry).
        loss: `loss(predictions, batch, axis) -> scalar`; see `losses`.
        objective: `objective(params, batch, carry) -> (loss, carry)`, instead of apply and loss.
        carry: `carry(params)`, the initial carry; None: no carry.
        fresh_at: steps before which the optimizer is reset, e.g. at the beginning of a task.
        execution, mesh, group_size, matmul_precision, batch_devices: see `assemble`.
        dtype: of the parameters; float64 needs JAX's x64 mode (see `environment.arithmetic`).
    """
    optimizer = for_traced_rates(optimizer, np.asarray(replicas.learning_rate))
    axis = BATCH_AXIS if batch_devices > 1 else None
    step_of = partial(
        member_step,
        objective=objective or supervised(apply, loss, axis),
        optimizer=optimizer,
        axis=axis,
    )

    def member_evaluate(params: Any, own: Any, replica: Replicas) -> dict[str, jax.Array]:
        return evaluate((params, own) if carry else params, **replica.conditions)

    return assemble(
        replicas,
        Member(
            start=partial(
                member_start,
                init=init,
                optimizer=optimizer,
                dtype=dtype,
                carry=carry or (lambda params: ()),
            ),
            advance=partial(
                member_advance,
                batch=batch,
                step_of=step_of,
                optimizer=optimizer,
                fresh_at=fresh_at,
                batch_devices=batch_devices,
            ),
            evaluate=member_evaluate,
        ),
        execution=execution,
        group_size=group_size,
        matmul_precision=matmul_precision,
        batch_devices=batch_devices,
        mesh=mesh,
    )
