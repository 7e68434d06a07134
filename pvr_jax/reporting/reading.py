"""Finding and reading the result files of runs."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pvr_jax.number_text import exact
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.runs import HOLDOUTS, MATCHED, Pair, Replica, Run, distinct_bits

MEASURES_FILE = "measures.json"
PREDICTIONS_FILE = "predictions.json"
# Its predicted error is in measures.json.
INFLUENCE = "influence"
_STAGE_OF = {MEASURES_FILE: "analyse", PREDICTIONS_FILE: "predict"}
# What reading a document of another form than expected raises.
DAMAGES = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
RUN_FILES = "config.json run.json metrics.jsonl measures.nc measures.json checkpoints".split()  # noqa: SIM905


class Theories(NamedTuple):
    """What theories say of all replicas of a directory: see `Run`."""

    predictions: dict[str, np.ndarray]
    prediction_errors: dict[str, np.ndarray]
    unexplained: dict[str, np.ndarray]
    not_defined: dict[str, str]


def find_experiments(root: Path) -> list[Path]:
    """Return the experiment directories of `root`, which is one itself or holds some.

    Raises FileNotFoundError where there is no run at all.
    """
    root = Path(root)
    if run_directories(root):
        return [root]
    found = []
    if root.is_dir():
        found = [d for d in sorted(root.iterdir()) if d.is_dir() and run_directories(d)]
    if not found:
        raise FileNotFoundError(
            f"no run found in {root}: expected WORKDIR or WORKDIR/<experiment> with directories "
            f"<task>-<model>-<8 hex> in it; make one with: ./launch.sh run --workdir={root}"
        )
    return found


def run_directories(experiment: Path) -> list[Path]:
    """Return the directories of an experiment that hold a run, finished or not, by name."""
    if not experiment.is_dir():
        return []
    return [
        d
        for d in sorted(experiment.iterdir())
        if d.is_dir() and any((d / name).exists() for name in RUN_FILES)
    ]


def runs_of(root: Path, experiment: str, example: str) -> tuple[list[Path], list[str]]:
    """Return the directories of an experiment's finished runs, and the names of the unfinished.

    A run is finished when it has its measures.

    Args:
        root: WORKDIR/<experiment>, or the directory of one finished run.
        experiment: its name, for the message.
        example: a configuration of it that a user without any run may begin with.

    Raises:
        FileNotFoundError: there is no run at all.
    """
    root = Path(root)
    directories = [root] if (root / MEASURES_FILE).exists() else run_directories(root)
    if not directories:
        raise FileNotFoundError(
            f"no run found in {root}: expected WORKDIR/{experiment} with directories "
            f"<task>-<model>-<8 hex> in it; make one with: ./launch.sh run {example} "
            f"--workdir={root.parent}"
        )
    return by_state(directories)


def by_state(directories: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the directories of runs that have their measures, and the names of the others."""
    finished = [d for d in directories if (d / MEASURES_FILE).exists()]
    unfinished = [d.name for d in directories if not (d / MEASURES_FILE).exists()]
    return finished, unfinished


def read_runs(experiment: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs of an experiment directory and the names of the unfinished ones.

    A run is finished when it has its measures. Raises ValueError naming a damaged file.
    """
    finished, unfinished = by_state(run_directories(Path(experiment)))
    return [run for d in finished for run in read_runs_of(d)], unfinished


def read_runs_of(directory: Path) -> list[Run]:
    """Read one run's directory: a `Run` per learning rate and init scale, ascending, mostly one.

    config.json, run.json and predictions.json may be missing, measures.json not.

    Raises ValueError naming the damaged file, and FileNotFoundError without measures.json.
    """
    directory = Path(directory)
    path = directory / MEASURES_FILE
    document = read_json(path)
    config = read_json(directory / "config.json", optional=True)
    record = read_json(directory / "run.json", optional=True)
    try:
        replicas = [_replica(entry) for entry in document["replicas"]]
    except DAMAGES as error:
        raise damaged(path, error) from error
    theories = _theories(directory / PREDICTIONS_FILE, replicas)
    try:
        return [
            _parse(directory, document, config, record, theories, chosen, variant)
            for variant, chosen in variants_of(replicas)
        ]
    except DAMAGES as error:
        raise damaged(path, error) from error


def read_run(directory: Path) -> Run:
    """Read the run of a directory whose replicas all share learning rate and init scale.

    Raises ValueError when they do not or a file is damaged, FileNotFoundError without measures.
    """
    runs = read_runs_of(directory)
    if len(runs) > 1:
        variants = "; ".join(run.variant for run in runs)
        raise Refusal(f"{directory} holds {len(runs)} runs: {variants}")
    return runs[0]


def variants_of(replicas: list[Replica]) -> list[tuple[str, list[int]]]:
    """Return, per learning rate and init scale, the words for it and the replicas' indices.

    The words name only what differs, so they are empty when nothing does.
    """
    settings = [(r.learning_rate, r.init_scale) for r in replicas]
    differing = [len({setting[i] for setting in settings}) > 1 for i in (0, 1)]
    names = ("learning rate", "init scale")
    found = []
    for setting in sorted(set(settings), key=lambda s: [(v is not None, v or 0.0) for v in s]):
        words = [
            f"{name} unknown" if value is None else f"{name} {exact(value)}"
            for name, value, differs in zip(names, setting, differing, strict=True)
            if differs
        ]
        found.append((", ".join(words), [i for i, s in enumerate(settings) if s == setting]))
    return found or [("", [])]


def _parse(
    directory: Path,
    document: dict[str, Any],
    config: dict[str, Any],
    record: dict[str, Any],
    theories: Theories,
    chosen: list[int],
    variant: str,
) -> Run:
    """Return the run of the `chosen` replicas of measures.json."""
    steps = np.array(document["steps"], dtype=int)
    everyone = [_replica(entry) for entry in document["replicas"]]
    if steps.ndim != 1 or len(steps) == 0 or not everyone:
        raise ValueError("no evaluation or no replica in it")
    replicas = tuple(everyone[i] for i in chosen)
    holdout = _holdout(document, everyone)
    bits = distinct_bits(replicas)
    kept = {b: [i for i in chosen if everyone[i].bit == b and everyone[i].counted] for b in bits}
    shape = (len(steps), len(everyone))
    measures = _columns(document["measures"], shape, chosen)
    if "generalization_error" not in measures:
        raise KeyError("generalization_error")
    frozen_value = int(document.get("frozen_value", 1))
    tracked = {int(b): e["pairs"] for b, e in (document.get("tracked") or {}).items()}
    pairs = {b: tuple(_pair(p, frozen_value) for p in tracked.get(b, [])) for b in bits}
    training = _section(config, "train")
    return Run(
        name=f"{directory.name}, {variant}" if variant else directory.name,
        directory=directory,
        experiment=str(document.get("experiment", directory.parent.name)),
        task=str(document["task"]),
        task_label=str(document.get("task_label", document["task"])),
        model=str(document["model"]),
        model_label=str(document.get("model_label") or document["model"]),
        optimizer=str(training.get("optimizer", "–")),
        learning_rate=_first_number(replicas[0].learning_rate, training.get("learning_rate")),
        init_scale=replicas[0].init_scale,
        variant=variant,
        size=str(document["size"]) if document.get("size") else None,
        holdout=holdout,
        n=int(document["n"]),
        frozen_value=frozen_value,
        loss=str(document.get("loss", "half squared error")),
        steps=steps,
        replicas=replicas,
        influences=_influences(document, bits),
        measures=measures,
        predictions=_columns(document.get("predictions") or {}, shape[1:], chosen)
        | {name: values[chosen] for name, values in theories.predictions.items()},
        prediction_errors={
            name: values[chosen] for name, values in theories.prediction_errors.items()
        },
        unexplained={name: values[chosen] for name, values in theories.unexplained.items()},
        not_defined=theories.not_defined,
        target=_numbers(document.get("target")),
        degree_profiles=_degree_profiles(document, len(steps), kept),
        frozen_degree_profiles=_frozen_degree_profiles(document, holdout),
        pairs=pairs,
        pair_coefficients=_pair_coefficients(document, len(steps), kept, pairs),
        config=config,
        record=record,
    )


def _theories(path: Path, replicas: list[Replica]) -> Theories:
    """Read predictions.json; nothing where there is none.

    Errors by frozen bit become columns over replicas, as those of theories that differ between
    replicas of one bit.
    """
    if not path.exists():
        return Theories({}, {}, {}, {})
    document = read_json(path)
    try:
        errors, uncertain = (
            {
                name: np.array([float(entry[field][str(replica.bit)]) for replica in replicas])
                for name, entry in document["theories"].items()
                if name != INFLUENCE and field in entry
            }
            for field in ("error", "standard_error")
        )
        unexplained = {
            name: array_of(values, (len(replicas),), f"what {name} leaves")
            for name, values in document["unexplained"].items()
        }
        not_defined = {
            name: str(reason) for name, reason in document.get("not_defined", {}).items()
        }
    except DAMAGES as error:
        raise damaged(path, error) from error
    return Theories(errors, uncertain, unexplained, not_defined)


def _holdout(document: dict[str, Any], replicas: list[Replica]) -> str:
    holdout = str(document.get("holdout") or HOLDOUTS[0])
    if holdout not in HOLDOUTS:
        raise ValueError(f"holdout is {holdout}, expected one of {', '.join(HOLDOUTS)}")
    if any((replica.bit is None) != (holdout == MATCHED) for replica in replicas):
        raise ValueError(f"holdout is {holdout}, which does not go with the bits of the replicas")
    return holdout


def _columns(
    columns: dict[str, Any], shape: tuple[int, ...], chosen: list[int]
) -> dict[str, np.ndarray]:
    """Return columns [..., R] of all replicas as those [..., r] of the chosen ones."""
    return {
        name: array_of(values, shape, name)[..., chosen]
        for name, values in columns.items()
        if values is not None
    }


def _influences(document: dict[str, Any], bits: list[int | None]) -> dict[int, float]:
    influences = {int(bit): float(value) for bit, value in document["influences"].items()}
    if missing := [bit for bit in bits if bit is not None and bit not in influences]:
        raise ValueError(f"no influence of bit {missing[0]}")
    return influences


def _degree_profiles(
    document: dict[str, Any], steps: int, kept: dict[int | None, list[int]]
) -> dict[int | None, np.ndarray]:
    profile = document.get("degree_profile")
    size = int(document["n"]) + 1
    return {
        bit: array_of(_of_replicas(profile, chosen), (steps, len(chosen), size), "degree_profile")
        for bit, chosen in kept.items()
        if profile is not None and chosen
    }


def _frozen_degree_profiles(document: dict[str, Any], holdout: str) -> dict[int | None, np.ndarray]:
    profiles: dict[int | None, Any] = {
        int(bit): values for bit, values in (document.get("frozen_degree_profile") or {}).items()
    }
    if holdout == MATCHED and document.get("target_degree_profile") is not None:
        profiles[None] = document["target_degree_profile"]
    shape = (int(document["n"]) + 1,)
    return {
        bit: array_of(values, shape, "frozen_degree_profile") for bit, values in profiles.items()
    }


def _pair_coefficients(
    document: dict[str, Any],
    steps: int,
    kept: dict[int | None, list[int]],
    pairs: dict[int | None, tuple[Pair, ...]],
) -> dict[int | None, np.ndarray]:
    coefficients = document.get("tracked_coefficients")
    found = {}
    for bit, chosen in kept.items():
        count = len(pairs[bit])
        if coefficients is not None and chosen and count:
            # Bits with fewer pairs may be padded to the length of the longest.
            rows = [[r[:count] for r in row] for row in _of_replicas(coefficients, chosen)]
            shape = (steps, len(chosen), count, 2)
            found[bit] = array_of(rows, shape, "tracked_coefficients")
    return found


def _replica(entry: dict[str, Any]) -> Replica:
    diverged_at = entry.get("diverged_at")
    bit, rate, scale = (entry.get(name) for name in ("bit", "learning_rate", "init_scale"))
    return Replica(
        name=str(entry["name"]),
        bit=None if bit is None else int(bit),
        seed=int(entry["seed"]),
        diverged_at=None if diverged_at is None else int(diverged_at),
        learning_rate=None if rate is None else float(rate),
        init_scale=None if scale is None else float(scale),
    )


def _pair(entry: dict[str, Any], frozen_value: int) -> Pair:
    low, high = float(entry["target_low"]), float(entry["target_high"])
    return Pair(
        low=tuple(int(i) for i in entry["low"]),
        high=tuple(int(i) for i in entry["high"]),
        target_low=low,
        target_high=high,
        limit=float(entry.get("limit", low + frozen_value * high)),
    )


def _of_replicas(rows: list[list[Any]], kept: list[int]) -> list[list[Any]]:
    return [[row[i] for i in kept] for row in rows]


def array_of(values: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return values of a document as an array of the expected shape, null as NaN.

    Raises ValueError for another shape; `name` is what the message calls the values.
    """
    array = np.array(values, dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {list(array.shape)}, expected {list(shape)}")
    return array


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _numbers(section: dict[str, Any] | None) -> dict[str, float] | None:
    """Return a section of numbers as floats, null as NaN; None where there is no section."""
    if section is None:
        return None
    return {name: float("nan" if value is None else value) for name, value in section.items()}


def _first_number(*values: Any) -> float | None:
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def read_json(path: Path, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file; with `optional`, {} where there is no file.

    Raises ValueError naming a file that is damaged.
    """
    if optional and not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # OSError: a directory, say
        raise damaged(path, error) from error
    if not isinstance(document, dict):
        raise damaged(path, TypeError("not a JSON object"))
    return document


def damaged(path: Path, error: Exception) -> Refusal:
    """Return the one-line error about a file that has not the content it should have."""
    reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
    if isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)
    return Refusal(f"damaged file {path}: {reason}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    workdir = path.parent.parent.parent
    if path.name in _STAGE_OF:
        stage = _STAGE_OF[path.name]
        return (
            f"delete it and {stage}.done beside it, then give the run's command again (run.json "
            "has it): ./launch.sh run CONFIG "
            f"--stage={stage} --workdir={workdir}"
        )
    return (
        f"move {path.parent} away and give the run's command again: ./launch.sh run CONFIG "
        f"--workdir={workdir}"
    )
