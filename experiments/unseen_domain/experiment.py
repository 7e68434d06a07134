"""Generalization on the unseen: replicas are trained on part of the cube, and compared off it.

Abbe et al. 2023: low-degree bias predicts the min-degree interpolator there.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.unseen_domain.measures import MEASURES, PREDICTIONS
from experiments.unseen_domain.reference import (
    MAX_BITS,
    Points,
    Reference,
    points_of,
    reference_of,
    refuse_irrelevant,
    seen_set_of,
    tracked_monomials,
)
from experiments.unseen_domain.theories import empirical_ntk, min_degree, wide_ntk
from pvr_jax import checks, tasks, theory
from pvr_jax.analysis import learned, unseen
from pvr_jax.boolean import cube, fourier
from pvr_jax.experiment import Arrays, End, Experiment, Program, model_of, task_of
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.refusal import Refusal
from pvr_jax.tasks import datasets
from pvr_jax.tasks.contents import Content, of_problem
from pvr_jax.training import fields
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.shown_rows import count_rows

NO_MASS = 1e-12  # of the whole; below it a degree of the min-degree interpolator is empty
# Measures that average over the seen or the unseen points, and so over all that are tested.
OF_PARTS = ("in_distribution_error", "unseen_error", "unseen_distance")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def training_set_of(
    config: ConfigDict, task: tasks.Task, seen: tasks.SeenSet
) -> datasets.TrainingSet:
    """Return the training set of a configuration; errors name the field."""
    mask = None
    if task.n <= MAX_BITS:
        mask = fields.prefix_errors("config.holdout.", seen.mask)
    if config.data.source != "whole":
        fields.prefix_errors("config.holdout.", lambda: seen.sample)
    return fields.prefix_errors(
        "config.data.",
        lambda: datasets.seen_training_set(
            task.target,
            seen,
            mask=mask,
            **datasets.arguments_of(config.data),
        ),
    )


def build(config: ConfigDict, replicas: pd.DataFrame) -> Program:
    """Return what one replica is trained on, and what is measured of it.

    Raises:
        RunError: target or seen set depend on more coordinates than `evaluation.relevant`, or the
            target is not finite; one line.
    """
    task = task_of(config)
    seen_set = seen_set_of(config, task.n)
    reference = reference_of(config)
    points = points_of(config, reference)
    followed = tracked_monomials(reference, config.evaluation.monomials)
    model = model_of(config, task.n)
    training_set = training_set_of(config, task, seen_set)
    truth, seen = points.truth, points.seen
    uniform, is_whole = points.uniform, points.inputs is None
    if reference.truth is None:
        inputs = points.inputs[:uniform]
        characters = np.stack([inputs[:, list(own)].prod(axis=-1) for own in followed.sets])
    else:
        characters = np.asarray(cube.character(followed.indices, reference.n))
        characters = characters[:, points.indices[:uniform]]
    masses = masses_of(reference, task.n) if is_whole else {}
    chunk = min(config.evaluation.chunk, learned.chunk_size())

    def outputs(params: Any, drawn: Arrays) -> jax.Array:
        if is_whole:
            return learned.on_cube(model.apply, params, task.n, 1 << (chunk.bit_length() - 1))
        return learned.at_points(model.apply, params, jnp.asarray(points.inputs), chunk)

    def measure(values: jax.Array, drawn: Arrays) -> Arrays:
        own = (values, truth, seen, points.interpolator, points.dropped)
        own = tuple(jnp.asarray(a, None if a.dtype == bool else values.dtype) for a in own)
        measured = unseen.against_interpolator(*own)
        if uniform < len(truth):
            of_parts = {name: measured[name] for name in OF_PARTS}
            measured = unseen.against_interpolator(*(array[:uniform] for array in own)) | of_parts
        measured["coefficients"] = unseen.coefficients(values[:uniform], jnp.asarray(characters))
        if is_whole:
            measured["degree_profile"] = fourier.degree_profile(fourier.walsh_hadamard(values))
        else:
            measured |= unseen.sampling_errors(*own[:3], uniform)
        return measured

    def mass_above(end: End) -> Arrays:
        if "highest_degree" not in masses:
            return {}
        above = end.values["degree_profile"][..., masses["highest_degree"] + 1 :]
        return {"mass_above": above.sum(axis=-1)}

    return Program(
        init=partial(model.init, x=jnp.ones((1, task.n))),
        outputs=outputs,
        measure=measure,
        apply=model.apply,
        batch=training_set.batch,
        training_rows=partial(check_rows, config, reference, seen_set, training_set),
        of_last=lambda values: {
            "degree_temperature": degree_temperatures(values, truth, seen, is_whole)
        },
        at_the_end=mass_above,
        exact={
            **facts(task, seen_set, reference, points),
            "evaluated": evaluated(reference, points),
            **({"training_rows": rows} if (rows := plain(training_set.description)) else {}),
            "training_samples": training_set.samples,
            "target_coefficients": followed.target,
            **masses,
        },
        coordinates={"monomial": [*map(monomial_text, followed.sets)]},
        attributes={
            "task": config.setting or plain(task.params.get("expression") or task.name),
            "n": task.n,
            "steps_per_epoch": training_set.steps_per_epoch,
        },
        steps_per_epoch=training_set.steps_per_epoch,
        title=f"{config.model.name} on {config.task.name}, seen: {seen_set.description}",
        outputs_size=len(truth),
    )


def check_rows(
    config: ConfigDict,
    reference: Reference,
    seen_set: tasks.SeenSet,
    training_set: datasets.TrainingSet,
    replicas: Replicas,
) -> dict[str, int]:
    """Return for the record how many training rows were looked at: all are seen.

    Raises RunError, one line, if one is not, or if target or seen set are not at all of them what
    their relevant coordinates say.
    """
    epochs = config.train.epochs if config.data.source == "fresh" else 1

    def is_unseen(batch: dict[str, jax.Array]) -> jax.Array:
        x = batch["x"]
        return ~(seen_set.predicate(x) & jnp.all(jnp.abs(x) == 1, axis=-1))

    def is_off(batch: dict[str, jax.Array]) -> jax.Array:
        numbers = reference.indices(batch["x"])
        truth = jnp.asarray(reference.truth, jnp.float32)[numbers]
        y = task.target(batch["x"]) if has_own_labels else batch["y"]
        return ~(reference.is_close(y, truth) & jnp.asarray(reference.seen)[numbers])

    has_own_labels = config.data.source == "rows" or config.data.get("label_noise")
    task, kinds = task_of(config), {"unseen": is_unseen}
    if config.evaluation.relevant:
        kinds["off"] = is_off
    found = count_rows(training_set.batch, kinds, replicas, epochs * training_set.steps_per_epoch)
    refuse_irrelevant(reference, found.pop("off", 0), found["checked"], "training rows")
    return found


def degree_temperatures(
    values: np.ndarray, truth: np.ndarray, seen: np.ndarray, is_whole: bool
) -> np.ndarray:
    """Return the degree temperature [r] of learned functions [r, P].

    NaN where the cube is only sampled, and where the seen set is too large for a search.
    """
    found = np.full(len(values), np.nan)
    for i, own in enumerate(values if is_whole else ()):
        if np.isfinite(own).all():
            try:
                found[i] = theory.degree_temperature(own, truth, seen)
            except (Refusal, np.linalg.LinAlgError):  # the seen set is too large a problem
                break
    return found


def facts(
    task: tasks.Task, seen_set: tasks.SeenSet, reference: Reference, points: Points
) -> dict[str, Any]:
    """Return what is known of the target and the seen set; estimated where nothing exact is."""
    parameters = ", ".join(f"{k} = {v}" for k, v in task.params.items() if v is not None)
    known = {
        "target": plain(task.params.get("expression") or f"{task.name} ({parameters})"),
        "seen": plain(seen_set.description),
    }
    # Of the coordinates that matter, so of the whole cube, whatever is sampled or followed.
    if reference.facts is not None:
        mean_square = reference.facts.mean_square
    else:
        of_cube = points.truth[: points.uniform] if reference.truth is None else reference.truth
        mean_square = float(np.mean(np.square(of_cube)))
    if reference.seen is None:
        shown, share = points.truth[points.seen], seen_set.share
    else:
        shown = reference.truth[reference.seen]
        share = float(reference.seen.mean()) * reference.other_share
    return known | {
        "seen_fraction": share,
        "target_mean_square": mean_square,
        "seen_variance": float(np.var(shown)) or mean_square,
    }


def evaluated(reference: Reference, points: Points) -> str:
    """Say at which inputs networks are measured, and what is not measured."""
    if points.inputs is None:
        return "every input"
    text = f"{len(points.truth):,} random inputs"
    if np.isnan(points.interpolator).all():
        text += "; without the MDI, and what is compared with it"
    if reference.seen is None:
        estimates = "E f² and Var f are estimates"
        if reference.facts is not None or reference.truth is not None:
            estimates = "Var f is an estimate"
        text += f"; {estimates}"
    return text


def masses_of(reference: Reference, n: int) -> dict[str, Any]:
    """Return the masses of target and interpolator by degree, and the interpolator's degree.

    The latter where it is below n. Nothing of an interpolator that is not computed.
    """
    target, least = (
        np.bincount(np.bitwise_count(np.arange(own.size)), np.square(own), minlength=n + 1)
        for own in reference.spectra[:2]
    )
    if reference.not_computed:
        return {"target_degree_profile": target}
    filled = np.flatnonzero(least > NO_MASS * least.sum())
    degree = int(filled[-1]) if len(filled) else 0
    above = {"highest_degree": degree, "target_mass_above": float(target[degree + 1 :].sum())}
    return {
        "target_degree_profile": target,
        "min_degree_profile": least,
        **(above if degree < n else {}),
    }


def monomial_text(coordinates: Collection[int]) -> str:
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


def check(config: ConfigDict) -> None:
    """Refuse what single rules cannot: sections that do not go together."""
    task = task_of(config)
    model_of(config, task.n)
    seen = seen_set_of(config, task.n)
    if config.evaluation.relevant > task.n:
        given = config.evaluation.relevant
        raise checks.invalid("config.evaluation.relevant", given, f"0 to {task.n}")
    if config.evaluation.points == "enumerated" and task.n > MAX_BITS:
        allowed = f"auto or sampled with n = {task.n}; enumerated for n up to {MAX_BITS}"
        raise checks.invalid("config.evaluation.points", config.evaluation.points, allowed)
    training_set_of(config, task, seen)


def as_first_named(document: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the fields of the first runs, which it is named by.

    There `evaluation.points` was the number of points, and whether they were sampled went by n.
    """
    own = document["evaluation"]
    if "samples" not in own:
        return document
    how = {} if own["points"] == "auto" else {"how": own["points"]}
    named = {name: value for name, value in own.items() if name != "samples"}
    return document | {"evaluation": {**named, **how, "points": own["samples"]}}


def contents(config: ConfigDict) -> dict[str, Content]:
    """Return what stands behind the names of task and seen set that are the user's own."""
    task = task_of(config)
    return of_problem(task, seen_set_of(config, task.n))


def name_what_runs(config: ConfigDict, given: Collection[str]) -> None:
    """Clear `config.setting`, a published name, where a field of what it names is among the given.

    Given by hand are fields such as "task.expression". The run is then called by its target, and is
    that of setting=user. A name that was given by hand stays.
    """
    named = {name.partition(".")[0] for name in given} & {"task", "holdout"}
    if config.get("setting") and named and "setting" not in given:
        config.setting = ""


EXPERIMENT = Experiment(
    name="unseen_domain",
    measures=MEASURES,
    build=build,
    rules={
        "holdout.name": checks.text(),
        "holdout.n": checks.absent("the task"),
        **datasets.FIELDS,
        "evaluation.monomials": checks.integer(1, 64),
        "evaluation.relevant": checks.integer(0, MAX_BITS),
        "evaluation.points": checks.one_of("auto", "enumerated", "sampled")._replace(
            allowed="auto, enumerated, sampled (how many is evaluation.samples)"
        ),
        "evaluation.samples": checks.integer(1, 2**20),
        "evaluation.chunk": checks.integer(1, 2**16),
    },
    predict={"min_degree": min_degree, "wide_ntk": wide_ntk, "empirical_ntk": empirical_ntk},
    predictions=PREDICTIONS,
    kept=OutputsFile("learned.npz", "values"),
    check=check,
    named=contents,
    defaults={"train.warmup_steps": 0, "train.decay": "constant"},
    naming=name_what_runs,
    document=as_first_named,
)
