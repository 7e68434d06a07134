"""Frames of the report: a row per replica, with predictions and labels."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pvr_jax.reporting.rows import in_order, labels
from pvr_jax.results import Study, statistics
from pvr_jax.results.study import once
from pvr_jax.results.verdicts import MARGIN

THEORIES = {"linear_regression": "linear regression"}
THEORIES |= {"wide_ntk": "wide NTK", "empirical_ntk": "empirical NTK"}
LEFT = {
    f"residual_{name}": words for name, words in ({"influence": "influence"} | THEORIES).items()
}
# The noise kernel has one free parameter, ρ, fitted to every replica; the others have none.
NOISE = {"residual_noise_kernel": "noise kernel"}
ERROR, SEEN = "generalization_error", "in_distribution_error"
# Coordinates that become part of a model's label if they differ.
SETTINGS = ("optimizer", "init_scale", "setting", "learning_rate")
MIN_EXPONENTS = 3
MAX_PAIRS, MAX_ROWS = 8, 48  # beyond these the leak is clearer
MAX_CURVES, MAX_COLORS = 4, 4
ROUNDING = 1e-12  # relative rounding of sums of 2^n products in float64
_CELL = ["task", "frozen_bit", "model"]
_EXPONENT = re.compile(r"alpha=([^,)]+)(?:, )?")


@once
def replicas(study: Study) -> pd.DataFrame:
    """Return a row per replica with a frozen bit: measures and predictions."""
    found = study.final()
    found = found[found["frozen_bit"].notna()].astype({"frozen_bit": int})
    diverged = found["diverged_at"] >= 0
    found["model"] = _models(found)
    found = found.drop(columns=[*SETTINGS, "n"], errors="ignore")
    found = found.merge(_theories(study), on=["run", "replica"], how="left")
    predicted = [name for name in found if name.startswith("predicted_")]
    found.loc[diverged.to_numpy(), predicted] = np.nan
    tasks, margins = _settings(study)
    influence = found["influence"]
    dependence = found["learned_influence"] - 2 * found["influence_overlap"]
    cells = found.groupby(_CELL)
    seen = cells[SEEN].transform("mean")
    found = found.assign(
        unit=influence.where(influence > 0, 1.0),
        difference=found[ERROR] - influence,
        added=found[ERROR] - found[SEEN],
        twice_overlap=2 * found["influence_overlap"],
        not_fitted=found[ERROR] - influence - dependence,
        counted=~diverged.to_numpy(),
        # A fit that was not measured has no verdict either.
        unfinished=statistics.unfinished(seen, found["seen_constant_error"]) | seen.isna(),
        comparisons=int((cells[ERROR].count() > 1).sum()),
        margin=found["run"].map(margins),
        looks=found["run"].map({r.attrs["run"]: r.attrs.get("looks", "") for r in study.runs}),
        **_left_by_shrinking(study, found),
    )
    found["frozen"] = _kinds(tasks, found)
    return in_order(found, *_CELL)


def _theories(study: Study) -> pd.DataFrame:
    """Return predictions and residuals, with columns for every theory that applies."""
    if "predicted_generalization_error" not in study:
        return study.final()[["run", "replica"]]
    long = "predicted_generalization_error_"
    found = study.by_theory(long[:-1], f"{long}se", "residual").dropna(axis=1, how="all")
    found.columns = [c.replace(f"{long}se_", "se_").replace(long, "predicted_") for c in found]
    return found.drop(columns="predicted_influence", errors="ignore")


def _models(found: pd.DataFrame) -> pd.Series:
    """Return the labels of models, with the settings in which replicas of one label differ.

    Learning rates may differ between tasks.
    """
    if "setting" in found:  # it includes what has its own column
        redundant = r"(?:^|, )(optimizer|init_scales)=[^,)]+"
        found = found.assign(setting=found["setting"].str.replace(redundant, "", regex=True))
    words = {name: name.replace("_", " ") + " " for name in ("init_scale", "learning_rate")}
    label = labels(found, ["optimizer", "init_scale"], (), words, found["model"])
    label = labels(found, ["setting", "learning_rate"], _CELL[:2], words, label)
    same = found.assign(model=label)[[*_CELL, "seed"]].duplicated(keep=False)
    return label + found["run"].str[-8:].radd(", ").where(same, "")


def _settings(study: Study) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Return the task section of every run's configuration, and its margin of equality."""
    configs = {run.attrs["run"]: json.loads(run.attrs["config"]) for run in study.runs}
    margins = {r: c.get("evaluation", {}).get("margin", MARGIN) for r, c in configs.items()}
    return {run: config.get("task", {}) for run, config in configs.items()}, margins


def _left_by_shrinking(study: Study, found: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the residuals ½ E(g − h)² of the theories that shrink f₋ₖ, from stored measures.

    h is f on the seen half and ĉ f₋ₖ on the unseen half. There g is c f₋ₖ and a part orthogonal to
    it, so that E(g − h)² is the residual variance and (c − ĉ)² E f₋ₖ². Noise kernel: at each
    replica's own ρ̂, ĉ = (1 − ρ̂)/(1 + ρ̂). Influence, where no prediction has it: ĉ = 1.
    """
    if "frozen_degree_profile" not in study or "degree_temperature" not in found:
        return {"residual_noise_kernel": np.nan}
    profile = study.curve("frozen_degree_profile")
    squares = profile.groupby(["run", "replica"])["frozen_degree_profile"].sum(min_count=1)
    squares = squares.reindex(pd.MultiIndex.from_frame(found[["run", "replica"]])).to_numpy()

    def left(shrinking: pd.Series | float) -> pd.Series:
        apart = (found["projection"] - shrinking) ** 2 * squares
        return found[SEEN] / 2 + (found["residual_variance"] + apart) / 4

    rho = found["degree_temperature"]
    known = found.get("residual_influence", pd.Series(np.nan, found.index))
    return {
        "residual_noise_kernel": left((1 - rho) / (1 + rho)),
        "residual_influence": known.fillna(left(1.0)),
    }


def _kinds(tasks: Mapping[str, Mapping[str, Any]], found: pd.DataFrame) -> pd.Series:
    """Return the group of every frozen bit: without influence, pointer bit, or value bit."""
    known = {"pvr_majority": 3}
    pointers = {run: t.get("pointer_bits", known.get(t.get("name"))) for run, t in tasks.items()}
    count = found["run"].map(pointers).astype(float)
    kinds = pd.Series("bits", found.index)
    kinds = kinds.mask(count.notna(), "value bits")
    kinds = kinds.mask(found["frozen_bit"] < count, "pointer bits")
    nothing = found[found["influence"] == 0]
    bits = ", ".join(map(str, sorted(set(nothing["frozen_bit"]))))
    name = f"bit{'s' if ',' in bits else ''} {bits} (influence 0)"
    return kinds.mask(
        found["influence"] == 0, name if found["task"].nunique() == 1 else "bits of influence 0"
    )


@once
def by_kind(study: Study) -> pd.DataFrame:
    """Return the replicas by model and group of frozen bits, those without influence first."""
    order = ["influence 0", "pointer bits", "value bits", "bits"]
    found = replicas(study)
    place = [next(i for i, words in enumerate(order) if words in kind) for kind in found["frozen"]]
    found = in_order(found.assign(place=place), "model", "place")
    measured = found[found[ERROR].notna()]
    rows = len(measured[["model", "frozen"]].drop_duplicates())
    unfinished = measured.groupby(["model", "frozen"])["unfinished"].transform("any")
    return measured.assign(comparisons=rows, unfinished=unfinished)


def without_influence(study: Study) -> pd.DataFrame:
    """Return the replicas whose frozen bit the target does not depend on."""
    return by_kind(study).query("influence == 0")


def with_influence(study: Study) -> pd.DataFrame:
    """Return the replicas whose frozen bit the target depends on."""
    return by_kind(study).query("influence > 0")


def charted(study: Study) -> pd.DataFrame:
    """Return the replicas for a chart: many models have panels, few have colors.

    Without predictions whose standard error is above half of them: they would set the scale.
    """
    found = replicas(study)
    for name in found.filter(regex="^se_"):
        prediction = name.replace("se_", "predicted_")
        value = found[prediction]
        found = found.assign(**{prediction: value.mask(found[name] > value / 2)})
    if found["model"].nunique() <= MAX_COLORS:
        return found
    task = found["task"] + ", " if found["task"].nunique() > 1 else ""
    return in_order(
        found.assign(task=task + found["model"], model="replicas"), "task", "frozen_bit"
    )


@once
def scan(study: Study) -> pd.DataFrame:
    """Return the replicas of networks with three or more init exponents α.

    `network` is the model without its exponent.
    """
    found = replicas(study)
    alpha = found["model"].str.extract(_EXPONENT, expand=False).astype(float)
    network = found["model"].str.replace(_EXPONENT, "", regex=True)
    network = network.str.replace(", )", ")", regex=False).str.replace(" ()", "", regex=False)
    found = found.assign(alpha=alpha, network=network)
    several = found.groupby("network")["alpha"].transform("nunique") >= MIN_EXPONENTS
    if (name := "predicted_linear_regression") in found:
        found[name] = found.groupby(["task", "frozen_bit"])[name].transform("mean")
    found = found[several].drop(columns="model")
    return in_order(found, "task", "frozen_bit", "network", "alpha")


def pairs(study: Study, last: bool = True) -> pd.DataFrame:
    """Return a row per replica and aliased pair whose high-degree monomial is in the target.

    The largest come first.

    Args:
        study: if a target has many pairs, or the study many rows, there are no rows.
        last: whether to return the last step only.
    """
    found = []
    for run in study.runs if "tracked_coefficients" in study else ():
        if "tracked_coefficients" not in run:
            continue
        own = run.isel(step=[-1]) if last and "step" in run.dims else run
        values = own["tracked_coefficients"].to_dataset("member").drop_attrs()
        for part in ("mean", "low", "high"):  # kept studies may have these instead of values
            if (name := f"tracked_coefficients_{part}") in own:
                kept = own[name].to_dataset("member").drop_attrs()
                values = values.assign({f"{member}_{part}": kept[member] for member in kept})
        values = values.assign({n: own[n] for n in own if str(n).startswith("pair_")})
        found.append(values.to_dataframe().reset_index().assign(run=run.attrs["run"]))
    if not found:
        return pd.DataFrame()
    found = pd.concat(found, ignore_index=True)
    found = found[found["pair_target_high"].fillna(0) != 0]
    known = replicas(study)[["run", "replica", "task", "model", "influence"]]
    found = found.drop(columns=[*SETTINGS, "n"], errors="ignore").merge(
        known, on=["run", "replica"]
    )
    sizes = found["pair_target_high"].abs()
    found = found.assign(size=-sizes).sort_values("size", kind="stable").drop(columns="size")
    return in_order(found, *_CELL)


@once
def pair_table(study: Study) -> pd.DataFrame:
    """Return the pairs at the last step; none if they are too many for a table."""
    found = pairs(study)
    if not len(found):
        return found
    rows = found[[*_CELL, "pair"]].drop_duplicates()
    many = rows.groupby(_CELL).size().max() > MAX_PAIRS or len(rows) > MAX_ROWS
    return found.iloc[:0] if many else found


def pair_curves(study: Study) -> pd.DataFrame:
    """Return the coefficients of the largest pairs over steps, a row per monomial."""
    found = pairs(study, last=False)
    found = found[found["pair"].isin(sorted(set(found["pair"]))[:MAX_CURVES])]
    shared = [name for name in found if name not in ("T", "twin")]
    long = found.melt(shared, ["T", "twin"], var_name="member", value_name="coefficient")
    long["panel"] = [
        f"bit {b}, {m}" for b, m in zip(long["frozen_bit"], long["model"], strict=True)
    ]
    long["predicted"] = long["pair_limit"].where(long["member"] == "T", 0.0)
    long["member"] = long["member"].replace("twin", "T ∪ {k}")
    return long


def profiles(study: Study) -> pd.DataFrame:
    """Return the Fourier mass per degree at every step, and that of the frozen target."""
    names = ["degree_profile", "frozen_degree_profile"]
    found = study.curve(*names).drop(columns=[*SETTINGS, "n"], errors="ignore")
    found = found[found["frozen_bit"].notna()].astype({"frozen_bit": int})
    labels = replicas(study)[["run", "replica", "model"]].drop_duplicates()
    found = found.drop(columns="model").merge(labels, on=["run", "replica"])
    exact_ones = found.drop_duplicates([*_CELL[:2], "degree"]).assign(
        degree_profile=lambda f: f["frozen_degree_profile"], model="frozen target", step=np.nan
    )
    return pd.concat([found, exact_ones], ignore_index=True)


@once
def matched(study: Study) -> pd.DataFrame:
    """Return the replicas that saw the whole cube, ordered by noise stability, descending."""
    found = study.final()
    found = found[found["frozen_bit"].isna()].drop(columns="frozen_bit")
    if not len(found):
        return found
    found = found.assign(model=_models(found.assign(frozen_bit=-1)))
    found = found.drop(columns=[*SETTINGS, "n"], errors="ignore")
    constant = found["constant_error"].where(found["constant_error"] > 0)
    diverged = found["diverged_at"] >= 0
    found = found.assign(relative_error=found[ERROR] / constant, counted=~diverged)
    found = in_order(found, "task", "model")
    return found.sort_values("target_noise_stability", ascending=False, kind="stable")


def targets(study: Study) -> pd.DataFrame:
    """Return a row per model and target with nothing frozen, with mean errors."""
    found = matched(study).groupby(["model", "task"], sort=False).mean(numeric_only=True)
    predictability, bound, stability = (
        found[f"target_{name}"] * (1 + ROUNDING) ** i
        for i, name in enumerate(
            ("orbit_cross_predictability", "orbit_cross_predictability_bound", "noise_stability")
        )
    )
    ordered = (predictability <= bound) & (bound <= stability)
    return found.assign(ordered=ordered).reset_index()


def not_defined(study: Study) -> list[str]:
    """Return a line per run and theory that does not apply to it."""
    if "not_defined" not in study or not has_frozen(study):
        return []
    found = study.curve("not_defined")
    return [
        f"{row.run}: no {THEORIES.get(row.theory, row.theory)}: {row.not_defined}"
        for row in found[found["not_defined"] != ""].itertuples()
        if row.run in set(replicas(study)["run"])
    ]


def has_frozen(study: Study) -> bool:
    """Return whether some run has a frozen bit."""
    return any(run.attrs["holdout"] == "canonical" for run in study.runs)


def has_matched(study: Study) -> bool:
    """Return whether some run saw the whole cube."""
    return any(run.attrs["holdout"] == "matched" for run in study.runs)


def has_few_models(study: Study) -> bool:
    """Return whether models are columns of a table."""
    return 1 < replicas(study)["model"].nunique() <= MAX_COLORS


def has_pairs(study: Study) -> bool:
    """Return whether there are aliased pairs, few enough to list."""
    return len(pair_table(study)) > 0
