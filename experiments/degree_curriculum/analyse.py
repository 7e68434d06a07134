"""Measure what the replicas learned, and how long it took: from the last checkpoint and metrics."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from experiments import stages
from experiments.degree_curriculum import problem as problems
from experiments.degree_curriculum import settings
from experiments.degree_curriculum.train import build_ensemble, schedule
from pvr_jax import results
from pvr_jax.analysis import learned
from pvr_jax.boolean import float64
from pvr_jax.results import Measure
from pvr_jax.training import run
from pvr_jax.training.checkpoint import CheckpointError, Checkpoints
from pvr_jax.training.curriculum import CurriculumState, Samples, iterations_at
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import to_host
from pvr_jax.training.state import State

STAGE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
_ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
_STAGE = {"kind": "state", "dims": ("stage",)}
MEASURES = {
    "generalization_error": Measure("error", "½E(g − f)².", domain="whole cube", **_ERROR),
    "in_distribution_error": Measure(
        "training error",
        "½E(g − f)², a sample that was drawn twice counting twice.",
        domain="training samples",
        **_ERROR,
    ),
    "target_coefficient": Measure(
        "learned share of the target",
        "The projection of the learned function g on the target f; for a parity its coefficient.",
        symbol="E[gf] / E[f²]",
    ),
    "degree_profile": Measure(
        "Fourier mass",
        "Sum of the squared Fourier coefficients of a degree.",
        bounds=(0, math.inf),
        dims=("degree",),
    ),
    "batch_loss": Measure(
        "batch loss",
        "Mean squared error of an epoch's batches.",
        units="squared error",
        bounds=(0, math.inf),
    ),
    "iterations": Measure(
        "iterations",
        "Optimizer steps taken, each on one batch.",
        bounds=(0, math.inf),
        kind="state",
    ),
    "finished": Measure("ended", "Whether the last stage was passed.", kind="state"),
    "epochs_to_end": Measure(
        "epochs", "Epochs until the last stage was passed, or −1.", kind="state"
    ),
    "stage_end": Measure(
        "end of the stage", "Optimizer steps until a stage was passed, or −1.", **_STAGE
    ),
    "radius": Measure(
        "radius", "Entries −1, at most, of the samples that a stage shows.", **_STAGE
    ),
    "samples_inside": Measure("samples inside", "Samples that a stage shows.", **_STAGE),
    "constant_error": Measure(
        "error of the best constant", "½ Var f.", domain="whole cube", kind="exact", **_ERROR
    ),
    "target_degree_profile": Measure(
        "Fourier mass of the target",
        "Sum of the squared Fourier coefficients of a degree.",
        kind="exact",
        dims=("degree",),
    ),
}
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    results.write(directory / results.MEASURES_FILE, _measures(config, directory))


def _measures(config: ConfigDict, directory: Path) -> xr.Dataset:
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
    return labeled(config, problem, records, final, progress, samples, diverged)


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
        with jax.enable_x64(True):
            functions = jnp.asarray(outputs, jnp.float64)
            truth = jnp.asarray(problem.truth, jnp.float64)
            measured = measure(functions, truth, own["number"], own["present"])
            measured["finite"] = jnp.isfinite(functions).all(axis=1)
            found.append(jax.tree.map(np.asarray, measured))
    return {name: np.concatenate([group[name] for group in found]) for name in found[0]}


def labeled(
    config: ConfigDict,
    problem: problems.Problem,
    records: list[dict[str, Any]],
    final: dict[str, np.ndarray],
    progress: CurriculumState,
    samples: Samples,
    diverged: list[int | None],
) -> xr.Dataset:
    """Return the measures of a run.

    The last step is `final`, in float64; the others are the evaluations of training, in its type.
    """
    epochs = np.array([record["step"] for record in records])
    names = [name for name in final if name != "finite"]
    measured = {n: np.stack([*(r[n] for r in records[:-1]), final[n]]).astype(float) for n in names}
    degree_of = np.bitwise_count(np.arange(2**problem.task.n))
    passed = [
        iterations_at(epochs, progress.stage_epochs[r], progress.stage_iterations[r], int(total))
        for r, total in enumerate(progress.iterations)
    ]
    values = measured | {
        "iterations": np.stack(passed, axis=1),
        "batch_loss": np.array([record["batch_loss"] for record in records], float),
        "finished": progress.finished_at >= 0,
        "epochs_to_end": progress.finished_at,
        "stage_end": progress.stage_iterations,
        **_stages(problem, progress, samples),
        "constant_error": float(np.var(problem.truth) / 2),
        "target_degree_profile": np.bincount(
            degree_of, weights=float64.exact_spectrum(problem.truth) ** 2
        ),
    }
    replicas = pd.DataFrame(
        {
            "name": problem.names,
            "seed": problem.seeds,
            "learning_rate": problem.rates,
            "init_scale": problem.scales,
            "samples": problem.samples,
            "leap": problem.leaps,
            "diverged_at": [-1 if epoch is None else epoch for epoch in diverged],
        }
    )
    return results.dataset(
        replicas,
        values,
        MEASURES,
        steps=epochs,
        experiment=config.experiment,
        run=settings.run_name(config),
        task=problem.task.name,
        model=config.model.name,
        optimizer=config.train.optimizer,
        size=config.size,
        n=problem.task.n,
        step_unit="epoch",
        config=config.to_dict(),
    )


def _stages(
    problem: problems.Problem, progress: CurriculumState, samples: Samples
) -> dict[str, np.ndarray]:
    """Return the radius of every stage [R, S], and how many samples lie inside."""
    count = len(problem.leaps)
    passed = (progress.stage_epochs >= 0).sum(axis=1)
    # The last stage passed leaves the radius as it is.
    first = progress.radius - problem.leaps * (passed - (progress.finished_at >= 0))
    radius = first[:, None] + problem.leaps[:, None] * np.arange(progress.stage_epochs.shape[1])
    levels = np.where(samples["present"], samples["level"], np.iinfo(np.int32).max)
    inside = [(levels[r][:, None] <= radius[r]).sum(axis=0) for r in range(count)]
    return {"radius": radius, "samples_inside": np.array(inside)}
