"""Plausible measures of pointer value retrieval that nothing was trained for."""

import numpy as np
import pandas as pd

from experiments.pointer_value.measures import MEASURES, of_examples
from pvr_jax import results
from pvr_jax.results import Study

STEPS = (0, 10, 100, 1000)
TEST = 1000


def run(
    functions=(("mod_sum", 1, 0),),
    *,
    name="token_pvr-token_mlp-0000000a",
    accuracy=lambda function, samples, seed: 0.9,
    withheld=lambda function, samples, seed: 0.5,
    train=lambda function, samples, seed: 1.0,
    curve=lambda function, seed, step, last: last if step else 0.1,
    samples=(1000, 10_000),
    seeds=3,
    noise=(),
    chance=0.1,
    classes=10,
    diverged=(),
    rate=1e-3,
    examples=None,
):
    """Return the dataset of a run; `samples` is empty for a stream of 20 samples a step.

    Functions are (aggregation, complexity, withheld), `noise` their sensitivities. Wrong inputs are
    taken for the next class; withheld ones are all of class 1. `examples` is what the inputs,
    labels and probabilities of the parts are, by name.
    """
    settings = [(f, n, s) for f in functions for n in samples or (None,) for s in range(seeds)]
    task, model, _ = name.split("-")
    columns = {"name": [f"{'-'.join(map(str, f))}-samples{n}-seed{s}" for f, n, s in settings]}
    if functions[0][0] is not None:
        columns |= {"aggregation": [f[0] for f, _, _ in settings]}
        columns |= {"complexity": [f[1] for f, _, _ in settings]}
    columns |= {"withheld": [f[2] for f, _, _ in settings]}
    columns |= {"samples": [n for _, n, _ in settings]} if samples else {}
    columns |= {"learning_rate": rate, "init_scale": 1.0, "seed": [s for _, _, s in settings]}
    columns |= {"diverged_at": [10 if name in diverged else -1 for name in columns["name"]]}
    ends = {"iid": [accuracy(*own) for own in settings]}
    if any(f[2] for f in functions):
        ends["withheld"] = [withheld(*own) if own[0][2] else np.nan for own in settings]
    if samples:
        ends["train"] = [train(*own) for own in settings]
    values = {}
    for part, last in ends.items():
        rows = [
            [curve(f, s, step, end) for (f, _, s), end in zip(settings, last, strict=True)]
            for step in STEPS
        ]
        values[f"{part}_accuracy"] = np.array(rows)
        values[f"{part}_loss"] = -np.log(np.clip(rows, 0.01, 1))
        if part != "train":
            values[f"{part}_confusion"] = np.stack([_confusion(end, classes, part) for end in last])
    values["batch_loss"] = np.full((len(STEPS), len(settings)), 2.0)
    values["samples_shown"] = np.repeat(20 * np.array(STEPS)[:, None], len(settings), axis=1)
    if not samples:
        shown, accuracies = values["samples_shown"], values["iid_accuracy"]
        crossed = [
            results.statistics.crossing(*own, 0.95)
            for own in zip(shown.T, accuracies.T, strict=True)
        ]
        values |= {"samples_to_95": crossed, "fewest_samples": 20 * STEPS[1]}
    values |= {"classes": classes, "test_samples": TEST, "noise_rate": 0.1}
    values |= {"chance": np.full(len(settings), chance), "label_entropy": np.full(len(settings), 2)}
    values["label_distribution_exact"] = np.ones(len(settings), bool)
    values["share_removed"] = np.array([f[2] / 100 for f, _, _ in settings])
    values["withheld_words"] = np.array(["<the first>" if f[2] else "" for f, _, _ in settings])
    known = dict(zip(functions, noise, strict=False))
    for end in ("", "_low", "_high"):
        values[f"noise_sensitivity{end}"] = np.array([known.get(f, 0.2) for f, _, _ in settings])
    coordinates = {}
    if examples:
        coordinates["shown"] = [columns["name"][i] for i in examples["places"]]
        values |= {n: np.asarray(v) for n, v in examples.items() if n != "places"}
    own = ("row", "column") if examples and values["iid_example_input"].ndim == 4 else ("position",)
    config = {"experiment": "pointer_value", "task": {"name": task}, "model": {"name": model}}
    return results.dataset(
        pd.DataFrame(columns),
        values,
        MEASURES | of_examples(own),
        steps=STEPS,
        coordinates=coordinates,
        experiment="pointer_value",
        run=name,
        task=task,
        model=model,
        config=config,
    )


def study(*runs):
    return Study(runs)


def _confusion(value, classes, part):
    if np.isnan(value):
        return np.full((classes, classes), np.nan)
    whole = np.full(classes, TEST / classes) if part == "iid" else np.eye(classes)[1] * TEST
    counts = np.diag(whole * value)
    counts[np.arange(classes), (np.arange(classes) + 1) % classes] += whole * (1 - value)
    return counts


def label_of(x, aggregation, complexity):
    """The label of one token input, by the definition."""
    window = [int(x[1 + (int(x[0]) + i) % 10]) for i in range(complexity + 1)]
    if aggregation in ("mod_sum", "retrieval"):
        return sum(window) % 10
    if aggregation == "median":
        return sorted(window)[(len(window) - 1) // 2]
    if aggregation == "majority_vote":
        return min(window, key=lambda value: (-window.count(value), value))
    return {"min": min, "max": max}[aggregation](window)


def token_examples(aggregation, complexity, count=6, classes=10, parts=("iid",)):
    """Return examples of the first replica: right in even places, else the next class."""
    random = np.random.default_rng(7)
    found = {"places": [0]}
    for part in parts:
        x = random.integers(0, 10, (count, 11))
        y = np.array([label_of(row, aggregation, complexity) for row in x])
        found |= answered(part, x, y, classes)
    return found


def answered(part, x, y, classes=10):
    count = len(y)
    p = np.full((count, classes), 0.2 / (classes - 1))
    p[np.arange(count), (y + np.arange(count) % 2) % classes] = 0.8
    return {
        f"{part}_example_input": x[None],
        f"{part}_example_label": y[None],
        f"{part}_example_probability": p[None],
    }
