"""Measure what the replicas learned, and how long it took: from the last checkpoint and metrics."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import stages
from experiments.degree_curriculum import problem as problems
from experiments.degree_curriculum import settings
from experiments.degree_curriculum.train import build_ensemble, schedule
from pvr_jax.analysis import learned
from pvr_jax.boolean import float64
from pvr_jax.training import run, run_log
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.curriculum import CurriculumState, Samples, iterations_at
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import to_host
from pvr_jax.training.state import State

MEASURES_FILE = "measures.json"
STAGE = run.Stage("analyse", after=run.STAGE, product=MEASURES_FILE)
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.json of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    run_log.write_json(directory / MEASURES_FILE, _measures(config, directory))


def _measures(config: ConfigDict, directory: Path) -> dict[str, Any]:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    state = _last_state(config, members, directory)
    replicas = problems.make_replicas(problem)
    draw = jax.jit(jax.vmap(lambda key, given: problems.sampler(problem)(key, **given)))
    samples = to_host(draw(replicas.data_key, replicas.conditions), members.count)
    final = final_measures(members, problem, state, samples)
    records = run.evaluations(directory, schedule(config))
    diverged = run.diverged_steps(directory, final["finite"])
    progress = to_host(state.carry, members.count)
    return document(config, problem, records, final, progress, samples, diverged)


def _last_state(config: ConfigDict, members: Ensemble, directory: Path) -> State:
    """Return the state after the last epoch.

    Raises:
        CheckpointError: its checkpoint is missing or damaged.
    """
    identity, last = settings.identity(config), schedule(config).total
    with Checkpoints(directory / "checkpoints", identity, read_only=True) as checkpoints:
        state, passed_over = checkpoints.restore(members.shapes())
    if state is None or int(state.step[0]) != last:
        reason = passed_over[0] if passed_over else f"{directory} has no checkpoint of epoch {last}"
        raise CheckpointError(
            f"{reason}; remove {directory / 'train.done'} and give the same command again to train "
            "on from the checkpoint before it"
        )
    return state


def final_measures(
    members: Ensemble, problem: problems.Problem, state: State, samples: Samples
) -> dict[str, np.ndarray]:
    """Return the measures [R, ...] of the last functions in float64, and whether they are finite.

    samples: of all replicas, [R, N].
    """

    def values(params: Any) -> jax.Array:
        return learned.on_cube(problem.model.apply, params, problem.task.n)

    found: list[dict[str, np.ndarray]] = []
    measure = jax.jit(jax.vmap(problems.measure, in_axes=(0, None, 0, 0)))
    for some, outputs in run.in_groups(values, members, GROUP >> problem.task.n)(state.params):
        own = {name: samples[name][some] for name in ("number", "present")}
        with float64.exact():
            functions = jnp.asarray(outputs, jnp.float64)
            truth = jnp.asarray(problem.truth, jnp.float64)
            measured = measure(functions, truth, own["number"], own["present"])
            measured["finite"] = jnp.isfinite(functions).all(axis=1)
            found.append(jax.tree.map(np.asarray, measured))
    return {name: np.concatenate([group[name] for group in found]) for name in found[0]}


def document(
    config: ConfigDict,
    problem: problems.Problem,
    records: list[dict[str, Any]],
    final: dict[str, np.ndarray],
    progress: CurriculumState,
    samples: Samples,
    diverged: list[int | None],
) -> dict[str, Any]:
    """Return measures.json: columns over [epochs][replicas].

    The last row is `final`, in float64; the others are the evaluations of training, in its type.
    """
    epochs = np.array([record["step"] for record in records])
    names = [name for name in final if name != "finite"]
    columns = {name: [record[name] for record in records[:-1]] + [final[name]] for name in names}
    profile = columns.pop("degree_profile")
    whole = np.bitwise_count(np.arange(2**problem.task.n))
    target_mass = np.bincount(whole, weights=float64.exact_spectrum(problem.truth) ** 2)
    return {
        "experiment": config.experiment,
        "size": config.size,
        "task": problem.task.name,
        "n": problem.task.n,
        "model": config.model.name,
        "optimizer": config.train.optimizer,
        "loss": "half squared error",
        "threshold": config.curriculum.threshold,
        "batch_size": config.data.batch_size,
        "epochs": epochs,
        "half_variance": float(np.var(problem.truth) / 2),
        "target_degree_profile": target_mass,
        "replicas": [
            _replica(problem, progress, samples, diverged, index)
            for index in range(len(problem.seeds))
        ],
        "iterations": np.stack(
            [
                iterations_at(
                    epochs,
                    progress.stage_epochs[index],
                    progress.stage_iterations[index],
                    int(progress.iterations[index]),
                )
                for index in range(len(problem.seeds))
            ],
            axis=1,
        ),
        "batch_loss": [record["batch_loss"] for record in records],
        "measures": columns,
        "degree_profile": profile,
    }


def _replica(
    problem: problems.Problem,
    progress: CurriculumState,
    samples: Samples,
    diverged: list[int | None],
    index: int,
) -> dict[str, Any]:
    """Return what one replica is and how far it came; its stages are those that it passed."""
    leap = int(problem.leaps[index])
    finished = int(progress.finished_at[index])
    passed = np.flatnonzero(progress.stage_epochs[index] >= 0)
    # The last stage passed leaves the radius as it is.
    first = int(progress.radius[index]) - leap * (len(passed) - (finished >= 0))
    levels = samples["level"][index][samples["present"][index]]
    return {
        "name": problem.names[index],
        "seed": int(problem.seeds[index]),
        "leap": leap,
        "samples": int(problem.samples[index]),
        "learning_rate": float(problem.rates[index]),
        "init_scale": float(problem.scales[index]),
        "diverged_at": diverged[index],
        "finished": finished >= 0,
        "iterations": int(progress.iterations[index]),
        "epochs": finished if finished >= 0 else None,
        "radius": int(progress.radius[index]),
        "stages": [
            {
                "radius": first + leap * stage,
                "samples": int(np.sum(levels <= first + leap * stage)),
                "epochs": int(progress.stage_epochs[index][stage]),
                "iterations": int(progress.stage_iterations[index][stage]),
            }
            for stage in map(int, passed)
        ],
    }
