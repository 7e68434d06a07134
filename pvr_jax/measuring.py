"""Measure trained replicas, from checkpoints and from the log of evaluations."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from pvr_jax import outputs_file, results
from pvr_jax.boolean import float64
from pvr_jax.building import ALL, Built, Part, build
from pvr_jax.experiment import Arrays, Computed, End, Experiment, Program
from pvr_jax.results import Measure
from pvr_jax.training import hosts, run, run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.progress import ProgressDisplay
from pvr_jax.training.replicas import to_host
from pvr_jax.training.state import State

# Values measured at once: 2^22 in float64 are 32 MB.
GROUP = 1 << 22


def write_measures(
    experiment: Experiment,
    configs: Sequence[ConfigDict],
    directory: Path,
    identity: str,
    outputs: Sequence[Path],
    part: Part = ALL,
) -> list[list[int | None]]:
    """Measure what was trained in `directory`; write each configuration's results to its output.

    Steps with a checkpoint are measured from it, in float64; other steps are those that training
    evaluated, in its arithmetic.

    Returns:
        For each configuration, the step at which each replica diverged, or None.
    """
    built = build(experiment, configs, part)
    count, total = built.ensemble.count, built.schedule.total
    drawn = draws(built)
    every = configs[0].evaluation.get("spectra") == "all"
    measured, params = {}, None
    with (
        Checkpoints(directory / "checkpoints", identity, read_only=True) as checkpoints,
        contextlib.ExitStack() as held,
    ):
        measure = measure_of(built, drawn)
        append, finish = _kept(experiment, built, outputs, held)
        kept = partial(
            run.kept_parameters,
            checkpoints,
            built.ensemble,
            built.schedule,
            directory,
            built.programs[0].carry is not None,
        )
        count_kept = len(built.schedule.kept & set(checkpoints.steps()))
        with ProgressDisplay(count_kept, speaks=hosts.is_primary()) as display:
            for step, params in display.follow(kept(), lambda item: f"step {item[0]}/{total}"):
                is_last = step == total
                keep = partial(append, step) if append and (is_last or every) else None
                measured[step] = measure(params, keep, is_last)
        finish()
        lost = run.diverged_steps(directory, measured[total].pop("finite"))
        records = {record["step"]: record for record in run.evaluations(directory, built.schedule)}
        steps, values, last = along_training(experiment, measured, records)
        looks = run_log.read_record(directory).get("looks")
        planned = {"looks": looks} if looks else {}
        state = cache(lambda: to_host(last_state(checkpoints, built, directory), count))
        for own, *what in zip(
            built.slices, configs, built.programs, built.tables, outputs, strict=True
        ):
            config, program, table, output = what
            rows = partial(jax.tree.map, lambda leaf, own=own: leaf[own])
            end = End(
                params=rows(params),
                state=lambda rows=rows: rows(state()),
                kept=lambda rows=rows: ((step, rows(params)) for step, params in kept()),
                drawn=rows(drawn),
                replicas=table.assign(diverged_at=[-1 if at is None else at for at in lost[own]]),
                steps=steps,
                values={**{n: v[:, own] for n, v in values.items()}, **rows(last)},
            )
            found = dataset(experiment, config, program, end).assign_attrs(planned)
            results.write(output / results.MEASURES_FILE, found)
    return [lost[own] for own in built.slices]


def draws(built: Built) -> Arrays:
    """Return what each replica draws, [R, ...], on the host; see `Program.draw`."""
    draw = jax.jit(jax.vmap(lambda key, own: built.programs[0].draw(key, **own)))
    count = built.ensemble.count
    own = jax.tree.map(lambda leaf: leaf[:count], built.replicas)
    return to_host(draw(own.data_key, own.conditions), count)


def measure_of(built: Built, drawn: Arrays) -> Callable[..., Arrays]:
    """Return `measure(params, keep, is_last) -> {name: array[R, ...]}`, in float64.

    It passes what is kept of each group of replicas to `keep(group, rows)`.
    """
    program, ensemble = built.programs[0], built.ensemble
    conditions = to_host(built.replicas.conditions, ensemble.count)
    size = max(1, GROUP // program.outputs_size)
    groups = run.in_groups(
        lambda params, own: program.outputs(params, own["drawn"], **own["conditions"]),
        ensemble,
        size,
    )

    def of_each(function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(jax.vmap(lambda outputs, own, given: function(outputs, own, **given)))

    compiled, rows_of = of_each(program.measure), of_each(program.keep or (lambda outputs, _: 0))

    def measure(params: Any, keep: Callable[..., None] | None, is_last: bool) -> Arrays:
        found = []
        for group, outputs in groups(params, {"drawn": drawn, "conditions": conditions}):
            own, given = jax.tree.map(lambda leaf, group=group: leaf[group], (drawn, conditions))
            with float64.exact():
                exact = jax.tree.map(_in_float64, outputs)
                if keep:
                    keep(group, outputs if program.keep is None else rows_of(exact, own, given))
                values = dict(compiled(exact, own, given))
                values["finite"] = _finite(outputs)
                values = jax.tree.map(np.asarray, values)
            found.append({**values, **(program.of_last(outputs) if is_last else {})})
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    return measure


def _in_float64(leaf: np.ndarray) -> jax.Array:
    return jax.device_put(leaf.astype(np.float64) if leaf.dtype.kind == "f" else leaf)


def _finite(outputs: Any) -> np.ndarray:
    """Return for each replica whether all its outputs are finite, bool [r]."""
    each = [
        np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in jax.tree.leaves(outputs)
    ]
    return np.all(each, axis=0)


def _kept(
    experiment: Experiment, built: Built, outputs: Sequence[Path], held: contextlib.ExitStack
) -> tuple[Callable[..., None] | None, Callable[[], None]]:
    """Return `append(step, group, rows)`, None if nothing is kept, and `finish()`."""
    if experiment.kept is None:
        return None, lambda: None
    kept = replace(experiment.kept, of=np.asarray) if built.programs[0].keep else experiment.kept
    files = [
        held.enter_context(outputs_file.Writer(kept, *own))
        for own in zip(
            outputs,
            map(len, built.tables),
            (program.kept_beside for program in built.programs),
            strict=True,
        )
    ]

    def append(step: int, group: slice, rows: np.ndarray) -> None:
        for file, own in zip(files, built.slices, strict=True):
            first, last = max(own.start, group.start), min(own.stop, group.stop)
            if first < last:
                file.append(step, rows[first - group.start : last - group.start])

    return append, lambda: [file.finish() for file in files]


def along_training(
    experiment: Experiment, measured: Mapping[int, Arrays], records: Mapping[int, Arrays]
) -> tuple[np.ndarray, Arrays, Arrays]:
    """Join the measures of checkpoints with those of evaluations.

    Args:
        experiment: if `batch_loss` is one of its measures, the batch loss is kept.
        measured: measures of every checkpoint.
        records: measures of every evaluation; missing ones, or those of another shape, become NaN.

    Returns:
        The steps [T], the measures at all steps [T, R, ...], and those of the last step [R, ...].
    """
    steps = sorted({*measured, *records})
    last = {name: np.asarray(value, float) for name, value in measured[steps[-1]].items()}
    logged = {name for record in records.values() for name in record}
    names = [name for name in last if name in logged]
    like = dict(last)
    if "batch_loss" in experiment.measures and "batch_loss" in logged:
        names.append("batch_loss")
        like["batch_loss"] = last[names[0]].reshape(len(last[names[0]]), -1)[:, 0]
    at = {step: {**records.get(step, {}), **measured.get(step, {})} for step in steps}
    values = {name: np.stack([_like(at[s].get(name), like[name]) for s in steps]) for name in names}
    return np.array(steps), values, {n: v for n, v in last.items() if n not in logged}


def _like(row: Any, last: np.ndarray) -> np.ndarray:
    row = np.asarray(np.nan if row is None else row, float)
    return row if row.shape == last.shape else np.full_like(last, np.nan)


def dataset(experiment: Experiment, config: ConfigDict, program: Program, end: End) -> xr.Dataset:
    """Return the dataset measures.nc of a run."""
    attributes = {"step_unit": program.step_unit, **program.attributes}
    values = {**end.values, **program.at_the_end(end), **program.exact}
    values = {name: value for name, value in values.items() if value is not None}
    known = {**experiment.measures, **program.measures}
    unknown = {name: _unknown(name, end.values[name]) for name in values if name not in known}
    return results.dataset(
        end.replicas,
        values,
        known | unknown,
        steps=end.steps,
        coordinates=program.coordinates,
        **(attributes_of(experiment, config) | attributes),
    )


def computed(experiment: Experiment, config: ConfigDict, found: Computed) -> xr.Dataset:
    """Return the dataset measures.nc of values computed without training."""
    replicas = found.replicas
    return results.dataset(
        None if replicas is None else replicas.assign(diverged_at=-1),
        found.values,
        experiment.measures,
        coordinates=found.coordinates,
        **attributes_of(experiment, config),
    )


def attributes_of(experiment: Experiment, config: ConfigDict) -> dict[str, Any]:
    """Return the attributes of a dataset that describe its run."""
    task, model, train = (config.get(part, {}) for part in ("task", "model", "train"))
    attributes = {
        "experiment": experiment.name,
        "run": experiment.run_name(config),
        "task": task.get("name", experiment.name),
        "model": model.get("name", "none"),
        "optimizer": train.get("optimizer"),
        "size": config.size,
        "n": task.get("n"),
        "config": config.to_dict(),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _unknown(name: str, values: np.ndarray) -> Measure:
    """Describe a measure that is in a registry but not in the experiment."""
    own = tuple(f"{name}_{axis}" for axis in range(values.ndim - 2))
    return Measure(
        name.replace("_", " "), "Added to a registry of measures, without a description.", dims=own
    )


def last_state(checkpoints: Checkpoints, built: Built, directory: Path) -> State:
    """Return the state after the last step.

    Raises:
        CheckpointError: its checkpoint is missing or damaged.
    """
    state, passed_over = checkpoints.restore(built.ensemble.shapes())
    if state is None or int(state.step[0]) != built.schedule.total:
        reason = passed_over[0] if passed_over else f"{directory} has no last checkpoint"
        raise CheckpointError(reason)
    return state
