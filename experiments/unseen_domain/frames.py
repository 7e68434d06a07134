"""Frames of the report on unseen domains."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from pvr_jax.reporting.columns import Group
from pvr_jax.reporting.exhibits import context_of, groups, settings
from pvr_jax.reporting.rows import along, in_order, labels
from pvr_jax.results import Study, statistics
from pvr_jax.results.study import once

MDI, NTK, EMPIRICAL = "min_degree", "wide_ntk", "empirical_ntk"
NAMES = {MDI: "MDI", NTK: "wide NTK", EMPIRICAL: "empirical NTK"}
ERROR, RESIDUAL = "predicted_unseen_error", "residual"
# The MDI's unseen error relative to that of the zero function: above the first, no network comes
# near the MDI; below the second, the MDI is the target.
FAR, SAME = 100.0, 1e-12
MIN_RATES = 3
KEYS = ("task", "model", "learning_rate")
OVER = ("n", "optimizer")  # included in labels of task, model or setting
DIFFERING = ("setting", "learning_rate", "init_scale")  # between networks of one model
UNDEFINED = ("mass_above", "highest_degree", "target_mass_above")


@once
def replicas(study: Study) -> pd.DataFrame:
    """Return a row per replica, with predictions and the `state` of its setting.

    "near" if the MDI is within reach, "far" if not, "same" if it is the target, "unfinished" if a
    fit is not finished, "unmeasured" if one is not known, or "unknown". `comparisons` is the number
    of settings with a verdict.
    """
    found = study.final()
    if RESIDUAL in study:
        found = found.merge(study.by_theory(ERROR, RESIDUAL), on=["run", "replica"], how="left")
    missing = [*UNDEFINED, *(f"{name}_{theory}" for name in (ERROR, RESIDUAL) for theory in NAMES)]
    found = found.assign(**{name: np.nan for name in missing if name not in found})
    found = in_order(found, "task", "model")
    if "setting" in found:
        alike = found.groupby([*KEYS, "init_scale"], dropna=False)["setting"]
        found = found if alike.nunique(dropna=False).max() > 1 else found.drop(columns="setting")
    mdi, zero = found[f"{ERROR}_{MDI}"], found["target_mean_square"] / 2
    own = mdi.where(mdi > SAME * zero)
    found = found.assign(
        counted=found["diverged_at"] < 0,
        unfinished=statistics.unfinished(
            found["in_distribution_error"], found["seen_variance"] / 2
        ),
        distance_share=found["unseen_distance"] / own,
        error_share=found["unseen_error"] / own,
        margin=(found["unseen_distance"] - found["unseen_error"]) / own,
        rival=found[f"{RESIDUAL}_{MDI}"] - found[f"{RESIDUAL}_{NTK}"],
        times_zero=mdi / zero,
        seen_percent=100 * found["seen_fraction"],
        network=labels(found, DIFFERING, ["task"], start=found["model"]),
        as_mdi=0.0,
        as_target=1.0,
    )
    found["condition"] = found["task"] + ", " + found["network"]
    cell = found.groupby(keys_of(found, study), dropna=False, sort=False)
    is_lost = ~cell["counted"].transform("any")
    is_open = cell["unfinished"].transform("any")
    is_known = (found["in_distribution_error"].notna() | ~found["counted"]).groupby(cell.ngroup())
    states = {
        "unknown": is_lost,
        "unfinished": is_open,
        "unmeasured": ~is_known.transform("all"),
        "same": own.isna() & mdi.notna(),
        "far": mdi > FAR * zero,
        "near": mdi.notna(),
    }
    found["state"] = np.select(list(states.values()), list(states), "unknown")
    judged = (cell["margin"].count() > 1) & (cell["times_zero"].max() <= FAR)
    return found.assign(comparisons=int(judged.sum()))


def keys_of(frame: pd.DataFrame, study: Study) -> list[str]:
    """Return the columns that identify a setting."""
    return settings(frame, context_of(study), KEYS, OVER)


def of_state(*states: str, known: str = "replica") -> Callable[[Study], pd.DataFrame]:
    """Return a function of a study: the replicas with a value in settings in these states."""

    def data(study: Study) -> pd.DataFrame:
        found = replicas(study)
        return found[found["state"].isin(states) & found[known].notna()]

    return data


def cells(study: Study, *states: str) -> list[Group]:
    """Return the settings in these states, each a group of replicas."""
    found = replicas(study)
    return groups(found[found["state"].isin(states)], keys_of(found, study))


def scans(study: Study) -> pd.DataFrame:
    """Return the fitted replicas of networks with three or more learning rates."""
    found = of_state("near", "far", "unknown", known="dropped_share")(study)
    keys = [key for key in keys_of(found, study) if key != "learning_rate"]
    kept = [g for g in groups(found, keys) if g["learning_rate"].nunique() >= MIN_RATES]
    return pd.concat(kept).assign(scans=len(kept)) if kept else found.iloc[:0]


def distances(study: Study) -> pd.DataFrame:
    """Return the unseen error and distance to the MDI of every replica and step."""
    names = {"unseen_error": "unseen error", "unseen_distance": "distance to MDI"}
    found = along(study, replicas(study), *names)
    return pd.concat(
        [found.assign(value=found[name], of=words) for name, words in names.items()],
        ignore_index=True,
    )


@once
def coefficients(study: Study) -> pd.DataFrame:
    """Return a row per replica, step and monomial, with its coefficients in target and theories."""
    kept = [f"coefficients_{part}" for part in ("mean", "low", "high")]
    found = along(study, replicas(study), *(["coefficients"] if "coefficients" in study else kept))
    known = study.curve("target_coefficients")[["run", "monomial", "target_coefficients"]]
    found = found.merge(known, on=["run", "monomial"])
    if RESIDUAL in study:
        own = study.by_theory("predicted_coefficients")
        found = found.merge(own, on=["run", "replica", "monomial"])
    names = {f"predicted_coefficients_{theory}": theory for theory in NAMES}
    found = found.rename(columns=names)
    found = found.assign(**{name: np.nan for name in NAMES if name not in found})
    followed = found.groupby(["run", "replica"])["monomial"].transform("nunique")
    within = found[MDI].where(found["times_zero"] <= FAR)
    return found.assign(followed=followed, mdi_within_reach=within)


def last_coefficients(study: Study) -> pd.DataFrame:
    """Return the rows of `coefficients` at the end of training."""
    found = coefficients(study)
    if "step" not in found:
        return found
    return found[found["step"] == found.groupby("run")["step"].transform("max")]


def profiles(study: Study) -> pd.DataFrame:
    """Return the mass per degree of every replica and step, and of target and MDI."""
    found = along(study, replicas(study), "degree_profile").assign(of="learned")
    first = found.drop_duplicates(["condition", "step", "degree"]).drop(columns="degree_profile")
    parts = [found]
    for name, words in (("target_degree_profile", "target"), ("min_degree_profile", "MDI")):
        if name in study:
            known = study.curve(name)[["run", "degree", name]]
            known = known.rename(columns={name: "degree_profile"})
            parts.append(first.merge(known, on=["run", "degree"]).assign(of=words))
    return pd.concat(parts, ignore_index=True)


def not_defined(study: Study) -> pd.DataFrame:
    """Return a row per run and theory that does not apply to it.

    The theory for small cubes is left out if it applies to no run.
    """
    found = study.curve("not_defined")
    of_small = found["theory"] == EMPIRICAL
    if (found.loc[of_small, "not_defined"] != "").all():
        found = found[~of_small].copy()
    found["theory"] = found["theory"].map(lambda name: NAMES.get(name, name))
    return in_order(found[found["not_defined"] != ""], "task", "model")
