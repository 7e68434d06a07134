"""Reading the result files of runs on an unseen domain."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from pvr_jax.reporting.reading import (
    DAMAGES,
    MEASURES_FILE,
    PREDICTIONS_FILE,
    array_of,
    damaged,
    read_json,
    runs_of,
    variants_of,
)
from pvr_jax.reporting.runs import Replica
from pvr_jax.reporting.unseen.runs import MIN_DEGREE, Cell, Monomial, Theory

NEEDED = ("generalization_error", "in_distribution_error", "unseen_error")


def read_cells(root: Path) -> tuple[list[Cell], list[str]]:
    """Return the cells of all finished runs in WORKDIR/unseen_domain, and the unfinished runs.

    A run is finished when it has its measures; its predictions may be missing.

    Raises:
        FileNotFoundError: there is no run at all.
        ValueError: a damaged file, named.
    """
    finished, unfinished = runs_of(root, "unseen_domain", "configs/unseen_domain.py:size=small")
    return [cell for directory in finished for cell in read_cells_of(directory)], unfinished


def read_cells_of(directory: Path) -> list[Cell]:
    """Read one run: a `Cell` per learning rate and init scale, ascending, mostly one.

    Raises ValueError naming the damaged file, and FileNotFoundError without measures.json.
    """
    directory = Path(directory)
    document = read_json(directory / MEASURES_FILE)
    path = directory / PREDICTIONS_FILE
    predictions = read_json(path) if path.exists() else None
    config = read_json(directory / "config.json", optional=True)
    record = read_json(directory / "run.json", optional=True)
    try:
        everyone = [_replica(entry) for entry in document["replicas"]]
        parts = [
            _measured(directory, document, config, chosen, variant)
            for variant, chosen in variants_of(everyone)
        ]
    except DAMAGES as error:
        raise damaged(directory / MEASURES_FILE, error) from error
    try:
        for (_, chosen), part in zip(variants_of(everyone), parts, strict=True):
            part |= _predicted(predictions, len(part["monomials"]), len(everyone), chosen)
    except DAMAGES as error:
        raise damaged(directory / PREDICTIONS_FILE, error) from error
    return [Cell(directory=directory, config=config, record=record, **part) for part in parts]


def _measured(
    directory: Path,
    document: dict[str, Any],
    config: dict[str, Any],
    chosen: list[int],
    variant: str,
) -> dict[str, Any]:
    """Return what measures.json says of the `chosen` replicas, by the fields of a cell."""
    steps = np.array(document["steps"], dtype=int)
    everyone = [_replica(entry) for entry in document["replicas"]]
    if steps.ndim != 1 or len(steps) == 0 or not everyone:
        raise ValueError("no evaluation or no replica in it")
    n, shape = int(document["n"]), (len(steps), len(everyone))
    measures = {
        name: array_of(values, shape, name)[:, chosen]
        for name, values in document["measures"].items()
        if values is not None
    }
    if missing := [name for name in NEEDED if name not in measures]:
        raise KeyError(missing[0])
    monomials = tuple(_monomial(entry) for entry in document.get("monomials") or [])
    rate, scale = everyone[chosen[0]].learning_rate, everyone[chosen[0]].init_scale
    training = config.get("train") if isinstance(config.get("train"), dict) else {}
    profiles = document.get("degree_profile")
    if profiles is not None:
        profiles = _rows(profiles, (*shape, n + 1), "degree_profile")[:, chosen]
    return {
        "name": f"{directory.name}, {variant}" if variant else directory.name,
        "variant": variant,
        "experiment": str(document.get("experiment", directory.parent.name)),
        "setting": str(document.get("setting") or ""),
        "task": str(document["task"]),
        "task_label": str(document.get("task_label") or document["task"]),
        "model": str(document["model"]),
        "model_label": str(document.get("model_label") or document["model"]),
        "optimizer": str(training.get("optimizer", "–")),
        "learning_rate": _number(training.get("learning_rate")) if rate is None else rate,
        "init_scale": scale,
        "size": str(document.get("size") or ""),
        "n": n,
        "seen": str(document.get("seen") or ""),
        "seen_fraction": float(document["seen_fraction"]),
        "exact": bool(document.get("exact", True)),
        "points": document.get("points"),
        "training_samples": document.get("training_samples"),
        "loss": str(document.get("loss", "half squared error")),
        "steps": steps,
        "replicas": tuple(everyone[i] for i in chosen),
        "measures": measures,
        "mean_square": _mean_square(document, config, monomials),
        "monomials": monomials,
        "coefficients": _coefficients(document, shape, len(monomials))[:, chosen],
        "degree_profiles": profiles,
        "target_degree_profile": _profile(document, "target_degree_profile", n),
        "min_degree_profile": _profile(document, "min_degree_profile", n),
    }


def _predicted(
    document: dict[str, Any] | None, monomials: int, replicas: int, chosen: list[int]
) -> dict[str, Any]:
    """Return what predictions.json, if there is one, says of the `chosen` replicas."""
    if document is None:
        return {"theories": {}, "unexplained": {}, "not_defined": {}}
    theories = {
        name: Theory(
            generalization_error=_nan_for_none(entry.get("generalization_error")),
            unseen_error=_nan_for_none(entry.get("unseen_error")),
            coefficients=_optional_array(
                entry.get("coefficients"), (monomials,), f"{name}: coefficients"
            ),
        )
        for name, entry in (document.get("theories") or {}).items()
        if entry is not None
    }
    not_defined = {k: str(v) for k, v in (document.get("not_defined") or {}).items()}
    if MIN_DEGREE not in theories and MIN_DEGREE not in not_defined:
        raise KeyError(MIN_DEGREE)
    unexplained = {
        name: array_of(values, (replicas,), f"{name}: unexplained")[chosen]
        for name, values in (document.get("unexplained") or {}).items()
        if values is not None
    }
    return {"theories": theories, "unexplained": unexplained, "not_defined": not_defined}


def _replica(entry: dict[str, Any]) -> Replica:
    diverged_at = entry.get("diverged_at")
    return Replica(
        name=str(entry["name"]),
        bit=None,
        seed=int(entry["seed"]),
        diverged_at=None if diverged_at is None else int(diverged_at),
        learning_rate=_number(entry.get("learning_rate")),
        init_scale=_number(entry.get("init_scale")),
    )


def _monomial(entry: dict[str, Any]) -> Monomial:
    return Monomial(
        coordinates=tuple(int(i) for i in entry["coordinates"]),
        target=float(entry["target"]),
        min_degree=_nan_for_none(entry["min_degree"]),
    )


def _mean_square(
    document: dict[str, Any], config: dict[str, Any], monomials: tuple[Monomial, ...]
) -> float:
    """Return E f² of the target, NaN where the document cannot say it.

    Earlier versions did not write it: it is the sum of the target's degree profile, or of the
    squared coefficients where fewer are followed than were asked for, so that none is left out.
    """
    if (known := document.get("target_mean_square")) is not None:
        return float(known)
    if (profile := document.get("target_degree_profile")) is not None:
        return float(sum(profile))
    evaluation = config.get("evaluation")
    asked = evaluation.get("monomials") if isinstance(evaluation, dict) else None
    if isinstance(asked, int) and len(monomials) < asked:
        return float(sum(monomial.target**2 for monomial in monomials))
    return math.nan


def _coefficients(document: dict[str, Any], shape: tuple[int, int], count: int) -> np.ndarray:
    values = document.get("coefficients")
    if values is None or count == 0:
        return np.full((*shape, count), np.nan)
    return _rows(values, (*shape, count), "coefficients")


def _profile(document: dict[str, Any], name: str, n: int) -> np.ndarray | None:
    values = document.get(name)
    return None if values is None else array_of(values, (n + 1,), name)


def _rows(values: Any, shape: tuple[int, int, int], name: str) -> np.ndarray:
    """Return values [T, R, K]; the row of a replica that diverged may be null as a whole."""
    empty = [None] * shape[-1]
    filled = [[empty if row is None else row for row in rows] for rows in values]
    return array_of(filled, shape, name)


def _optional_array(values: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    return np.full(shape, np.nan) if values is None else array_of(values, shape, name)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _nan_for_none(value: Any) -> float:
    return math.nan if value is None else float(value)
