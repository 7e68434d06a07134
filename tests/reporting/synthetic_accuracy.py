"""Plausible result files of classification runs that were never trained."""

import json
from pathlib import Path

import numpy as np

STEPS = (0, 10, 100, 1000)
CLASSES = 10
TEST = 1000
UNIFORM = [0.1] * CLASSES


def subtask(aggregation="mod_sum", complexity=1, withheld=0, *, shares=None, noise=0.2, half=0.0):
    """One entry of "tasks"; `half` is the half-width of a sampled noise sensitivity's interval."""
    if complexity == 0:
        aggregation = "retrieval"
    words = f"the first {withheld} permutations of 0 to {complexity}" if withheld else ""
    sensitivity = None
    if noise is not None:
        sensitivity = {"value": noise, "low": noise - half, "high": noise + half}
        sensitivity["exact"] = half == 0
    return {
        "aggregation": aggregation,
        "complexity": complexity,
        "withheld": withheld,
        "withheld_words": words,
        "share_removed": withheld * 10.0 ** -((complexity or 0) + 1),
        "label_distribution": shares or UNIFORM,
        "label_distribution_exact": True,
        "noise_sensitivity": sensitivity,
    }


def write_run(
    workdir: Path,
    name: str = "token_pvr-token_mlp-0000000a",
    tasks: list[dict] | None = None,
    *,
    accuracy=lambda task, samples, seed: 0.9,
    withheld_accuracy=lambda task, samples, seed: 0.5,
    curve=lambda task, samples, seed, step, last: last if step else 0.1,
    samples: tuple[int | None, ...] = (1000, 10000),
    rates: tuple[float, ...] = (1e-3,),
    seeds: int = 3,
    steps: tuple[int, ...] = STEPS,
    batch_size: int = 256,
    diverged: dict[str, int] | None = None,
    picture: tuple[int, int] | None = None,
    conditional: int | None = None,
    finished: bool = True,
    examples: bool = True,
    task_label: str | None = None,
    model_label: str | None = None,
) -> Path:
    """Write one run below `workdir` and return its directory.

    `accuracy` and `withheld_accuracy` say where a replica ends, `curve` how it gets there. Of
    `samples` None is a stream. Everything wrong is taken for the next class.
    """
    directory = workdir / "pointer_value" / name
    directory.mkdir(parents=True)
    task_name, model, _ = name.split("-")
    _write(directory / "config.json", {"experiment": "pointer_value", "task": {"name": task_name}})
    _write(directory / "run.json", {"command": "python -m <this>", "parameters": 12345})
    if not finished:
        return directory
    tasks = [subtask()] if tasks is None else tasks
    classes = len(tasks[0]["label_distribution"])
    replicas, settings = [], []
    for index, task in enumerate(tasks):
        for size in samples:
            for rate in rates:
                for seed in range(seeds):
                    parts = [f"{task['aggregation']}-m{task['complexity']}"]
                    parts += [f"withheld{task['withheld']}", f"samples{size}"]
                    parts += [f"rate{rate:g}"] if len(rates) > 1 else []
                    own = "-".join([*parts, f"seed{seed}"])
                    replicas.append(
                        {"name": own, "task": index, "samples": size, "learning_rate": rate}
                        | {"init_scale": 1.0, "seed": seed}
                        | {"diverged_at": (diverged or {}).get(own)}
                    )
                    settings.append((task, size, seed))
    ends = {
        "iid": [accuracy(*own) for own in settings],
        "withheld": [withheld_accuracy(*own) if own[0]["withheld"] else None for own in settings],
    }
    measures = {}
    for part in ("train", "iid", "withheld"):
        values = ends.get(part, ends["iid"])
        rows = [
            [
                None
                if value is None or (r["diverged_at"] is not None and step >= r["diverged_at"])
                else curve(*own, step, value)
                for own, value, r in zip(settings, values, replicas, strict=True)
            ]
            for step in steps
        ]
        measures[f"{part}_accuracy"] = rows
        measures[f"{part}_loss"] = [
            [None if value is None else -float(np.log(max(value, 0.01))) for value in row]
            for row in rows
        ]
    confusion = {
        part: [
            None if value is None else _confusion(value, classes, own[0], part)
            for value, own in zip(values, settings, strict=True)
        ]
        for part, values in ends.items()
    }
    shape = list(picture) if picture else [conditional or 11]
    _write(
        directory / "measures.json",
        {
            "experiment": "pointer_value",
            "size": "small",
            "task": task_name,
            "task_label": task_label or task_name,
            "model": model,
            "model_label": model_label or model,
            "shape": shape,
            "alphabet": None if picture else (conditional or 10),
            "classes": classes,
            "optimizer": "adam",
            "batch_size": batch_size,
            "source": "fresh" if samples == (None,) else "sampled",
            "test_samples": TEST,
            "train_samples_evaluated": 500,
            "noise": 0.1,
            "steps": list(steps),
            "tasks": tasks,
            "replicas": replicas,
            "measures": measures,
            "confusion": confusion,
        },
    )
    if examples:
        write_examples(directory, settings, replicas, shape, classes)
    return directory


def _confusion(value, classes, task, part):
    """Counts with the share `value` right; withheld inputs are all of class 1."""
    total = np.zeros(classes, int)
    if part == "withheld":
        total[1 % classes] = TEST
    else:
        total[:] = np.round(np.array(task["label_distribution"]) * TEST)
    right = np.round(total * value).astype(int)
    counts = np.diag(right)
    counts[np.arange(classes), (np.arange(classes) + 1) % classes] += total - right
    return counts.tolist()


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


def hops_of(x):
    """The label of one input of conditional PVR, by the definition."""
    place, made = 0, 0
    while x[place] > place:
        place, made = int(x[place]), made + 1
    return made


def write_examples(directory, settings, replicas, shape, classes, count=6, most=12):
    random = np.random.default_rng(7)
    chosen = [i for i, replica in enumerate(replicas) if replica["seed"] == 0][:most]
    arrays = {"replica": np.array(chosen, np.int32)}
    for part in ("iid", "withheld"):
        xs, ys, ps = [], [], []
        for index in chosen:
            task = settings[index][0]
            if len(shape) == 2:
                x = random.random((count, *shape)).astype(np.float32)
                y = random.integers(0, classes, count)
            elif shape[0] == 11:
                x = random.integers(0, 10, (count, 11)).astype(np.int32)
                y = [label_of(row, task["aggregation"], task["complexity"]) for row in x]
            else:
                x = random.integers(0, shape[0], (count, *shape)).astype(np.int32)
                y = [hops_of(row) for row in x]
            y = np.array(y, np.int32)
            # Right in the even places; in the odd ones the next class is believed.
            p = np.full((count, classes), 0.2 / (classes - 1), np.float32)
            p[np.arange(count), (y + np.arange(count) % 2) % classes] = 0.8
            xs.append(x)
            ys.append(y if part == "iid" or task["withheld"] else np.full(count, -1, np.int32))
            ps.append(p)
        arrays |= {f"{part}_x": np.stack(xs), f"{part}_y": np.stack(ys)}
        arrays[f"{part}_probabilities"] = np.stack(ps)
    np.savez(directory / "examples.npz", **arrays)


def _write(path, document):
    path.write_text(json.dumps(document))
