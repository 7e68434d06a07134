"""Reading the result files of runs under a degree curriculum."""

from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.number_text import exact
from pvr_jax.reporting.curriculum.arms import Arm, Replica, Stage
from pvr_jax.reporting.reading import (
    DAMAGES,
    MEASURES_FILE,
    array_of,
    damaged,
    read_json,
    runs_of,
)

NEEDED = ("generalization_error", "in_distribution_error", "target_coefficient")


def read_arms(root: Path) -> tuple[list[Arm], list[str]]:
    """Return the arms of all finished runs in WORKDIR/degree_curriculum, and the unfinished runs.

    `root` may also be the directory of one run. A run is finished when it has its measures.

    Raises:
        FileNotFoundError: there is no run at all.
        ValueError: a damaged file, named.
    """
    finished, unfinished = runs_of(
        root, "degree_curriculum", "configs/degree_curriculum.py:size=small"
    )
    return [arm for directory in finished for arm in read_arms_of(directory)], unfinished


def read_arms_of(directory: Path) -> list[Arm]:
    """Read one run: an `Arm` per learning rate, init scale, number of samples and leap, ascending.

    Raises ValueError naming the damaged file, and FileNotFoundError without measures.json.
    """
    path = Path(directory) / MEASURES_FILE
    document = read_json(path)
    config = read_json(path.with_name("config.json"), optional=True)
    record = read_json(path.with_name("run.json"), optional=True)
    try:
        return _arms(path.parent, document, config, record)
    except DAMAGES as error:
        raise damaged(path, error) from error


def _arms(
    directory: Path, document: dict[str, Any], config: dict[str, Any], record: dict[str, Any]
) -> list[Arm]:
    entries = document["replicas"]
    epochs = np.array(document["epochs"], dtype=int)
    shape = (len(epochs), len(entries))
    if 0 in shape:
        raise ValueError("no evaluation or no replica in it")
    iterations = array_of(document["iterations"], shape, "iterations")
    measures = {name: array_of(document["measures"][name], shape, name) for name in NEEDED}
    keys = [_setting(entry) for entry in entries]
    rates, scales = ({key[i] for key in keys} for i in (0, 1))
    arms = []
    for key in sorted(set(keys)):
        rate, scale, samples, leap = key
        chosen = [index for index, other in enumerate(keys) if other == key]
        words = [f"learning rate {exact(rate)}"] if len(rates) > 1 else []
        words += [f"init scale {exact(scale)}"] if len(scales) > 1 else []
        words += [f"{samples} samples", f"leap {leap}"]
        arms.append(
            Arm(
                name=", ".join([directory.name, *words]),
                directory=directory,
                task=str(document["task"]),
                model=str(document["model"]),
                optimizer=str(document.get("optimizer", "–")),
                size=str(document.get("size") or ""),
                n=int(document["n"]),
                samples=samples,
                leap=leap,
                learning_rate=rate,
                init_scale=scale,
                threshold=float(document["threshold"]),
                half_variance=float(document["half_variance"]),
                epochs=epochs,
                iterations=iterations[:, chosen],
                replicas=tuple(_replica(entries[index]) for index in chosen),
                measures={name: values[:, chosen] for name, values in measures.items()},
                config=config,
                record=record,
            )
        )
    return arms


def _setting(entry: dict[str, Any]) -> tuple[float, float, int, int]:
    return (
        float(entry["learning_rate"]),
        float(entry["init_scale"]),
        int(entry["samples"]),
        int(entry["leap"]),
    )


def _replica(entry: dict[str, Any]) -> Replica:
    return Replica(
        name=str(entry["name"]),
        seed=int(entry["seed"]),
        finished=bool(entry["finished"]),
        iterations=int(entry["iterations"]),
        epochs=None if entry["epochs"] is None else int(entry["epochs"]),
        radius=int(entry["radius"]),
        diverged_at=None if entry["diverged_at"] is None else int(entry["diverged_at"]),
        stages=tuple(
            Stage(**{name: int(stage[name]) for name in Stage.__dataclass_fields__})
            for stage in entry["stages"]
        ),
    )
