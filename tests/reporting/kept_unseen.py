"""Kept results of unseen domains and of the curriculum, as the objects that reports are made of.

Only the last evaluation is there. Of coefficients and masses the files hold the mean over replicas
and its interval; replicas that have this mean and this interval stand in for them.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from pvr_jax.reporting.curriculum.arms import Arm, Stage
from pvr_jax.reporting.curriculum.arms import Replica as CurriculumReplica

from pvr_jax.reporting.runs import Replica
from pvr_jax.reporting.unseen import Cell, Monomial, Theory
from pvr_jax.reporting.unseen.definitions import MEASURES

ERROR, UNEXPLAINED = "_unseen_error", "unexplained_"


def records(directory: Path) -> dict[str, dict]:
    """Return {run: {"config", "run"}} of kept results."""
    return json.loads((directory / "run.json").read_text())["runs"]


def kept_cells(directory: Path) -> list[Cell]:
    """Return the cells of kept results of the unseen domain."""
    table = pd.read_csv(directory / "table.csv", keep_default_na=False, na_values=[""])
    replicas = pd.read_csv(directory / "replicas.csv").groupby("run", sort=False)
    coefficients = pd.read_csv(directory / "coefficients.csv", dtype={"coordinates": str})
    coefficients = dict(iter(coefficients.groupby("run", sort=False)))
    runs = records(directory)
    return [
        _cell(row, replicas.get_group(row["run"]), coefficients[row["run"]], runs)
        for _, row in table.iterrows()
    ]


def _cell(row: pd.Series, replicas: pd.DataFrame, own: pd.DataFrame, runs: dict) -> Cell:
    name, _, variant = row["run"].partition(", ")
    theories = [c.removesuffix(ERROR) for c in row.index if c.endswith(ERROR)]
    theories = [t for t in theories if np.isfinite(row[f"{t}{ERROR}"])]
    words = ("setting", "task", "task_label", "model", "model_label", "optimizer", "size", "seen")
    lost = np.array([not pd.isna(step) for step in replicas["diverged_at"]])
    return Cell(
        name=row["run"],
        directory=Path(name),
        experiment="unseen_domain",
        variant=variant,
        **{word: "" if pd.isna(row[word]) else str(row[word]) for word in words},
        learning_rate=_optional(row["learning_rate"]),
        init_scale=_optional(row["init_scale"]),
        n=int(row["n"]),
        seen_fraction=float(row["seen_fraction"]),
        exact=bool(row["exact"]),
        points=_optional(row["points"], int),
        training_samples=_optional(row["training_samples"], int),
        loss=row["loss"],
        steps=np.array([row["step"]]),
        replicas=tuple(
            Replica(
                name=replica.replica,
                bit=None,
                seed=replica.seed,
                diverged_at=_optional(replica.diverged_at, int),
                learning_rate=_optional(replica.learning_rate),
                init_scale=_optional(replica.init_scale),
            )
            for replica in replicas.itertuples()
        ),
        measures={m: replicas[m].to_numpy(float)[None] for m in MEASURES if m in replicas},
        mean_square=row["target_mean_square"],
        monomials=tuple(
            Monomial(
                () if pd.isna(c.coordinates) else tuple(map(int, c.coordinates.split())),
                c.target,
                c.min_degree,
            )
            for c in own.itertuples()
        ),
        coefficients=np.stack(
            [_stand_ins(c.learned, c.learned_high - c.learned, lost) for c in own.itertuples()],
            axis=-1,
        )[None],
        **_profiles(row, lost),
        theories={t: Theory(np.nan, row[f"{t}{ERROR}"], own[t].to_numpy(float)) for t in theories},
        unexplained={
            t: replicas[f"{UNEXPLAINED}{t}"].to_numpy(float)
            for t in theories
            if replicas[f"{UNEXPLAINED}{t}"].notna().any()
        },
        not_defined={},
        config=runs[name]["config"],
        record=runs[name]["run"],
    )


def _profiles(row: pd.Series, lost: np.ndarray) -> dict[str, np.ndarray | None]:
    """Return masses by degree that have the kept sums, mean square and highest degree."""
    n = int(row["n"])
    names = ("degree_profiles", "target_degree_profile", "min_degree_profile")
    if not row["exact"]:
        return dict.fromkeys(names)
    learned, target, least = np.zeros((len(lost), n + 1)), np.zeros(n + 1), np.zeros(n + 1)
    target[0] = row["target_mean_square"]
    degree = row["highest_degree"]
    least[n if np.isnan(degree) else int(degree)] = 1.0
    if np.isfinite(degree):
        above = row["target_mass_above"]
        target[[0, int(degree) + 1]] = row["target_mean_square"] - above, above
        width = row["mass_above"] * np.log(row["mass_above_high"] / row["mass_above"])
        learned[:, int(degree) + 1] = _stand_ins(row["mass_above"], width, lost)
    return dict(zip(names, (learned[None], target, least), strict=True))


def _stand_ins(mean: float, half_width: float, lost: np.ndarray) -> np.ndarray:
    """Return values [r] whose counted ones have this mean and this 95 % half width of Student's t.

    Two lie on either side of the mean, the others on it.
    """
    count = int((~lost).sum())
    values = np.where(lost, np.nan, mean)
    if count >= 2 and np.isfinite(half_width):
        deviation = half_width * np.sqrt(count) / scipy.stats.t.ppf(0.975, count - 1)
        first, second = np.flatnonzero(~lost)[:2]
        values[[first, second]] += np.array([-1, 1]) * deviation * np.sqrt((count - 1) / 2)
    return values


def kept_arms(directory: Path) -> list[Arm]:
    """Return the arms of kept results of the degree curriculum."""
    replicas = pd.read_csv(directory / "replicas.csv", dtype={"stage_iterations": str})
    stages = pd.read_csv(directory / "stages.csv")
    runs = records(directory)
    return [_arm(str(name), own, stages, runs) for name, own in replicas.groupby("run", sort=False)]


def _arm(name: str, replicas: pd.DataFrame, stages: pd.DataFrame, runs: dict) -> Arm:
    run = name.split(", ")[0]
    config = runs[run]["config"]
    setting = ["learning_rate", "init_scale", "samples", "leap"]
    first = replicas.iloc[0]
    of_arm = (stages[setting] == first[setting]).all(axis=1) & (stages["run"] == run)
    kept = stages[of_arm].sort_values("radius")
    radii = list(zip(kept["radius"], kept["inside"], strict=True))
    radii = radii or [(first["leap"], first["samples"])]
    return Arm(
        name=name,
        directory=Path(run),
        task=config["task"]["name"],
        model=config["model"]["name"],
        optimizer=config["train"]["optimizer"],
        size=config["size"],
        n=config["task"]["n"],
        samples=int(first["samples"]),
        leap=int(first["leap"]),
        learning_rate=float(first["learning_rate"]),
        init_scale=float(first["init_scale"]),
        threshold=config["curriculum"]["threshold"],
        half_variance=float(first["constant_error"]),
        epochs=np.array([config["train"]["epochs"]]),
        iterations=replicas["iterations"].to_numpy(float)[None],
        replicas=tuple(
            CurriculumReplica(
                name=r.replica,
                seed=r.seed,
                finished=r.finished,
                iterations=r.iterations,
                epochs=_optional(r.epochs, int),
                radius=r.radius,
                diverged_at=_optional(r.diverged_at, int),
                stages=_stages(r.stage_iterations, radii),
            )
            for r in replicas.itertuples()
        ),
        measures={
            measure: replicas[measure].to_numpy(float)[None]
            for measure in ("generalization_error", "in_distribution_error", "target_coefficient")
        },
        config=config,
        record=runs[run]["run"],
    )


def _stages(iterations: object, radii: list[tuple[int, float]]) -> tuple[Stage, ...]:
    """Return the stages that a replica passed; `radii` have the mean samples inside."""
    passed = [] if pd.isna(iterations) else str(iterations).split()
    return tuple(
        Stage(radius=int(radius), samples=inside, epochs=0, iterations=int(taken))
        for taken, (radius, inside) in zip(passed, radii, strict=False)
    )


def _optional(value: object, kind: type = float) -> object:
    return None if pd.isna(value) else kind(value)
