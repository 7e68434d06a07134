"""Curriculum learning: training starts on samples of low level and admits higher ones in stages.

A step of the training loop is one EPOCH here, since the number of optimizer steps per epoch depends
on the stage of a replica. After its last stage a replica takes no further steps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pvr_jax.training.ensemble import (
    Ensemble,
    Member,
    Step,
    assemble,
    member_start,
    member_step,
)
from pvr_jax.training.losses import squared_error
from pvr_jax.training.optimizers import Optimizer, for_traced_rates
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.settings import TrainSettings
from pvr_jax.training.state import State, supervised

Samples = dict[str, jax.Array]

# The stream of a replica's data key that shuffles its epochs.
SHUFFLES = 1


class CurriculumState(NamedTuple):
    """The `State.carry` of a replica under a curriculum.

    Training shows the samples of level `radius` or below. `iterations` counts optimizer steps;
    `finished_at` is the epoch that ended the last stage, or -1. `stage_epochs` and
    `stage_iterations` [S] are the epochs and optimizer steps that ended each stage, -1 for
    unfinished stages.
    """

    radius: jax.Array
    iterations: jax.Array
    finished_at: jax.Array
    stage_epochs: jax.Array
    stage_iterations: jax.Array


def max_stages(highest: int, leaps: tuple[int, ...]) -> int:
    """Return the number of stages up to level `highest` with the smallest leap."""
    return -(-highest // min(leaps))


def curriculum_ensemble(
    replicas: Replicas,
    settings: TrainSettings,
    *,
    init: Callable[[jax.Array], Any],
    apply: Callable[[Any, jax.Array], jax.Array],
    samples: Callable[..., Samples],
    evaluate: Callable[..., dict[str, jax.Array]],
    highest: int,
    stages: int,
    threshold: float,
    batch_size: int,
    optimizer: Optimizer | None = None,
) -> Ensemble:
    """Build the ensemble of replicas that train under a curriculum, on all devices.

    The radius starts at the replica's leap, `replicas.conditions["leap"]`, or at the first multiple
    of it that has a sample. After an epoch with a mean batch loss below `threshold` the radius
    grows by the leap, while parameters and optimizer continue; training ends once it has reached
    `highest`. A leap of `highest` is thus training without a curriculum. Every epoch shows the
    samples inside the radius once, in a new random order.

    Args:
        replicas: leading axis R; `conditions` contains "leap" [R].
        settings: training settings; each batch stays on one device.
        init: `init(key) -> params`.
        apply: `apply(params, x[b, ...]) -> predictions[b]`.
        samples: `samples(data_key, **conditions) -> {x [N, ...], y [N], level [N], present [N]}`
            and whatever `evaluate` needs; pure, and without the key's stream `SHUFFLES`. Rows that
            are not present pad the set to the size of other replicas' sets.
        evaluate: `evaluate(params, samples, **conditions) -> {name: array}`, at "highest".
        highest: the level of the last samples.
        stages: the largest number of stages; see `max_stages`.
        threshold: threshold of the mean batch loss (full squared error unless the settings name
            another).
        batch_size: rows of a batch; the last batch of an epoch is padded with weight 0.
        optimizer: see `ensemble.ensemble`; schedules count optimizer steps, not epochs. None: the
            optimizer of the settings.

    Source: Abbe et al. 2023, "Generalization on the Unseen, Logic Reasoning and Degree Curriculum".
    """
    optimizer = for_traced_rates(
        optimizer or settings.transformation, np.asarray(replicas.learning_rate)
    )
    objective = supervised(settings.in_training(apply), settings.loss_or(squared_error))
    start = partial(
        _start,
        begin=partial(
            member_start, init=init, optimizer=optimizer, dtype=settings.parameters_dtype
        ),
        samples=samples,
        stages=stages,
    )
    advance = partial(
        _advance,
        samples=samples,
        step_of=partial(member_step, objective=objective, optimizer=optimizer),
        highest=highest,
        threshold=threshold,
        batch_size=batch_size,
    )

    def member_evaluate(params: Any, carry: Any, replica: Replicas) -> dict[str, jax.Array]:
        shown = samples(replica.data_key, **replica.conditions)
        return evaluate(params, shown, **replica.conditions)

    return assemble(
        replicas,
        Member(start=start, advance=advance, evaluate=member_evaluate),
        execution=settings.execution,
        group_size=settings.group_size,
        matmul_precision=settings.matmul_precision,
    )


def first_radius(level: jax.Array, present: jax.Array, leap: jax.Array) -> jax.Array:
    """Return the smallest positive multiple of `leap` that includes a sample, int32.

    level int32[N], present bool[N].
    """
    lowest = jnp.min(jnp.where(present, level, jnp.iinfo(jnp.int32).max))
    return leap * jnp.maximum(1, -(-lowest // leap)).astype(jnp.int32)


def iterations_at(
    epochs: np.ndarray, stage_epochs: np.ndarray, stage_iterations: np.ndarray, iterations: int
) -> np.ndarray:
    """Return the number of optimizer steps of a replica after the given epochs [T].

    All epochs of a stage have equally many steps, so the ends [S] of stages determine it. `epochs`
    ascends to the last epoch of the run; `iterations` is the total number of steps.
    """
    passed = stage_epochs >= 0
    ends = [0, *stage_epochs[passed], max(epochs[-1], *stage_epochs, 1)]
    return np.interp(epochs, ends, [0, *stage_iterations[passed], iterations]).round().astype(int)


def _start(
    replica: Replicas, *, begin: Callable[[Replicas], State], samples: Any, stages: int
) -> State:
    state = begin(replica)
    data = samples(replica.data_key, **replica.conditions)
    leap = replica.conditions["leap"].astype(jnp.int32)
    return state._replace(
        carry=CurriculumState(
            radius=first_radius(data["level"], data["present"], leap),
            iterations=jnp.int32(0),
            finished_at=jnp.int32(-1),
            stage_epochs=jnp.full(stages, -1, jnp.int32),
            stage_iterations=jnp.full(stages, -1, jnp.int32),
        )
    )


def _advance(
    state: State,
    replica: Replicas,
    first: jax.Array,
    last: jax.Array,
    *,
    samples: Callable[..., Samples],
    step_of: Callable[[Replicas], Step],
    highest: int,
    threshold: float,
    batch_size: int,
) -> State:
    """Run the epochs first <= i < last of one replica; see `ensemble.member_advance`."""
    data = samples(replica.data_key, **replica.conditions)
    leap = replica.conditions["leap"].astype(jnp.int32)
    shuffles = jax.random.fold_in(replica.data_key, SHUFFLES)
    step = step_of(replica)

    def epoch(index: jax.Array, state: State) -> State:
        key = jax.random.fold_in(shuffles, index)
        trained = _epoch(state, data, key, step, batch_size)
        return _next_stage(state, trained, leap, highest, threshold)

    return lax.fori_loop(first, last, epoch, state)


def _epoch(state: State, data: Samples, key: jax.Array, step: Any, batch_size: int) -> State:
    """Train one epoch inside the radius; `loss_sum` and `loss_count` are those of the epoch.

    Finished and diverged replicas take no step.
    """
    progress = state.carry
    running = (progress.finished_at < 0) & (state.diverged_at < 0)
    inside = data["present"] & (data["level"] <= progress.radius)
    count = jnp.sum(inside, dtype=jnp.int32)
    # The samples inside come first, in random order.
    order = lax.cond(
        running,
        lambda: jnp.argsort(
            jnp.where(inside, jax.random.uniform(key, inside.shape, jnp.float32), jnp.inf)
        ),
        lambda: jnp.arange(len(inside)),
    )

    def take(index: jax.Array, inner: State) -> State:
        places = index * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
        rows = order[jnp.minimum(places, count - 1)]
        weight = (places < count).astype(jnp.float32)
        batch = {"x": data["x"][rows], "y": data["y"][rows], "weight": weight}
        return step(inner, batch)[0]._replace(step=inner.step)

    begin = state._replace(
        loss_sum=jnp.zeros_like(state.loss_sum), loss_count=jnp.zeros_like(state.loss_count)
    )
    batches = jnp.where(running, -(-count // batch_size), 0)
    return lax.fori_loop(0, batches, take, begin)


def _next_stage(
    before: State, trained: State, leap: jax.Array, highest: int, threshold: float
) -> State:
    """Return the state after an epoch, with updated counts and, if due, the next stage."""
    progress = before.carry
    iterations = progress.iterations + trained.loss_count
    epochs = before.step + 1
    mean_loss = trained.loss_sum / jnp.maximum(trained.loss_count, 1)
    passed = (trained.loss_count > 0) & (mean_loss < threshold)
    ended = passed & (progress.radius >= highest)
    stage = jnp.sum(progress.stage_epochs >= 0, dtype=jnp.int32)
    passes = passed & (jnp.arange(progress.stage_epochs.shape[0]) == stage)
    return trained._replace(
        carry=CurriculumState(
            radius=jnp.where(passed & ~ended, progress.radius + leap, progress.radius),
            iterations=iterations,
            finished_at=jnp.where(ended, epochs, progress.finished_at),
            stage_epochs=jnp.where(passes, epochs, progress.stage_epochs),
            stage_iterations=jnp.where(passes, iterations, progress.stage_iterations),
        ),
        step=epochs,
        loss_sum=before.loss_sum + trained.loss_sum,
        loss_count=before.loss_count + trained.loss_count,
    )
