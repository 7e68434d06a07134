"""With one bit frozen in training, what is learned of a Boolean function?

Abbe et al. 2022: the error on the whole cube is the influence of that bit, as gradient descent
prefers the low-degree of two monomials that the seen inputs do not tell apart.
"""

import math
import re
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from experiments.canonical_holdout import sampled, theories
from experiments.canonical_holdout.measures import MEASURES, facts, pair_facts
from experiments.canonical_holdout.sampled import Measured, beside, frozen_condition
from pvr_jax import models, tasks, theory
from pvr_jax.analysis import canonical, learned
from pvr_jax.analysis.measures import measure_one
from pvr_jax.boolean import cube, float64, fourier
from pvr_jax.building import Part, build
from pvr_jax.checks import integer, one_of, optional, strictly_between
from pvr_jax.experiment import (
    Arrays,
    End,
    Experiment,
    Learned,
    Program,
    is_plain_training,
    model_of,
    task_of,
)
from pvr_jax.outputs_file import OutputsFile
from pvr_jax.refusal import Refusal
from pvr_jax.results.verdicts import MARGIN
from pvr_jax.tasks import datasets, holdouts
from pvr_jax.tasks.pvr import binary_number
from pvr_jax.training.fields import DEFAULTS, prefix_errors
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.shown_rows import count_rows

# Truth tables of different targets are conditions of their replicas; above, one target a program.
LARGEST_SHARED_N = 16


def check(config: ConfigDict) -> None:
    """Refuse what single rules cannot: a task, model, bits or data that do not go together."""
    task = task_of(config)
    model_of(config, task.n)
    sampled.is_sampled(config, task.n)
    prefix_errors("config.holdout.", lambda: frozen_bits(config.holdout.get("bits"), task.n))
    training_set(config, task)


def training_set(config: ConfigDict, task: tasks.Task) -> datasets.TrainingSet:
    """Return the training set of the configuration; errors name the field."""
    return prefix_errors(
        "config.data.",
        lambda: datasets.canonical_training_set(
            task.target,
            task.n,
            frozen=bool(bits := frozen_bits(config.holdout.bits, task.n)),
            bits=bits,
            value=config.holdout.value,
            drop_remainder=config.data.drop_remainder,
            **datasets.arguments_of(config.data),
        ),
    )


def frozen_bits(text: str, n: int) -> tuple[int, ...]:
    """Return the frozen bits that "all", "none" or "0,3,7" names, ascending.

    Raises:
        ValueError: not such a text, a bit out of range, or one named twice.
    """
    example = f"0,{n - 1}" if n > 1 else "0"
    allowed = f"all, none (the matched setting), or bits from 0 to {n - 1} such as {example}"
    if not isinstance(text, str):
        raise Refusal(f"bits: given {text!r}; allowed {allowed}")
    if text.strip() in ("all", "none"):
        return tuple(range(n)) if text.strip() == "all" else ()
    parts = [part.strip() for part in text.strip().strip("()[]").split(",") if part.strip()]
    if not parts or not all(re.fullmatch(r"-?\d+", part) for part in parts):
        raise Refusal(f"bits: given {text!r}; allowed {allowed}")
    bits = [int(part) for part in parts]
    for bit in bits:
        if not 0 <= bit < n:
            raise Refusal(f"bits: given {bit}; allowed {allowed}")
    if len(set(bits)) < len(bits):
        raise Refusal(f"bits: given {text!r}, one of them twice; allowed {allowed}")
    return tuple(sorted(bits))


def remarks(config: ConfigDict, given: Mapping[str, Any]) -> list[str]:
    """Return what a user should know who has given these fields, one line each."""
    if "holdout.bits" not in given or config.holdout.bits in ("all", "none"):
        return []
    bits = frozen_bits(config.holdout.bits, task_of(config).n)
    if len(bits) < 2:
        return []
    listed, values = ",".join(map(str, bits)), ",".join([str(config.holdout.value)] * len(bits))
    # The task as it is here: the other file's defaults may be others.
    task = [
        f" --config.task.{name}={shlex.quote(str(value))}"
        for name, value in config.task.items()
        if name != "name" and value is not None
    ]
    return [
        f"holdout.bits={listed} freezes these bits one at a time, each with networks of its own. "
        "To freeze them all at once: ./launch.sh run configs/unseen_domain.py:setting=user,"
        f"task={config.task.name},holdout=subcube --config.holdout.coordinates={listed} "
        f"--config.holdout.values={values}{''.join(task)}"
    ]


def axes(config: ConfigDict) -> list[dict[str, Any]]:
    """Return the frozen bits, missing in the matched setting: training sees the whole cube."""
    bits = frozen_bits(config.holdout.bits, task_of(config).n)
    return [{"frozen_bit": bit} for bit in bits or (math.nan,)]


def label(row: Mapping[str, Any]) -> str:
    """Return the beginning of a replica's name, such as "bit3"."""
    return "matched" if math.isnan(row["frozen_bit"]) else f"bit{row['frozen_bit']}"


def alike(config: ConfigDict) -> dict[str, Any]:
    """Return what is compiled: neither the frozen bits nor, of few coordinates, the target."""
    document, task = config.to_dict(), task_of(config)
    is_matched = not frozen_bits(config.holdout.bits, task.n)
    document["holdout"]["bits"] = "none" if is_matched else "some"
    if task.n <= LARGEST_SHARED_N and not sampled.is_sampled(config, task.n):
        document["task"] = {"n": task.n}
    return document


def build_program(config: ConfigDict, replicas: pd.DataFrame) -> Program:
    """Return what one replica is: a network, its samples with a bit frozen, how it is measured."""
    task, value = task_of(config), config.holdout.value
    n, model = task.n, model_of(config, task.n)
    shown = training_set(config, task)
    bits = replicas["frozen_bit"].dropna().astype(int).tolist()

    def batch(
        key: jax.Array, step: jax.Array, bit: jax.Array, truth: Any = None, **others: Any
    ) -> Arrays:
        if truth is None:
            return shown.batch(key, step, bit)
        return shown.batch(key, step, bit, lambda x: truth[binary_number(x)])

    def training_rows(replicas: Replicas) -> dict[str, int] | None:
        def is_unseen(batch: Arrays, bit: jax.Array, **others: Any) -> jax.Array:
            return jnp.take(batch["x"], bit, axis=-1) != value

        if not bits:
            return None
        epochs = config.train.epochs if config.data.source == "fresh" else 1
        return count_rows(batch, {"unseen": is_unseen}, replicas, epochs * shown.steps_per_epoch)

    measured = sampled.of_pairs if sampled.is_sampled(config, n) else _on_the_cube
    own = measured(config, task, model, replicas)
    max_pairs = max(map(len, own.pairs), default=0)

    def at_the_end(end: End) -> Arrays:
        found = {**own.facts, **(pair_facts(own.pairs) if max_pairs else {})}
        for name in ("tracked_coefficients", "tracked_coefficients_se"):
            if (followed := end.values.get(name)) is not None:
                found[name] = followed[:, :, :max_pairs] if max_pairs else None
        return found

    return Program(
        init=partial(model.init, x=jnp.ones((1, n))),
        apply=model.apply,
        batch=batch,
        training_rows=training_rows,
        at_the_end=at_the_end,
        coordinates={"member": ("T", "twin")} if max_pairs else {},
        attributes={
            "n": n,
            "holdout": "canonical" if bits else "matched",
            "frozen_value": value,
            "steps_per_epoch": shown.steps_per_epoch,
            **own.attributes,
        },
        steps_per_epoch=shown.steps_per_epoch,
        title=f"{config.model.name} on {config.task.name}",
        **own.program,
    )


def _on_the_cube(
    config: ConfigDict, task: tasks.Task, model: models.Model, replicas: pd.DataFrame
) -> Measured:
    """Return what is measured on all points of the cube."""
    n, value, own_truth = task.n, config.holdout.value, tasks.exact_values(task)
    coefficients = float64.exact_spectrum(own_truth)
    bits = replicas["frozen_bit"].dropna().astype(int).tolist()
    tracked = {
        bit: canonical.tracked_pairs(coefficients, bit, value, config.evaluation.tracked_pairs)
        for bit in dict.fromkeys(bits)
    }
    pairs = [tracked[bit] for bit in bits]

    def conditions(table: pd.DataFrame) -> Arrays:
        """Of pairs there is room for all that are asked."""
        room = min(config.evaluation.tracked_pairs, 2 ** (n - 1))
        indices = np.full((len(table), room, 2), -1, np.int32)
        for row, own in zip(indices, pairs, strict=False):
            for place, pair in zip(row, own, strict=False):
                place[:] = [cube.index(pair[twin], n) for twin in ("low", "high")]
        return {"bit": frozen_condition(table, n), "pairs": jnp.asarray(indices)}

    def measure(
        outputs: jax.Array, drawn: Arrays, bit: jax.Array, pairs: jax.Array, truth: Any = None
    ) -> Arrays:
        target = jnp.asarray(own_truth if truth is None else truth, outputs.dtype)
        seen = holdouts.canonical(n, bit, value) if bits else jnp.ones(2**n, bool)
        found = measure_one(outputs, target, seen)
        # The leak of degree n is not defined: T lacks the frozen bit.
        by_degree = jnp.pad(found["leak_by_degree"], (0, 1), constant_values=jnp.nan)
        followed = canonical.tracked_coefficients(outputs, pairs)
        return found | {"leak_by_degree": by_degree, "tracked_coefficients": followed}

    truths = {"truth": np.broadcast_to(own_truth, (len(replicas), 2**n))}
    program = {
        "outputs": lambda params, drawn, **own: learned.on_cube(model.apply, params, n),
        "measure": measure,
        "conditions": conditions,
        "packed": truths if n <= LARGEST_SHARED_N else {},
        "kept_beside": {"target": coefficients, **beside(replicas)},
        "outputs_size": 2**n,
    }
    return Measured(program, facts(own_truth, coefficients, bits, value), pairs)


def linear_regression(config: ConfigDict, replicas: pd.DataFrame, learned: Learned) -> Arrays:
    """Return the error of linear regression, exact for every replica's own initialization.

    Nothing of other models, and of a target of a higher degree than 1.
    """
    task = task_of(config)
    is_other = replicas["frozen_bit"].isna().any() or config.model.name != "linear_regression"
    is_other |= not is_plain_training(config)[0] or sampled.is_sampled(config, task.n)
    if is_other:
        return {}
    coefficients = float64.exact_spectrum(tasks.exact_values(task))
    with float64.exact():
        above_one = np.asarray(fourier.degree_profile(coefficients))[2:]
    if np.any(above_one > 1e-20):
        return {}
    built = build(EXPERIMENT, (config,), Part(tuple(replicas["name"])))
    outputs = jax.jit(jax.vmap(lambda params: built.programs[0].outputs(params, {})))
    with jax.default_matmul_precision("highest"):
        initial = np.asarray(outputs(built.ensemble.start().params))
    errors = []
    for values, bit in zip(initial, replicas["frozen_bit"], strict=False):
        spectrum = float64.spectrum(values)
        with float64.exact():
            args = (coefficients, spectrum, int(bit), config.holdout.value)
            errors.append(float(theory.linear_regression_error(*args)))
    return {"predicted_generalization_error": np.array(errors)}


EXPERIMENT = Experiment(
    name="canonical_holdout",
    measures=MEASURES,
    build=build_program,
    axes=axes,
    label=label,
    rules={
        "holdout.value": one_of(1, -1),
        **datasets.FIELDS,
        "data.drop_remainder": one_of(True, False),
        "evaluation.tracked_pairs": integer(0, 4096),
        "evaluation.margin": strictly_between(0, 1),
        "evaluation.spectra": one_of("last", "all"),
        "evaluation.points": optional(one_of(*sampled.POINTS)),
        "evaluation.samples": optional(integer(sampled.FEWEST, 2**24)),
    },
    # The data are the seed's alone, so all bits of one seed freeze the same draws; the
    # initialization also depends on the bit. Both as in the authors' code (data seed 1000 run,
    # network seed 1000 run + bit).
    streams={"data": ("seed",), "init": ("seed", "bit")},
    predict={
        "influence": partial(theories.compared, theories.influence),
        "linear_regression": linear_regression,
        "wide_ntk": partial(theories.compared, theories.wide_ntk),
        "empirical_ntk": partial(theories.compared, theories.empirical_ntk),
    },
    predictions=theories.PREDICTIONS,
    kept=OutputsFile("spectra.npz", "coefficients", float64.spectrum),
    check=check,
    alike=alike,
    # An epoch of a file is as long as that of the bit with most rows.
    grows=lambda config: () if config.data.source == "rows" else ("holdout.bits",),
    followed={"evaluation.tracked_pairs": 16, "evaluation.margin": MARGIN},
    # As many runs have a name without these.
    defaults={**DEFAULTS, **sampled.DEFAULTS, "evaluation.margin": MARGIN},
    remarks=remarks,
)
