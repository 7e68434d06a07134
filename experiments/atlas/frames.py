"""The data of the report: replicas, classes and functions, beside what theories predict of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy  # loads scipy.special, which takes long, where it is used

from pvr_jax.reporting.explorer import column_of
from pvr_jax.results import Study, statistics
from pvr_jax.results.study import once

THEORIES = ("interpolator", "wide NTK", "empirical NTK", "noise kernel")
LEAST = 1 / 16  # of E F² in a degree, for its share to be drawn
HALF = 0.5  # the share without a preference for low degree
WORST = 10
SHOWN = 5  # terms of a spectrum in a table
CLASS_SERIES = ("seen half", "learned without the frozen bit", "learned with it")
FUNCTION_SERIES = ("function", "learned")


def name_of(number: int, bits: int) -> str:
    """Return the truth table of a function in hexadecimal, a digit per four points."""
    return f"0x{number:0{max(2**bits // 4, 1)}x}"


@once
def replicas(study: Study) -> pd.DataFrame:
    """Return a row per replica, with predictions, beside how many intervals hold jointly."""
    names = ("predicted_share", "residual", "predicted_error_without_influence")
    return _judgeable(_predicted(study.final(), study, names), 1)


def _predicted(found: pd.DataFrame, study: Study, names: Sequence[str], *by: str) -> pd.DataFrame:
    """Add the predictions that there are, a column per theory."""
    for name in names:
        if name in study:
            found = found.merge(study.by_theory(name), on=["run", "replica", *by], how="left")
    return found


def _judgeable(found: pd.DataFrame, of_each: int) -> pd.DataFrame:
    """Add network, whether a fit is unfinished, and how many cells are compared within a run."""
    where = found["n"] - 1
    network = found["model"] + ", halves of " + where.astype(str) + " bits"
    error = found.groupby(["run", "cell"])["in_distribution_error"].transform("mean")
    cells = found.groupby("run")["cell"].transform("nunique")
    return found.assign(
        network=network,
        fitted=~statistics.unfinished(found["in_distribution_error"], np.full(len(found), HALF)),
        unfinished=statistics.unfinished(error, np.full(len(found), HALF)),
        comparisons=cells * of_each,
    )


@once
def by_degree(study: Study) -> pd.DataFrame:
    """Return a row per replica and degree of F, with the predicted shares."""
    shares = study.curve("share_by_degree")[["run", "replica", "degree", "share_by_degree"]]
    found = study.final().merge(shares.dropna(), on=["run", "replica"])
    found = _predicted(found, study, ["predicted_share_by_degree"], "degree")
    found = found.merge(_weights(study), on=["run", "function_class", "degree"])
    return _judgeable(found, 1).assign(
        comparisons=found.groupby("run")["cell"].transform("nunique")
        * found.groupby("run")["degree"].transform("nunique")
    )


def _weights(study: Study) -> pd.DataFrame:
    """Return the share of E F² that a class has in each degree, as `weight`."""
    found = study.curve("class_spectrum").rename(columns={"class": "function_class"})
    degree = found["monomial"].astype(str).str.count("x")
    found = found.assign(degree=degree, weight=found["class_spectrum"].astype(float) ** 2)
    return found.groupby(["run", "function_class", "degree"])["weight"].sum().reset_index()


def points_by_degree(study: Study) -> pd.DataFrame:
    """Return a row per cell and degree, and the mean of every theory."""
    found = by_degree(study)
    found = found[found["weight"] > LEAST * 0.999]
    values = [name for name in found if "share_by_degree" in name]
    keys = ["run", "network", "degree"]
    means = found.groupby([*keys, "cell"], sort=False)[values].mean().reset_index()
    for name in values[1:]:
        means[name] = means.groupby(keys)[name].transform("mean").round(6)
    means["cell"] = [hex(cell) for cell in means["cell"]]
    return means.drop(columns="run").rename(columns={"cell": "replica"})


def error_lines(study: Study) -> pd.DataFrame:
    """Return the errors of all functions by influence, of measurement and theories."""
    facts = study.curve("error_at_influence", "smallest_error", "largest_error")
    lines = {"all functions, mean": "error_at_influence"}
    lines |= {"smallest": "smallest_error", "largest": "largest_error"}
    found = [facts.assign(of=entry, error=facts[name]) for entry, name in lines.items()]
    own = replicas(study)
    for theory in ("interpolator", "wide NTK", "empirical NTK"):
        if f"predicted_share_{theory}" not in own:
            continue
        names = [f"predicted_share_{theory}", f"predicted_error_without_influence_{theory}"]
        weighted = own[names].mul(own["functions"], axis=0).groupby(own["run"]).sum(min_count=1)
        mean_of = weighted.div(own.groupby("run")["functions"].sum(), axis=0)
        share, first = (facts["run"].map(mean_of[name]) for name in names)
        line = first + (2 * share - 1) * facts["influence"]
        found.append(facts.assign(of=theory, error=line))
    named = pd.concat(found, ignore_index=True).dropna(subset=["error"])
    network = named["model"] + ", functions of " + named["n"].astype(str) + " bits"
    return named.assign(network=network)[["run", "network", "influence", "of", "error"]]


def overall(study: Study) -> pd.DataFrame:
    """Return a row per run: a uniformly drawn function with a uniformly drawn bit frozen."""
    names = ("error_at_influence", "error_deviation", "share_below")
    found = study.curve(*names)
    count = found.groupby("run")["influence"].transform("size") - 1
    differing = (found["influence"] * count).round()
    weight = scipy.special.comb(count, differing) / 2.0**count
    mean_error, deviation, below = (found[name] for name in names)
    high = found["influence"] > HALF
    sums = pd.DataFrame(
        {
            "mean_error": weight * mean_error,
            "square": weight * (deviation**2 + mean_error**2),
            "mean_influence": weight * found["influence"],
            "below": weight * below,
            "below_low": weight * below * ~high,
            "low": weight * ~high,
            "below_high": weight * below * high,
            "high": weight * high,
        }
    )
    of_run = sums.groupby(found["run"], sort=False).sum()
    first = study.final().groupby("run", sort=False)[["model", "n"]].first()
    return of_run.assign(
        functions_of_all=first["n"].map(lambda n: float(2 ** (2**n))),
        deviation=np.sqrt(of_run["square"] - of_run["mean_error"] ** 2),
        below_low=of_run["below_low"] / of_run["low"],
        below_high=of_run["below_high"] / of_run["high"],
    ).join(first).reset_index()  # fmt: skip


def _expression(values: np.ndarray, order: np.ndarray, names: list[str]) -> str:
    """Return the terms of a spectrum in an order, up to `SHOWN` of them."""
    terms = [f"{values[i]:+.3g}".replace("-", "−") + f" {names[i]}" for i in order[:SHOWN]]
    return " ".join(terms)


def _of_classes(study: Study) -> pd.DataFrame:
    """Return a row per run and class, with the spectra as arrays over monomials."""
    names = ["class_spectrum", "learned_low", "learned_high"]
    found = study.curve(*names)
    found = found.assign(monomial=found["monomial"].astype(str))
    rows = []
    for (run, name), own in found.groupby(["run", "class"], sort=False):
        spectra = {n: own[n].to_numpy() for n in names}
        labels = own["monomial"].tolist()
        rows.append({"run": run, "function_class": name, "monomials": labels, **spectra})
    return pd.DataFrame(rows)


@once
def exceptions(study: Study) -> pd.DataFrame:
    """Return the replicas of the classes furthest from the low-degree prediction, worst first."""
    found = replicas(study)
    found = found[found["n"] == found["n"].max()]
    leaks = found.groupby(["run", "function_class"], sort=False)["leak"].mean().reset_index()
    worst = leaks.sort_values("leak", ascending=False, kind="stable").groupby("run").head(WORST)
    worst = worst.merge(_of_classes(study), on=["run", "function_class"])
    rows = []
    for row in worst.itertuples():
        order = np.argsort(-np.abs(row.class_spectrum), kind="stable")
        order = order[np.abs(row.class_spectrum[order]) > 0]
        spectra = {
            name: _expression(getattr(row, name), order, row.monomials)
            for name in ("class_spectrum", "learned_low", "learned_high")
        }
        rows.append({"run": row.run, "function_class": row.function_class, **spectra})
    found = pd.DataFrame(rows).merge(found, on=["run", "function_class"], how="left")
    return found.assign(function_class=_names(found["function_class"], found["n"] - 1))


def _names(numbers: pd.Series, bits: pd.Series) -> list[str]:
    return [name_of(*own) for own in zip(numbers, bits, strict=True)]


def classes_to_explore(study: Study) -> pd.DataFrame:
    """Return a row per run and class: share, prediction and spectra."""
    own = replicas(study)
    means = ["share", "leak", *(f"predicted_share_{name}" for name in THEORIES)]
    keys = ["run", "network", "n", "function_class"]
    found = own.groupby(keys, sort=False)[means].mean().reset_index()
    found = found.merge(_of_classes(study), on=["run", "function_class"])
    found["function_class"] = _names(found["function_class"], found["n"] - 1)
    text = [
        f"F = {row.function_class}: share {row.share:.3f},\nempirical NTK "
        f"{row.predicted:.3f}, leak {row.leak:.3f}"
        for row in found.assign(predicted=found["predicted_share_empirical NTK"]).itertuples()
    ]
    sources = zip(CLASS_SERIES, ("class_spectrum", "learned_low", "learned_high"), strict=True)
    items = _items(found["monomials"])
    details = _details(found, dict(sources), items)
    key = found["network"] + " " + found["function_class"]
    found = pd.concat([found.assign(text=text, key=key), details], axis=1)
    return found.sort_values("leak", ascending=False, kind="stable")


def _items(monomials: pd.Series) -> list[str]:
    longest = max(monomials, key=len, default=[])
    return sorted(longest, key=lambda name: (len(name) if name != "1" else 0, name))


def _details(frame: pd.DataFrame, sources: dict[str, str], items: list[str]) -> pd.DataFrame:
    """Return a column per series and item, missing where there is no such monomial."""
    found = {}
    for series, source in sources.items():
        rows = [
            dict(zip(names, values, strict=True))
            for names, values in zip(frame["monomials"], frame[source], strict=True)
        ]
        for item in items:
            values = [row.get(item, np.nan) for row in rows]
            found[column_of(series, item)] = np.round(values, 3)
    return pd.DataFrame(found, index=frame.index)


@once
def functions_to_explore(study: Study) -> pd.DataFrame:
    """Return a row per function with a frozen bit, up to symmetry: error, influence, spectra."""
    names = ["function_class_of", "function_influence", "function_error"]
    names += ["function_error_low", "function_error_high"]
    if "function_error" not in study:
        return pd.DataFrame(columns=["function_error"])
    found = study.curve(*names)
    spectra = study.curve("function_spectrum", "function_learned")
    rows = spectra.groupby(["run", "function"], sort=False)
    found["monomials"] = [own["set"].astype(str).tolist() for _, own in rows]
    for name in ("function_spectrum", "function_learned"):
        found[name] = [own[name].to_numpy() for _, own in rows]
    for name in ("function", "function_class_of"):
        found[name] = _names(found[name], found["n"])
    verdict = [
        statistics.against(row.function_error_low, row.function_error_high, row.function_influence)
        for row in found.itertuples()
    ]
    text = [
        f"f = {row.function}, class {row.function_class_of},\ninfluence "
        f"{row.function_influence:.4g}, error {row.function_error:.3f}"
        for row in found.itertuples()
    ]
    words = {"below": "below the influence", "above": "above the influence"}
    verdict = [words.get(own, "not distinguished") for own in verdict]
    sources = dict(zip(FUNCTION_SERIES, ("function_spectrum", "function_learned"), strict=True))
    details = _details(found, sources, _items(found["monomials"]))
    found = found.assign(text=text, verdict=verdict, influence=found["function_influence"])
    apart = (found["function_error"] - found["influence"]).abs()
    return pd.concat([found, details], axis=1).loc[apart.sort_values(ascending=False).index]
