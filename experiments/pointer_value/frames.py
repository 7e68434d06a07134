"""Frames of the exhibits, derived from the replicas of a study."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting import columns
from pvr_jax.reporting.exhibits import format_coordinate
from pvr_jax.reporting.rows import along, labels
from pvr_jax.results import Study, statistics
from pvr_jax.results.study import once

# Columns of the network, and of a condition, whose replicas differ only in the seed.
TRAINED = ["model", "task", "setting", "learning_rate", "init_scale"]
FUNCTION = ["network", "aggregation", "complexity"]
CONDITION = [*FUNCTION, "withheld", "samples"]
SPLITS = {"iid": "i.i.d.", "withheld": "withheld"}
THRESHOLD = 0.95  # of i.i.d. accuracy, for samples to 95 %
LEARNED = 0.5  # of i.i.d. accuracy, for having learned the function
MAX_CLASSES = 12  # of a table of recalls
# Measures that some runs lack.
OPTIONAL = ["withheld_words", "share_removed_low", "share_removed_high"]
OPTIONAL += ["samples_to_95", "fewest_samples", "batch_loss"]
OPTIONAL += [f"{part}_{name}" for part in ("withheld", "train") for name in ("accuracy", "loss")]


@once
def replicas(study: Study) -> pd.DataFrame:
    """Return a row per replica, with its last values and exact facts about its function."""
    found = study.final()
    found = found.reindex(
        columns=list(dict.fromkeys([*found, *TRAINED, *CONDITION[1:], *OPTIONAL]))
    )
    found["aggregation"] = found["aggregation"].astype(object)
    order = ["task", "model", "aggregation"]
    found = found.sort_values(order, key=lambda c: c.replace("retrieval", ""), kind="stable")
    stream = found["samples"].isna()
    seen = found["iid_accuracy"].where(stream, found["train_accuracy"])
    found = found.assign(
        stream=stream,
        samples=found["samples"].fillna(found["samples_shown"]),
        training_loss=found["batch_loss"].where(stream, found["train_loss"]),
        seen=seen,
        gap=found["iid_accuracy"] - found["withheld_accuracy"],
        uniform_guess=1 / found["classes"],
        counted=found["diverged_at"] < 0,
        function=[_function(*row) for row in found[["aggregation", "complexity"]].to_numpy()],
        network=labels(
            found, TRAINED, prefixes={"learning_rate": "rate ", "init_scale": "init scale "}
        ),
    ).reset_index(drop=True)
    error = 1 - _over(found, "seen", CONDITION, "mean")
    fitted = error.notna() & ~statistics.unfinished(error, 1 - found["chance"])
    learned = found["iid_accuracy"] >= LEARNED
    return found.assign(
        unfinished=~fitted,
        memorized=(fitted & ~learned & ~found["stream"]).where(found["counted"]),
        least=found["withheld"] == _over(found, "withheld", FUNCTION, "min"),
        largest=found["samples"] == _over(found, "samples", [*FUNCTION, "withheld"], "max"),
    )


def _over(found: pd.DataFrame, name: str, keys: Sequence[str], how: str) -> pd.Series:
    return found.groupby(list(keys), dropna=False)[name].transform(how)


def _function(aggregation: object, complexity: object) -> str:
    if pd.isna(aggregation) or aggregation == "retrieval":
        return "" if pd.isna(aggregation) else "retrieval"
    return f"{aggregation}, complexity {format_coordinate(complexity)}"


def curves(found: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their panel and line in a chart.

    If conditions differ in what is withheld, a panel is a function, else an aggregation.
    """
    if found["withheld"].nunique() > 1:
        ordered = found.sort_values("withheld", kind="stable")
        panel = _joined(ordered["network"], ordered["function"])
        return ordered.assign(panel=panel, line=_withheld(ordered))
    rows = by_aggregation(found).sort_values("complexity", kind="stable")
    line = [
        what if pd.isna(complexity) else f"complexity {format_coordinate(complexity)}"
        for complexity, what in zip(rows["complexity"], _withheld(rows), strict=True)
    ]
    return rows.assign(panel=_joined(rows["network"], rows["aggregation"].fillna("")), line=line)


def by_aggregation(found: pd.DataFrame) -> pd.DataFrame:
    """Return rows with retrieval (complexity 0) repeated for every aggregation."""
    own = []
    for _, trained in found.groupby("network", sort=False):
        names = trained["aggregation"].unique()
        for name in [n for n in names if n != "retrieval"] or names:
            alike = trained["aggregation"].isin([name, "retrieval"])
            own.append(trained if pd.isna(name) else trained[alike].assign(aggregation=name))
    return pd.concat(own or [found], ignore_index=True)


def _withheld(found: pd.DataFrame) -> list[str]:
    """Return what is withheld in the training of every row."""
    kinds = []
    for count, complexity, task in found[["withheld", "complexity", "task"]].to_numpy():
        own = "own holdout" if ":" in task else "positional holdout"
        kind = own if pd.isna(complexity) else f"{count:.0f} withheld"
        kinds.append(kind if count else "nothing withheld")
    return kinds


def _joined(*columns: pd.Series) -> list[str]:
    return [", ".join(filter(None, row)) for row in zip(*columns, strict=True)]


def by_split(found: pd.DataFrame) -> pd.DataFrame:
    """Return rows with `accuracy` on i.i.d. inputs, and on withheld ones, if any."""
    parts = [
        found.assign(split=words, accuracy=found[f"{split}_accuracy"])
        for split, words in SPLITS.items()
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="accuracy")


@once
def sized(study: Study) -> pd.DataFrame:
    """Return the replicas of functions with several training-set sizes."""
    found = replicas(study)
    found = found[found["least"] & ~found["stream"]]
    return found[_over(found, "samples", FUNCTION, "nunique") > 1]


@once
def over_samples(study: Study) -> pd.DataFrame:
    """Return accuracies by training-set size; without aggregations, of holdouts too."""
    found = replicas(study)
    whole = found["complexity"].isna()
    found = found[(found["least"] | whole) & ~found["stream"]]
    found = by_split(found[_over(found, "samples", FUNCTION, "nunique") > 1])
    return curves(found[(found["split"] == SPLITS["iid"]) | found["complexity"].isna()])


@once
def over_withheld(study: Study) -> pd.DataFrame:
    """Return both accuracies by the number of withheld permutations."""
    found = replicas(study)
    found = found[found["complexity"].notna()]
    found = by_split(found[_over(found, "withheld", FUNCTION, "nunique") > 1])
    return curves(found)


@once
def over_steps(study: Study) -> pd.DataFrame:
    """Return accuracies over training with the largest training sets."""
    found = replicas(study)
    found = _split_curves(study, found[found["largest"]], "accuracy")
    return curves(found[found["step"] > 0])


def _split_curves(study: Study, own: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return `iid_<name>` and `withheld_<name>` in one column, at all coordinates of a replica."""
    rows = []
    for split, words in SPLITS.items():
        of_split = {f"{split}_{name}": name for name in names}
        if all(name in study for name in of_split):
            found = along(study, own, *of_split).rename(columns=of_split)
            rows.append(found.assign(split=words).dropna(subset=names[0]))
    none = own.iloc[:0].reindex(columns=[*own, "split", *names])
    return pd.concat(rows, ignore_index=True) if rows else none


def _least_or_withheld(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of withheld inputs, and the i.i.d. rows with the fewest withheld."""
    return found[found["least"] | (found["split"] == SPLITS["withheld"])]


@once
def holdouts(study: Study) -> pd.DataFrame:
    """Return the replicas with withheld inputs."""
    found = replicas(study)
    return with_comparisons(found[found["withheld"] > 0], CONDITION)


def with_comparisons(found: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return rows with the number of groups of keys, whose verdicts hold jointly."""
    return found.assign(comparisons=len(found[list(keys)].drop_duplicates()))


def changes(
    found: pd.DataFrame, x: str, y: str, keys: Sequence[str], ends: bool = False
) -> pd.DataFrame:
    """Return the changes of y, by seed, from one value of a column to the next.

    Args:
        found: a row per replica.
        x: the column.
        y: the column whose change is returned.
        keys: columns that stay fixed.
        ends: whether to compare only the first and the last value.
    """
    keys = list(keys)
    rank = found.groupby(keys, dropna=False)[x].rank("dense")
    if ends:
        last = rank.groupby([found[key] for key in keys], dropna=False).transform("max")
        chosen = (last > 1) & ((rank == 1) | (rank == last))
        found, rank = found[chosen], (rank[chosen] > 1).astype(int)
    low = found.assign(rank=rank)
    high = low[[*keys, "seed", "rank", x, y, "unfinished"]].assign(rank=rank - 1)
    rows = low.merge(high, on=[*keys, "seed", "rank"], suffixes=("", "_after"))
    rows = rows.assign(
        before=rows[x],
        after=rows[f"{x}_after"],
        first=rows[y],
        last=rows[f"{y}_after"],
        change=rows[f"{y}_after"] - rows[y],
        unfinished=rows["unfinished"] | rows["unfinished_after"],
    )
    return with_comparisons(rows.drop(columns=x), [*keys, "before", "after"])


@once
def complexities(study: Study) -> pd.DataFrame:
    """Return the changes of i.i.d. accuracy with complexity, for the largest training sets."""
    found = replicas(study)
    found = by_aggregation(found[found["least"] & found["largest"] & found["complexity"].notna()])
    return changes(found, "complexity", "iid_accuracy", ["network", "aggregation"])


@once
def falls(study: Study) -> pd.DataFrame:
    """Return significant falls of i.i.d. accuracy from one training-set size to the next."""
    found = changes(sized(study), "samples", "iid_accuracy", [*FUNCTION, "withheld"])
    if not len(found):
        return found
    by = found.groupby([*FUNCTION, "before", "after"], dropna=False, sort=False)
    return found[by["change"].transform(lambda c: judged(found.loc[c.index], "change") == "below")]


@once
def gap_changes(study: Study) -> pd.DataFrame:
    """Return the changes of the gap from the fewest to the most withheld."""
    found = replicas(study)
    found = found[(found["withheld"] > 0) & found["largest"]]
    return changes(found, "withheld", "gap", FUNCTION, ends=True)


def judged(rows: pd.DataFrame, name: str) -> str:
    """Compare the mean of a column with 0, jointly for all `comparisons`."""
    return columns.judged(rows, rows[name].to_numpy(float)[None]).verdict


@once
def models(study: Study) -> pd.DataFrame:
    """Return the replicas of several networks in their common conditions.

    `behind` is the accuracy minus that of the most accurate network, by condition and seed.
    """
    found, rows = by_split(replicas(study)), []
    condition = ["aggregation", "complexity", "withheld", "samples", "stream"]
    for _, own in found.groupby(["task", "split"], sort=False):
        count = own["network"].nunique()
        shared = own.groupby(condition, dropna=False)["network"].transform("nunique")
        own = own[shared == count]
        if count < 2 or not len(own):
            continue
        means = own.groupby([*condition, "network"], dropna=False)["accuracy"].mean()
        best = means.groupby("network").mean().idxmax()
        other = own[own["network"] == best][[*condition, "seed", "accuracy"]]
        own = own.merge(other, on=[*condition, "seed"], how="left", suffixes=("", "_best"))
        own = own.assign(
            behind=(own["accuracy"] - own["accuracy_best"]).where(own["network"] != best),
            best=own["network"] == best,
            comparisons=count - 1,
            unfinished=own["unfinished"].any(),
        )
        rows.append(own)
    return pd.concat(rows, ignore_index=True) if rows else found.iloc[:0]


@once
def thresholds(study: Study) -> pd.DataFrame:
    """Return a row per function and seed: the samples to an i.i.d. accuracy of 95 %.

    For streams, along training; for fixed training sets, across at least two sizes. `needed` is the
    geometric mean over seeds, in which seeds that do not reach it count with the `most` samples;
    `bound` marks functions with such seeds.
    """
    found, rows = replicas(study), []
    for _, own in found[found["least"]].groupby(FUNCTION, dropna=False, sort=False):
        sizes = np.sort(own["samples"].unique()).astype(float)
        if own["stream"].iloc[0]:
            one = own.assign(fewest=own["fewest_samples"], most=own["samples_shown"])
        elif len(sizes) > 1:
            by_seed = own.pivot(index="seed", columns="samples", values="iid_accuracy")
            reached = [statistics.crossing(sizes, row, THRESHOLD) for row in by_seed.to_numpy()]
            one = own.drop_duplicates("seed").set_index("seed").loc[by_seed.index].reset_index()
            one = one.assign(samples_to_95=reached, fewest=sizes[0], most=sizes[-1])
        else:
            continue
        known = one["samples_to_95"].dropna()
        counts = np.minimum(known, one["most"].max())
        all_reach = 0 < len(known) == int(np.isfinite(known).sum())
        needed = math.exp(np.log(counts).mean()) if len(known) else math.nan
        rows.append(
            one.assign(
                reached=np.isfinite(one["samples_to_95"]).where(one["samples_to_95"].notna()),
                needed=needed,
                all_reach=all_reach,
                bound=math.nan if all_reach else needed,
            )
        )
    return pd.concat(rows, ignore_index=True).drop(columns="samples") if rows else found.iloc[:0]


@once
def sensitivities(study: Study) -> pd.DataFrame:
    """Return the thresholds of networks with two or more functions of known noise sensitivity."""
    found = thresholds(study)
    if not len(found):
        return found
    found = found[found["noise_sensitivity"].notna() & found["needed"].notna()]
    found = found[_over(found, "function", ["network"], "nunique") > 1]
    reached = found["samples_to_95"].where(found["all_reach"])
    return found.assign(samples_to_95=reached, panel=found["network"])


@once
def functions(study: Study) -> pd.DataFrame:
    """Return `sensitivities`, a row per function; in `tied`, unreached ones rank last."""
    found = sensitivities(study)
    if not len(found):
        return found
    top = 2 * _over(
        found.assign(top=found[["most", "needed"]].max(axis=1)), "top", ["network"], "max"
    )
    found = found.assign(
        tied=found["needed"].where(found["all_reach"], top),
        needed=found["needed"].where(found["all_reach"]),
    )
    found = found[_over(found, "tied", ["network"], "nunique") > 1].drop_duplicates(FUNCTION)
    keep = [n for n in found if n not in ("aggregation", "complexity", "withheld", "replica")]
    return with_comparisons(found[keep], ["network"])


@once
def confusions(study: Study) -> pd.DataFrame:
    """Return the share of every predicted class, by true class, for the largest training sets.

    For withheld inputs, and i.i.d. ones with the fewest withheld; for classes that occur.
    """
    found = replicas(study)
    found = found[found["largest"] & found["counted"]]
    rows = _least_or_withheld(_split_curves(study, found, "confusion"))
    whole = _over(rows, "confusion", ["run", "replica", "split", "true_class"], "sum")
    rows = rows.assign(share=rows["confusion"] / whole.where(whole > 0)).dropna(subset="share")
    seen = rows["predicted_class"].isin(rows.loc[rows["share"] > 0, "predicted_class"])
    rows = rows[seen | rows["predicted_class"].isin(rows["true_class"])]
    kinds = _withheld(rows) if found["withheld"].any() else [""] * len(rows)
    names = _joined(rows["network"], rows["function"], pd.Series(kinds), rows["split"])
    return rows.assign(panel=names)


@once
def recalls(study: Study) -> pd.DataFrame:
    """Return the recall of every class, of at most `MAX_CLASSES`, or its kept mean."""
    if "iid_confusion" not in study:
        found = replicas(study)
        found = found[found["largest"] & found["counted"]]
        found = _split_curves(study, found, "recall", "recall_low", "recall_high")
        return _least_or_withheld(found).rename(columns={"recall": "recall_mean"})
    found = confusions(study)
    found = found[found["true_class"] == found["predicted_class"]]
    found = found.rename(columns={"share": "recall"})
    return found if found["true_class"].nunique() <= MAX_CLASSES else found.iloc[:0]
