"""Plausible result files of unseen-domain runs that were never trained."""

import itertools
import json
from pathlib import Path

import numpy as np

STEPS = (0, 40, 400, 4000)
PARITY = {
    "setting": "2parity",
    "task": "polynomial",
    "task_label": "x0*x1",
    "seen": "x0 = 1 or x1 = 1",
    "seen_fraction": 0.75,
    "n": 6,
    # coordinates, target, min-degree interpolator
    "monomials": [((), 0, -1), ((0,), 0, 1), ((1,), 0, 1), ((0, 1), 1, 0)],
    "min_degree_unseen": 8.0,
}
THREE_SYMMETRIC = {
    "setting": "threesym",
    "task": "polynomial",
    "task_label": "x0*x1 - 1.25*x1*x2 + 1.5*x2*x0",
    "seen": "x0*x1*x2 = 1",
    "seen_fraction": 0.5,
    "n": 6,
    "monomials": [
        ((0, 2), 1.5, 0),
        ((1,), 0, 1.5),
        ((0,), 0, -1.25),
        ((1, 2), -1.25, 0),
        ((0, 1), 1, 0),
        ((2,), 0, 1),
    ],
    "min_degree_unseen": 9.625,
}
LENGTH = {
    "setting": "lengthgen3",
    "task": "parity",
    "task_label": "parity (n=6)",
    "seen": "at most 3 entries -1",
    "seen_fraction": 42 / 64,
    "n": 6,
    "monomials": [
        ((), 0, -1000),
        ((0,), 0, 600),
        ((0, 1), 0, -300),
        ((0, 1, 2), 0, 100),
        ((0, 1, 2, 3, 4, 5), 1, 0),
    ],
    "min_degree_unseen": 1.5e6,
}


def write_unseen(
    workdir: Path,
    name: str = "polynomial-mlp-0123abcd",
    problem: dict = PARITY,
    *,
    leak: float = 0.1,
    rates: tuple[float, ...] = (0.003,),
    leak_per_decade: float = 0.0,
    scales: tuple[float | None, ...] = (1.0,),
    seeds: int = 3,
    steps: tuple[int, ...] = STEPS,
    diverged: dict[str, int] | None = None,
    in_distribution: float = 1e-4,
    exact: bool = True,
    predictions: bool = True,
    wide: bool = True,
    finished: bool = True,
    temperature: bool = True,
    size: str = "small",
    **changes: object,
) -> Path:
    """Write one run below `workdir` whose networks end a share `leak` of the way to the target.

    The leak grows by `leak_per_decade` with the learning rate, from the lowest rate on.
    """
    problem = problem | changes
    directory = workdir / "unseen_domain" / name
    (directory / "checkpoints").mkdir(parents=True)
    model = name.split("-")[1]
    _write(directory / "config.json", _config(problem, model, seeds, rates))
    _write(directory / "run.json", _record())
    if not finished:
        return directory
    random = np.random.default_rng(len(name) + seeds)
    replicas = [
        {"name": f"rate{rate:g}-scale{scale}-seed{seed}", "learning_rate": rate}
        | {"init_scale": scale, "seed": seed, "diverged_at": None}
        for rate, scale, seed in itertools.product(rates, scales, range(seeds))
    ]
    for replica in replicas:
        replica["diverged_at"] = (diverged or {}).get(replica["name"])
    coordinates = [c for c, _, _ in problem["monomials"]]
    target, least = (np.array([m[i] for m in problem["monomials"]], float) for i in (1, 2))
    n, error = problem["n"], problem["min_degree_unseen"]
    degrees = np.array([len(c) for c in coordinates])
    far = np.abs(least).max() > 10
    progress = (np.log1p(steps) / np.log1p(steps[-1])) ** 2
    names = ("generalization_error", "in_distribution_error", "unseen_error", "distance")
    names += ("unseen_distance", "dropped_share", "degree_temperature")
    measures = {measure: [] for measure in names}
    coefficients, profiles = [], []
    for step, share in zip(steps, progress, strict=True):
        rows, own, mass = {measure: [] for measure in names}, [], []
        for replica in replicas:
            decades = np.log10(replica["learning_rate"] / rates[0])
            part = leak + leak_per_decade * decades + 0.01 * random.standard_normal()
            part = max(part, 0.001)
            least_learned = least / 1e4 if far else least
            learned = share * ((1 - part) * least_learned + part * target)
            learned = learned + 0.01 * random.standard_normal(len(learned))
            seen = in_distribution + 0.5 * (1 - share)
            unseen = error * (1 - part) ** 2 * share + 0.5 * (1 - share)
            away = error * (part**2 if share == 1 else 1 - share * (1 - part))
            if far:
                unseen, away = 0.5 + 0.4 * random.random(), error * (1 - 1e-5 * random.random())
            values = {
                "in_distribution_error": seen,
                "unseen_error": unseen,
                "generalization_error": problem["seen_fraction"] * seen
                + (1 - problem["seen_fraction"]) * unseen,
                "distance": away * (1 - problem["seen_fraction"]),
                "unseen_distance": away,
                "dropped_share": float(part * share),
                "degree_temperature": part * 2 if temperature and step == steps[-1] else None,
            }
            lost = replica["diverged_at"] is not None and step >= replica["diverged_at"]
            for measure, value in values.items():
                rows[measure].append(None if lost else value)
            own.append(None if lost else learned.tolist())
            row = np.zeros(n + 1)
            np.add.at(row, degrees, learned**2)
            mass.append([None] * (n + 1) if lost else row.tolist())
        for measure, row in rows.items():
            measures[measure].append(row)
        coefficients.append(own)
        profiles.append(mass)
    _write(
        directory / "measures.json",
        {k: v for k, v in problem.items() if k not in ("monomials", "min_degree_unseen")}
        | {
            "experiment": "unseen_domain",
            "size": size,
            "model": model,
            "model_label": model,
            "exact": exact,
            "points": 2**n if exact else 2**15,
            "training_samples": int(problem["seen_fraction"] * 2**n),
            "loss": "half squared error",
            "steps": list(steps),
            "steps_per_epoch": 40,
            "replicas": replicas,
            "measures": measures,
            "monomials": [
                {"coordinates": list(c), "target": t, "min_degree": m}
                for c, t, m in problem["monomials"]
            ],
            "coefficients": coefficients,
            "degree_profile": profiles if exact else None,
            "target_degree_profile": _profile(degrees, target, n) if exact else None,
            "min_degree_profile": _profile(degrees, least, n) if exact else None,
        },
    )
    if predictions:
        _write(directory / "predictions.json", _predictions(problem, target, least, measures, wide))
    return directory


def _predictions(problem, target, least, measures, wide):
    error = problem["min_degree_unseen"]
    part = 1 - problem["seen_fraction"]
    distances = measures["unseen_distance"][-1]

    def theory(share, coefficients):
        values = {"unseen_error": error * share, "generalization_error": error * share * part}
        return values | {"coefficients": coefficients.tolist()}

    document = {
        "theories": {"min_degree": theory(1.0, least)},
        "unexplained": {"min_degree": distances},
        "not_defined": {},
    }
    if wide:
        document["theories"]["wide_ntk"] = theory(0.5, (target + least) / 2)
        values = [None if value is None else 3 * value + 0.2 for value in distances]
        document["unexplained"]["wide_ntk"] = values
    else:
        document["not_defined"]["wide_ntk"] = "The limit is implemented for ReLU networks only"
    return document


def _profile(degrees, coefficients, n):
    profile = np.zeros(n + 1)
    np.add.at(profile, degrees, coefficients**2)
    return profile.tolist()


def _config(problem, model, seeds, rates):
    return {
        "experiment": "unseen_domain",
        "task": {"name": problem["task"]},
        "model": {"name": model},
        "train": {"seeds": seeds, "optimizer": "sgd", "learning_rate": rates[0]},
    }


def _record():
    return {
        "versions": {"pvr_jax": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
        "devices": {"platform": "cpu", "kind": "cpu", "count": 2},
        "parameters": 1089153,
        "command": "python -m experiments.main --config=configs/unseen_domain.py",
        "stages": {"train": {"seconds": 151.2}},
    }


def _write(path, document):
    path.write_text(json.dumps(document))
