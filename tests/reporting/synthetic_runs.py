"""Plausible result files of runs that were never trained, in the format that the stages write."""

import itertools
import json
from pathlib import Path

import numpy as np

STEPS = (0, 30, 300, 3000)


def write_run(
    workdir: Path,
    name: str = "pvr_majority-mlp-0123abcd",
    *,
    influences: dict[int, float] | None = None,
    shrink: dict[int, float] | None = None,
    seeds: int = 3,
    steps: tuple[int, ...] = STEPS,
    n: int = 11,
    diverged: dict[str, int] | None = None,
    task_label: str = "PVR majority, window 3, truncated (f3)",
    scale: float = 1.0,
    finished: bool = True,
    generator_seed: int = 0,
    model_label: str | None = None,
    optimizer: str = "adam",
    rates: tuple[float, ...] = (),
    predictions: dict[int, float] | None = None,
    theories: dict[str, dict[int, tuple[float, float]]] | None = None,
    target: dict[str, float] | None = None,
) -> Path:
    """Write one run below `workdir`; `shrink` is the projection c per bit (1 by default).

    With `rates`, every bit has its seeds once per learning rate; with `target`, nothing is frozen
    and `influences` holds the error by the key None. With `theories`, there is predictions.json:
    of each bit the error that a theory predicts, and the mean that it leaves unexplained.
    """
    influences = influences or {0: 0.46875, 7: 0.1875}
    shrink = shrink or {}
    diverged = diverged or {}
    random = np.random.default_rng(generator_seed)
    task, model, _ = name.rsplit("-", 2)
    directory = workdir / "canonical_holdout" / name
    directory.mkdir(parents=True)
    (directory / "checkpoints").mkdir()
    _write(directory / "config.json", _config(task, model, list(influences), seeds, optimizer))
    _write(directory / "run.json", _record())
    (directory / "metrics.jsonl").write_text('{"step": 0, "seconds": 0.1}\n')
    if not finished:
        return directory

    replicas = [
        {"name": f"bit{bit}-seed{seed}", "bit": bit, "seed": seed, "diverged_at": None}
        | ({} if rate is None else {"name": f"bit{bit}-rate{rate}-seed{seed}"})
        | {"learning_rate": rate}
        for bit, rate, seed in itertools.product(influences, rates or (None,), range(seeds))
    ]
    for replica in replicas:
        replica["diverged_at"] = diverged.get(replica["name"])
    if theories:
        _write(directory / "predictions.json", _predictions(theories, replicas))
    progress = np.clip(np.log1p(steps) / np.log1p(steps[-1]), 0, 1) ** 2
    profile = scale * np.exp(-0.5 * (np.arange(n + 1) - 2.2) ** 2)
    profile[0] = 0.0
    bits = [bit for bit in influences if bit is not None]
    pairs = {bit: _pairs(bit, n, scale) for bit in bits} | {None: []}
    measures = {name: [] for name in _MEASURES}
    degree_profile, coefficients, leak_by_degree = [], [], []
    for step, share in zip(steps, progress, strict=True):
        rows = [_values(r, share, influences, shrink, scale, random) for r in replicas]
        lost = [r["diverged_at"] is not None and step >= r["diverged_at"] for r in replicas]
        for key in _MEASURES:
            row = [None if gone else v[key] for gone, v in zip(lost, rows, strict=True)]
            measures[key].append(row)
        noise = 1 + 0.08 * random.standard_normal((len(replicas), n + 1))
        degree_profile.append((share * profile * np.abs(noise)).tolist())
        leak_by_degree.append([[None] * n for _ in replicas])
        coefficients.append([_pair_values(pairs[r["bit"]], share, random) for r in replicas])
    _write(
        directory / "measures.json",
        {
            "experiment": "canonical_holdout",
            "task": task,
            "task_label": task_label,
            "model": model,
            "model_label": model_label,
            "holdout": "matched" if target else "canonical",
            **({"target": target} if target else {}),
            "predictions": {
                name: [values[r["bit"]] for r in replicas]
                for name, values in {"linear_regression": predictions}.items()
                if values
            },
            "n": n,
            "loss": "half squared error",
            "steps": list(steps),
            "steps_per_epoch": 30,
            "replicas": replicas,
            "influences": {str(bit): influences[bit] for bit in bits},
            "measures": measures,
            "leak_by_degree": leak_by_degree,
            "degree_profile": degree_profile,
            "target_degree_profile": (1.1 * profile).tolist(),
            "frozen_degree_profile": {str(bit): profile.tolist() for bit in bits},
            "tracked": {str(bit): {"pairs": pairs[bit]} for bit in bits},
            "tracked_coefficients": coefficients,
        },
    )
    return directory


def _predictions(theories, replicas):
    middle = np.mean([r["seed"] for r in replicas])
    return {
        "theories": {
            name: {"error": {str(bit): error for bit, (error, _) in values.items()}}
            for name, values in theories.items()
        },
        "unexplained": {
            name: [
                None
                if r["diverged_at"] is not None
                else values[r["bit"]][1] * (1 + 0.01 * (r["seed"] - middle))
                for r in replicas
            ]
            for name, values in theories.items()
        },
        "not_defined": {"empirical_ntk": "n = 14: allowed up to 12"}
        if "empirical_ntk" not in theories
        else {},
    }


_MEASURES = (
    "generalization_error",
    "in_distribution_error",
    "unseen_error",
    "leak",
    "projection",
    "degree_temperature",
    "influence_overlap",
    "learned_influence",
    "residual_variance",
)


def _values(replica, share, influences, shrink, scale, random):
    influence = influences[replica["bit"]]
    c = shrink.get(replica["bit"], 1.0)
    final = influence * (1 + c**2) / 2
    error = final + (1 - share) * scale * 0.6 + 0.01 * influence * random.standard_normal()
    seen = (1 - share) * scale * 0.5 + 0.002 * scale * random.random()
    return {
        "generalization_error": error,
        "in_distribution_error": seen,
        "unseen_error": 2 * error - seen,
        "leak": ((1 - c) / 2) ** 2 + 0.01 * random.random() + 0.3 * (1 - share),
        "projection": share * c + 0.01 * random.standard_normal(),
        "degree_temperature": float(np.clip((1 - c) / (1 + c), 0, 1)),
        # A function that continues as c times the frozen one, the two halves of the target being
        # unrelated: 1 - (1 - c) + (1 - c)^2 / 2 = (1 + c^2) / 2 of the influence.
        "influence_overlap": influence * (1 - c) / 2,
        "learned_influence": influence * (1 - c) ** 2 / 2,
        "residual_variance": 0.02 * scale * random.random(),
    }


def _pairs(bit, n, scale):
    others = [i for i in range(n) if i != bit]
    lows = [[], *([i] for i in others[:3]), others[:2], others[2:4], others[:8]]
    return [
        {
            "low": low,
            "high": sorted([*low, bit]),
            "target_low": 0.0 if i % 2 else 0.125 * scale,
            "target_high": 0.0 if i == 1 else 0.5 * scale / (i + 1),
        }
        for i, low in enumerate(lows)
    ]


def _pair_values(pairs, share, random):
    values = []
    for pair in pairs:
        total = pair["target_low"] + pair["target_high"]
        twin = 0.1 * total * share
        noise = 0.02 * abs(total) * random.standard_normal(2)
        values.append([share * total - twin + noise[0], twin + noise[1]])
    return values


def _config(task, model, bits, seeds, optimizer):
    return {
        "experiment": "canonical_holdout",
        "task": {"name": task, "window": 3},
        "model": {"name": model, "widths": [512, 1024]},
        "holdout": {"bits": ",".join(map(str, bits)), "value": 1},
        "data": {"samples": 1900},
        "train": {
            "seeds": seeds,
            "first_seed": 0,
            "epochs": 100,
            "optimizer": optimizer,
            "learning_rate": 5e-05,
        },
        "evaluation": {},
        "checkpoint": {},
    }


def _record():
    return {
        "versions": {"pvr_jax": "0.1.0", "jax": "0.10.2", "flax": "0.12.8", "python": "3.11.7"},
        "devices": {"platform": "cpu", "kind": "cpu", "count": 2},
        "precision": "highest",
        "git_commit": None,
        "command": "python -m experiments.main --config=configs/f3.py --workdir=results",
        "parameters": 1089153,
        "execution": "map",
        "stages": {"train": {"seconds": 151.2, "compile_seconds": 3.1}},
    }


def _write(path, document):
    path.write_text(json.dumps(document))
