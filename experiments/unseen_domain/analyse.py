"""Measure what the replicas learned, from the checkpoints alone."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr
from ml_collections import ConfigDict

from experiments.unseen_domain import problem as problems
from experiments.unseen_domain import settings
from experiments.unseen_domain.train import build_ensemble, schedule
from pvr_jax import results, stages, theory
from pvr_jax.boolean import float64
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.training import run, run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.run import Group

STAGE = run.Stage("analyse", after=run.STAGE, product=results.MEASURES_FILE)
LEARNED_FILE = "learned.npz"
# Numbers of learned functions that are measured together: 2^22 in float64 are 32 MB.
GROUP = 1 << 22
NO_MASS = 1e-12  # of the whole; below it a degree of the min-degree interpolator is empty
_ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
_MASS = {"bounds": (0, math.inf)}
_EXACT = {"kind": "exact"}
MEASURES = {
    "generalization_error": Measure(
        "generalization error",
        "½E(g − f)², g learned, f the target.",
        domain="whole cube",
        **_ERROR,
    ),
    "in_distribution_error": Measure(
        "in-distribution error", "½E(g − f)² over the inputs seen.", domain="seen inputs", **_ERROR
    ),
    "unseen_error": Measure(
        "unseen error", "½E(g − f)² over the inputs held out.", domain="unseen inputs", **_ERROR
    ),
    "distance": Measure(
        "distance to MDI, whole cube",
        "½E(g − m)², m the min-degree interpolator (MDI): half the squared distance of all "
        "coefficients.",
        domain="whole cube",
        **_ERROR,
    ),
    "unseen_distance": Measure(
        "distance to MDI",
        "½E(g − m)² over the inputs held out, m the min-degree interpolator (MDI): 0 for the MDI; "
        "for the target it is the MDI's own unseen error.",
        domain="unseen inputs",
        **_ERROR,
    ),
    "dropped_share": Measure(
        "dropped monomials learned",
        "Over the monomials that the target has and the MDI drops: 0 as the MDI, 1 as the target. "
        "What is above 0 leaks.",
        symbol="Σ ĝ(S) f̂(S) / Σ f̂(S)²",
    ),
    "degree_temperature": Measure(
        "degree temperature",
        "How soft the preference for low degrees is: the ρ for which the interpolator of the noise "
        "kernel Π (1 + ρ xᵢ x′ᵢ) is nearest to g on the unseen inputs. 0: the MDI; 1: a function "
        "that is 0 wherever training did not look.",
        bounds=(0, 1),
        domain="unseen inputs",
    ),
    "mass_above": Measure(
        "mass above degree r",
        "Sum of the squared coefficients of g of more than r coordinates, r the degree of the MDI, "
        "which has none.",
        **_MASS,
    ),
    "coefficients": Measure(
        "learned coefficient",
        "Fourier coefficient of g; followed are those monomials of which target and MDI have most "
        "different ones.",
        symbol="ĝ(S)",
        dims=("monomial",),
    ),
    "degree_profile": Measure(
        "Fourier mass",
        "Sum of the squared Fourier coefficients of a degree.",
        dims=("degree",),
        **_MASS,
    ),
    "target": Measure("target", "f, on inputs x in {−1, +1}ⁿ.", **_EXACT),
    "seen": Measure("seen inputs", "Which inputs training shows.", **_EXACT),
    "seen_fraction": Measure("share seen", "Share of the inputs that are seen.", **_EXACT),
    "evaluated": Measure("evaluated on", "The inputs that measures average over.", **_EXACT),
    "training_samples": Measure("training samples", "Rows of an epoch.", **_EXACT),
    "target_mean_square": Measure(
        "E f²", "Mean square of the target.", domain="whole cube", **_EXACT
    ),
    "seen_variance": Measure(
        "variance of the target",
        "Var f over the seen inputs; E f² where f is constant there.",
        domain="seen inputs",
        **_EXACT,
    ),
    "highest_degree": Measure("r", "The degree of the MDI, if any is above it.", **_EXACT),
    "target_mass_above": Measure(
        "target's mass there", "Mass of the target above degree r.", **_EXACT
    ),
    "target_coefficients": Measure(
        "target", "Fourier coefficient of the target.", dims=("monomial",), **_EXACT
    ),
    "target_degree_profile": Measure(
        "Fourier mass of the target", "Of every degree.", dims=("degree",), **_EXACT
    ),
    "min_degree_profile": Measure(
        "Fourier mass of the MDI", "Of every degree.", dims=("degree",), **_EXACT
    ),
}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def analyse(config: ConfigDict, workdir: Path) -> Path:
    """Write measures.nc and learned.npz of a trained run; returns the run directory.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not trained to its end.
        RunError: the directory is in use, or its last checkpoint cannot be read.
    """
    return stages.follow(settings, config, workdir, STAGE, _analyse)


def _analyse(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    members = build_ensemble(config, problem)
    plan = schedule(config, problem)
    values = problems.values_of(problem, config.evaluation.chunk)
    functions = run.in_groups(values, members, GROUP // len(problem.truth))
    steps: list[int] = []
    measured: list[dict[str, np.ndarray]] = []
    last = np.empty((members.count, len(problem.truth)), np.float32)
    with Checkpoints(
        directory / "checkpoints", settings.identity(config), read_only=True
    ) as checkpoints:
        for step, params in run.kept_parameters(checkpoints, members, plan, directory):
            steps.append(step)
            measured.append(_measure(problem, functions(params), last))
    run_log.write_arrays(directory / LEARNED_FILE, values=last)
    finite = np.isfinite(last).all(axis=1)
    diverged = run.diverged_steps(directory, finite)
    measures = {name: np.stack([at_step[name] for at_step in measured]) for name in measured[0]}
    measures["degree_temperature"] = degree_temperatures(problem, last)
    results.write(
        directory / results.MEASURES_FILE, labeled(config, problem, steps, measures, diverged)
    )


def _measure(
    problem: problems.Problem, groups: Iterator[Group], last: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure all replicas in float64, and leave their functions in `last` [R, P]."""
    parts = []
    with float64.exact():
        measures = jax.jit(jax.vmap(problems.measures_of(problem, np.float64)))
    for some, values in groups:
        last[some] = values
        with float64.exact():
            parts.append(jax.tree.map(np.asarray, measures(values.astype(np.float64))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def degree_temperatures(problem: problems.Problem, learned: np.ndarray) -> np.ndarray:
    """Return the degree temperature [R] of learned functions [R, 2^n].

    NaN where the cube is only sampled, and where the seen set is too large for a search.
    """
    found = np.full(len(learned), np.nan)
    if not problem.exact:
        return found
    for i, values in enumerate(learned):
        if np.isfinite(values).all():
            try:
                found[i] = theory.degree_temperature(values, problem.truth, problem.seen)
            except (Refusal, np.linalg.LinAlgError):  # the seen set is too large a problem
                break
    return found


def labeled(
    config: ConfigDict,
    problem: problems.Problem,
    steps: list[int],
    measured: dict[str, np.ndarray],
    diverged: list[int | None],
) -> xr.Dataset:
    """Return the measures of a run, [step, replica, …], with what is known of target and MDI."""
    task = problem.task
    replicas = pd.DataFrame(
        {
            "name": problem.names,
            "seed": problem.replica_seeds,
            "learning_rate": problem.replica_rates,
            "init_scale": problem.replica_scales,
            "diverged_at": [-1 if step is None else step for step in diverged],
        }
    )
    named = [monomial_text(monomial["coordinates"]) for monomial in problem.monomials]
    return results.dataset(
        replicas,
        measured | facts(problem) | degrees(problem, measured.get("degree_profile")),
        MEASURES,
        steps=steps,
        coordinates={"monomial": named},
        experiment=config.experiment,
        run=settings.run_name(config),
        task=config.setting or plain(task.params.get("expression") or task.name),
        model=config.model.name,
        optimizer=config.train.optimizer,
        size=config.size,
        n=task.n,
        step_unit="step",
        steps_per_epoch=problem.training_set.steps_per_epoch,
        config=config.to_dict(),
    )


def facts(problem: problems.Problem) -> dict[str, Any]:
    """Return what is known exactly of the target and the seen set."""
    task, reference, count = problem.task, problem.reference, len(problem.truth)
    parameters = ", ".join(f"{k} = {v}" for k, v in task.params.items() if v is not None)
    mean_square = float(np.mean(np.square(reference.truth)))
    return {
        "target": plain(task.params.get("expression") or f"{task.name} ({parameters})"),
        "seen": plain(problem.seen_set.words),
        "seen_fraction": float(reference.seen.mean()),
        "evaluated": "every input" if problem.exact else f"{count:,} random inputs",
        "training_samples": problem.training_set.samples,
        # Of the coordinates that matter, so of the whole cube, whatever is sampled or followed.
        "target_mean_square": mean_square,
        "seen_variance": float(np.var(reference.truth[reference.seen])) or mean_square,
        "target_coefficients": [monomial["target"] for monomial in problem.monomials],
    }


def degrees(problem: problems.Problem, learned: np.ndarray | None) -> dict[str, Any]:
    """Return the masses of target and MDI by degree, and what is learned [T, R] above the MDI's.

    Nothing of a cube that is only sampled, nor of what has no degree above it.
    """
    if learned is None:
        return {}
    target, least = (_profile(f) for f in (problem.truth, problem.interpolator))
    found: dict[str, Any] = {"target_degree_profile": target}
    if np.isnan(least).any():
        return found
    filled = np.flatnonzero(least > NO_MASS * least.sum())
    degree = int(filled[-1]) if len(filled) else 0
    found["min_degree_profile"] = least
    if degree < problem.task.n:
        found["highest_degree"] = degree
        found["target_mass_above"] = float(target[degree + 1 :].sum())
        found["mass_above"] = learned[..., degree + 1 :].sum(axis=-1)
    return found


def _profile(values: np.ndarray) -> np.ndarray:
    """Return the degree profile [n + 1] of a function on the whole cube."""
    spectrum = float64.spectrum(values)
    return np.bincount(np.bitwise_count(np.arange(spectrum.size)), weights=np.square(spectrum))


def monomial_text(coordinates: list[int]) -> str:
    """Return the product of the coordinates, such as x₀x₁ or x₀…x₁₄; the empty one is 1."""
    parts: list[list[int]] = []
    for i in sorted(coordinates):
        if parts and i == parts[-1][-1] + 1:
            parts[-1].append(i)
        else:
            parts.append([i])
    named = [[f"x{i}".translate(_SUBSCRIPTS) for i in part] for part in parts]
    texts = (f"{n[0]}…{n[-1]}" if len(n) > 3 else "".join(n) for n in named)
    return "".join(texts) or "1"


def plain(text: str) -> str:
    """Return a formula as one reads it: an asterisk would start italics in Markdown."""
    return text.replace("**", "^").replace("*", "·").replace("|", "or")
