"""Reading the result files of runs into plain dataclasses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MEASURES_FILE = "measures.json"
RUN_FILES = ("config.json", "run.json", "metrics.jsonl", MEASURES_FILE, "checkpoints")


@dataclass(frozen=True)
class Replica:
    """One trained copy: its frozen bit and seed, and the step at which it diverged, if it did."""

    name: str
    bit: int
    seed: int
    diverged_at: int | None

    @property
    def counted(self) -> bool:
        """Whether its values enter means: it did not diverge."""
        return self.diverged_at is None


@dataclass(frozen=True)
class Pair:
    """A low-degree monomial and its higher-degree twin, with their coefficients in the target.

    `limit` is what the low-degree prediction says the low-degree coefficient tends to.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    target_low: float
    target_high: float
    limit: float


@dataclass(frozen=True)
class Run:
    """What one finished run measured, T evaluations of R replicas.

    `measures` are float[T, R] for all replicas (NaN where undefined); `degree_profiles`
    float[T, r, n+1] and `pair_coefficients` float[T, r, P, 2] (low, high) are kept per frozen bit
    and hold the r counted (not diverged) replicas of that bit only.
    """

    name: str
    directory: Path
    experiment: str
    task: str
    task_label: str
    model: str
    optimizer: str
    n: int
    frozen_value: int
    loss: str
    steps: np.ndarray
    replicas: tuple[Replica, ...]
    influences: dict[int, float]
    measures: dict[str, np.ndarray]
    degree_profiles: dict[int, np.ndarray]
    frozen_degree_profiles: dict[int, np.ndarray]
    pairs: dict[int, tuple[Pair, ...]]
    pair_coefficients: dict[int, np.ndarray]
    config: dict[str, Any]
    record: dict[str, Any]

    @property
    def bits(self) -> list[int]:
        """Frozen bits of this run, ascending."""
        return sorted({replica.bit for replica in self.replicas})

    def counted(self, bit: int) -> list[int]:
        """Indices of the replicas that froze `bit` and did not diverge."""
        return [i for i, r in enumerate(self.replicas) if r.bit == bit and r.counted]

    def excluded(self, bit: int) -> list[Replica]:
        """Replicas that froze `bit` and diverged."""
        return [r for r in self.replicas if r.bit == bit and not r.counted]

    def final(self, name: str, bit: int) -> np.ndarray:
        """Values [r] of a measure at the last evaluation, for the counted replicas of `bit`."""
        return self.measures[name][-1, self.counted(bit)]


def find_experiments(root: Path) -> list[Path]:
    """Return the experiment directories of `root`, which is one itself or holds some.

    Raises FileNotFoundError where there is no run at all.
    """
    root = Path(root)
    if _run_directories(root):
        return [root]
    found = []
    if root.is_dir():
        found = [d for d in sorted(root.iterdir()) if d.is_dir() and _run_directories(d)]
    if not found:
        raise FileNotFoundError(
            f"no run found in {root}: expected WORKDIR or WORKDIR/<experiment> with directories "
            f"<task>-<model>-<8 hex> in it; make one with: ./launch.sh run --workdir={root}"
        )
    return found


def read_runs(experiment: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs of an experiment directory and the names of the unfinished ones.

    A run is finished when it has its measures. Raises ValueError naming a damaged file.
    """
    directories = _run_directories(Path(experiment))
    finished = [read_run(d) for d in directories if (d / MEASURES_FILE).is_file()]
    unfinished = [d.name for d in directories if not (d / MEASURES_FILE).is_file()]
    return finished, unfinished


def read_run(directory: Path) -> Run:
    """Read one finished run; config.json and run.json may be missing, measures.json not.

    Raises ValueError naming the damaged file, and FileNotFoundError without measures.json.
    """
    directory = Path(directory)
    path = directory / MEASURES_FILE
    document = _read_json(path)
    config = _read_json(directory / "config.json", optional=True)
    record = _read_json(directory / "run.json", optional=True)
    try:
        return _parse(directory, document, config, record)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"damaged file {path}: {reason}; {_remedy(path)}") from error


def _parse(
    directory: Path, document: dict[str, Any], config: dict[str, Any], record: dict[str, Any]
) -> Run:
    steps = np.array(document["steps"], dtype=int)
    replicas = tuple(_replica(entry) for entry in document["replicas"])
    if steps.ndim != 1 or len(steps) == 0 or not replicas:
        raise ValueError("no evaluation or no replica in it")
    shape = (len(steps), len(replicas))
    n = int(document["n"])
    bits = sorted({replica.bit for replica in replicas})
    kept = {b: [i for i, r in enumerate(replicas) if r.bit == b and r.counted] for b in bits}
    measures = {name: _array(values, shape, name) for name, values in document["measures"].items()}
    if "generalization_error" not in measures:
        raise KeyError("generalization_error")
    influences = {int(bit): float(value) for bit, value in document["influences"].items()}
    if missing := [bit for bit in bits if bit not in influences]:
        raise ValueError(f"no influence of bit {missing[0]}")
    profile = document.get("degree_profile")
    tracked = {int(b): e["pairs"] for b, e in (document.get("tracked") or {}).items()}
    frozen_value = int(document.get("frozen_value", 1))
    pairs = {b: tuple(_pair(p, frozen_value) for p in tracked.get(b, [])) for b in bits}
    coefficients = document.get("tracked_coefficients")
    return Run(
        name=directory.name,
        directory=directory,
        experiment=str(document.get("experiment", directory.parent.name)),
        task=str(document["task"]),
        task_label=str(document.get("task_label", document["task"])),
        model=str(document["model"]),
        optimizer=str(_section(config, "train").get("optimizer", "–")),
        n=n,
        frozen_value=frozen_value,
        loss=str(document.get("loss", "half squared error")),
        steps=steps,
        replicas=replicas,
        influences=influences,
        measures=measures,
        degree_profiles={
            b: _array(_of_replicas(profile, kept[b]), (*_size(steps, kept[b]), n + 1), "profile")
            for b in bits
            if profile is not None and kept[b]
        },
        frozen_degree_profiles={
            int(b): _array(values, (n + 1,), "frozen_degree_profile")
            for b, values in (document.get("frozen_degree_profile") or {}).items()
        },
        pairs=pairs,
        pair_coefficients={
            b: _array(
                # Bits with fewer pairs may be padded to the length of the longest.
                [[r[: len(pairs[b])] for r in row] for row in _of_replicas(coefficients, kept[b])],
                (*_size(steps, kept[b]), len(pairs[b]), 2),
                "tracked_coefficients",
            )
            for b in bits
            if coefficients is not None and kept[b] and pairs[b]
        },
        config=config,
        record=record,
    )


def _replica(entry: dict[str, Any]) -> Replica:
    diverged_at = entry.get("diverged_at")
    return Replica(
        name=str(entry["name"]),
        bit=int(entry["bit"]),
        seed=int(entry["seed"]),
        diverged_at=None if diverged_at is None else int(diverged_at),
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


def _size(steps: np.ndarray, kept: list[int]) -> tuple[int, int]:
    return len(steps), len(kept)


def _of_replicas(rows: list[list[Any]], kept: list[int]) -> list[list[Any]]:
    return [[row[i] for i in kept] for row in rows]


def _array(values: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    array = np.array(values, dtype=float)  # null becomes NaN
    if array.shape != shape:
        raise ValueError(f"{name} has shape {list(array.shape)}, expected {list(shape)}")
    return array


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _run_directories(experiment: Path) -> list[Path]:
    if not experiment.is_dir():
        return []
    return [
        d
        for d in sorted(experiment.iterdir())
        if d.is_dir() and any((d / name).exists() for name in RUN_FILES)
    ]


def _read_json(path: Path, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"damaged file {path}: {error}; {_remedy(path)}") from error
    if not isinstance(document, dict):
        raise ValueError(f"damaged file {path}: not a JSON object; {_remedy(path)}")
    return document


def _remedy(path: Path) -> str:
    workdir = path.parent.parent.parent
    if path.name == MEASURES_FILE:
        return f"delete it and type: ./launch.sh run --stage=analyse --workdir={workdir}"
    return f"move {path.parent} away and type: ./launch.sh run --workdir={workdir}"
