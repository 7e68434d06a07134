"""A whole run from plain values: programs, schedule, record, and kept checkpoints.

Knows no task, model or measure: experiments hand these in as functions of one replica.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pvr_jax.training import ensemble as ensembles
from pvr_jax.training import environment, hosts, loop, probe, run_log, trackers
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.progress import ProgressDisplay
from pvr_jax.training.replicas import Replicas, over_replicas, pad, to_host
from pvr_jax.training.settings import Apply, TrainSettings

STAGE = "train"
LOG = logging.getLogger("pvr_jax")

# A group of replicas, and their values [r, ...].
Group = tuple[slice, Any]


def schedule(
    *,
    epochs: int,
    steps_per_epoch: int,
    every_epochs: int,
    kept: int,
    save_every_seconds: float,
) -> loop.Schedule:
    """Return when a run evaluates and saves: every few epochs, and at log-spaced steps."""
    total = epochs * steps_per_epoch
    steps = loop.logarithmic_steps(steps_per_epoch, total, kept)
    return loop.Schedule(
        total=total,
        evaluations=frozenset(range(0, total + 1, every_epochs * steps_per_epoch))
        | frozenset(steps),
        kept=frozenset(steps),
        save_every_seconds=save_every_seconds,
    )


def build_ensemble(
    replicas: Replicas,
    settings: TrainSettings,
    apply: Apply | None = None,
    **functions: Any,
) -> Ensemble:
    """Build the ensemble of a run on all devices; see `ensemble.ensemble` for the functions."""
    return ensembles.ensemble(
        replicas,
        **functions,
        apply=apply and settings.in_training(apply),
        optimizer=settings.transformation,
        execution=settings.execution,
        group_size=settings.group_size,
        batch_devices=settings.batch_devices,
        matmul_precision=settings.matmul_precision,
        dtype=settings.parameters_dtype,
    )


class Plan(NamedTuple):
    """What `train_run` trains: the replicas, when what happens, their names [R], and a title.

    `training_rows` is what `shown_rows.count_rows` found, None where nothing is withheld.
    """

    ensemble: Ensemble
    schedule: loop.Schedule
    names: list[str]
    title: str
    training_rows: dict[str, int] | None = None


def train_run(
    directory: Path,
    config: dict[str, Any],
    identity: str,
    build: Callable[[], Plan],
    log: Sequence[str] = (),
) -> None:
    """Train all replicas of a run, or resume training; do nothing if done.

    Writes config.json, run.json, metrics.jsonl and checkpoints.

    Args:
        directory: the run directory.
        config: with a section "train", whose dtype and matmul_precision go into run.json.
        identity: of the configuration, for checkpoints.
        build: makes the plan; called in the arithmetic of the configuration.
        log: where evaluations are logged too, names of `trackers`; also those of a run that is
            done.

    Raises:
        RunError: the directory is in use, a checkpoint cannot be written, or a signal arrived.
    """
    chosen = config["train"]
    with contextlib.ExitStack() as held, environment.arithmetic(chosen["dtype"]):
        hosts.on_primary(lambda: held.enter_context(run_log.exclusive(directory)))
        (done,) = hosts.largest(float(run_log.is_done(directory, STAGE)))
        if done:
            hosts.on_primary(partial(trackers.copy, log, directory, config))
            return
        write = partial(run_log.write_json, directory / "config.json", config)
        hosts.on_primary(write)
        precision = {
            "training": chosen["dtype"],
            "matrix_products": chosen["matmul_precision"],
            "analysis": "float64",
        }
        plan = build()
        track = None
        if log:
            tracked = trackers.opened(log, directory, plan.names, config)
            track = hosts.on_primary(lambda: held.enter_context(tracked))
        _train(directory, identity, precision, plan, track)


def _train(
    directory: Path,
    identity: str,
    precision: dict[str, str],
    plan: Plan,
    track: trackers.Tracker | None,
) -> None:
    ensemble, names = plan.ensemble, plan.names
    parameters = sum(leaf.size for leaf in jax.tree.leaves(ensemble.shapes().params))
    record: dict[str, Any] = {
        **environment.describe(),
        "precision": precision,
        "parameters": parameters // ensemble.count,
        "replicas": names,
        "training_rows": plan.training_rows,
        "stages": {},
    }
    with (
        ProgressDisplay(plan.schedule.total, ensemble.count, hosts.is_primary()) as display,
        Checkpoints(directory / "checkpoints", identity, plan.schedule.kept) as checkpoints,
    ):
        display.say(
            f"training {ensemble.count} replicas of {plan.title} ({record['parameters']:,} "
            f"parameters), {plan.schedule.total} steps, on {ensemble.mesh.size} "
            f"{record['devices']['platform']} device(s)"
        )
        ensemble, record["probe"] = _in_chosen_mode(
            directory, ensemble, plan.schedule.total, display
        )
        record["execution"] = str(ensemble.mode)
        hosts.on_primary(partial(run_log.write_json, directory / "run.json", record))
        result = loop.train(ensemble, plan.schedule, checkpoints, directory, display, names, track)
    record["diverged"] = result.diverged
    record["stages"][STAGE] = result.timing._asdict()

    def finish() -> None:
        run_log.write_json(directory / "run.json", record)
        run_log.mark_done(directory, STAGE)

    hosts.on_primary(finish)


def _in_chosen_mode(
    directory: Path, ensemble: Ensemble, steps: int, display: ProgressDisplay
) -> tuple[Ensemble, dict[str, Any] | None]:
    """Return the ensemble in its fastest mode, and the record of the probe, if any."""
    if not ensemble.alternatives:
        return ensemble, None
    there = (directory / run_log.RECORD).exists()
    before = run_log.read_record(directory) if there else {}
    with run_log.record_damage_named(directory):
        mode = probe.chosen_before(before, ensemble)
    if mode:
        return ensemble.in_mode(mode), before["probe"]
    ensemble, found = probe.fastest(ensemble, steps)
    rates = ", ".join(
        f"{each['mode']} {each['replica_steps_per_second']:,.0f}" for each in found["tried"]
    )
    if LOG.isEnabledFor(logging.INFO):
        display.say(f"replica-steps/s in a probe: {rates}; chosen: {ensemble.mode}")
    return ensemble, {**found, "devices": ensemble.mesh.size}


class Stage(NamedTuple):
    """A stage after training: its name, the stage it follows, and its output file.

    Without training, the first stage follows "".
    """

    name: str
    after: str
    product: str


def later_stage(directory: Path, stage: Stage, dtype: str, work: Callable[[], None]) -> None:
    """Run a stage after training, unless it is done and its file exists.

    Args:
        directory: the run directory.
        stage: which.
        dtype: of training, in whose arithmetic the work is done.
        work: writes the stage's files.

    Raises:
        FileNotFoundError: the previous stage is not done; the message says what to type.
        RunError: the directory is in use.
    """
    if stage.after and not run_log.is_done(directory, stage.after):
        raise FileNotFoundError(
            f"{directory} has not been through the stage {stage.after}; give the same command "
            f"with --stage={stage.after} first"
        )
    with run_log.exclusive(directory), environment.arithmetic(dtype):
        if run_log.is_done(directory, stage.name) and (directory / stage.product).is_file():
            return
        begin = time.perf_counter()
        if not stage.after:
            begin_record(directory)
        work()
        record = run_log.read_record(directory)
        record["stages"][stage.name] = {"seconds": round(time.perf_counter() - begin, 3)}
        run_log.write_json(directory / "run.json", record)
        run_log.mark_done(directory, stage.name)


def begin_record(directory: Path) -> None:
    """Write run.json of a run that trains nothing."""
    record = {**environment.describe(), "replicas": [], "stages": {}}
    run_log.write_json(directory / run_log.RECORD, record)


def remedy(directory: Path, stage: str) -> str:
    """Return how to fix a damaged file of a stage."""
    return f"remove it and {directory / f'{stage}.done'}, and give the same command again"


def kept_parameters(
    checkpoints: Checkpoints,
    ensemble: Ensemble,
    plan: loop.Schedule,
    directory: Path,
    carried: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Yield the kept steps and their parameters [R, ...]; report and skip damaged ones.

    With a carry (`carried`), they are (params, carry).

    Raises:
        CheckpointError: the last step is missing or damaged.
    """
    if plan.total not in checkpoints.steps():
        raise CheckpointError(f"{directory / 'checkpoints'} has no checkpoint of step {plan.total}")
    abstract = ensemble.shapes()
    for step in sorted(plan.kept & set(checkpoints.steps())):
        try:
            if carried:
                state = checkpoints.load(step, abstract)
                yield step, (state.params, state.carry)
            else:
                yield step, checkpoints.load_params(step, abstract.params)
        except CheckpointError as error:
            if step == plan.total:
                raise CheckpointError(
                    f"{error}; remove {directory / 'train.done'} and give the same command "
                    "again to train on from the checkpoint before it"
                ) from error
            print(f"warning: {error}; left out of the analysis", flush=True)


def evaluations(directory: Path, plan: loop.Schedule) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl of a trained run; report and skip lost ones.

    Raises:
        RunError: the line of the last step is lost.
    """
    records = run_log.read_metrics(directory)
    lost = run_log.lost_evaluations(directory, records, plan.evaluations | {0, plan.total})
    if lost and (not records or records[-1]["step"] != plan.total):
        raise run_log.RunError(lost)
    if lost:
        print(f"warning: {lost}; left out of the analysis", flush=True)
    return records


def in_groups(
    values: Callable[..., Any], ensemble: Ensemble, group: int
) -> Callable[..., Iterator[Group]]:
    """Return `groups(params[R, ...], own[R, ...])`, which yields `values` group by group.

    `values(params, own)` is a function of ONE replica. Only the values of up to `group` replicas
    are in memory at once.
    """
    compiled = over_replicas(values, ensemble.mesh, ensemble.mode, mapped=2)
    group = min(ensemble.count, max(1, group))

    def groups(params: Any, own: Any) -> Iterator[Group]:
        for first in range(0, ensemble.count, group):
            last = min(first + group, ensemble.count)
            # The last group overlaps the previous one, so that one program serves all.
            start = last - group
            some = jax.tree.map(
                lambda leaf, start=start, last=last: leaf[start:last], (params, own)
            )
            with jax.default_matmul_precision("highest"):
                outputs = to_host(compiled(*pad(some, ensemble.mesh)), group)
            yield (
                slice(first, last),
                jax.tree.map(lambda leaf, past=first - start: leaf[past:], outputs),
            )

    return groups


def diverged_steps(directory: Path, finite: np.ndarray) -> list[int | None]:
    """Return, for each replica, the step at which it diverged, or None.

    `finite` [R] says whether its final outputs are finite: the last step may make them nonfinite
    without affecting any training loss.
    """
    record = run_log.read_record(directory)
    last = record["stages"][STAGE]["last_step"]
    return [
        step if step is not None or ok else last
        for step, ok in zip(record["diverged"], finite, strict=True)
    ]
