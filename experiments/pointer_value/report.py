"""The report on pointer value retrieval: accuracy on i.i.d. and on withheld inputs."""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.pointer_value import examples, frames
from pvr_jax.reporting import numbers
from pvr_jax.reporting.charts import Curve, Heatmap, Points
from pvr_jax.reporting.columns import (
    Cell,
    Column,
    Context,
    Group,
    against,
    correlation,
    count,
    estimate,
    exact,
    mean,
    number,
    read,
)
from pvr_jax.reporting.exhibits import Finding, Images, Pivot, Table, groups
from pvr_jax.reporting.publish import Report
from pvr_jax.results import Measure, Study, statistics

THIN = "\u2009"
UNFINISHED = against(math.nan, "unfinished")
NO_VERDICT = {
    "one": "no verdict, one replica",
    "unfinished": "no verdict, the fit is not finished",
    **dict.fromkeys(["groups", "constant"], "no verdict, two groups of seeds or all equal"),
    "undecided": "no significant difference",
}
HARDER = {"above": "withheld inputs are harder", "below": "withheld inputs are easier"}
CHANGE = {"above": "rises", "below": "falls"}


def judged(name: str, words: Mapping[str, str], best: str = "") -> Column:
    """Compare the mean of a column with 0, jointly for all rows of the table.

    Rows of the column `best` are left empty.
    """

    def cell(group: Group, context: Context) -> Cell:
        if best and group[best].all():
            return Cell("highest mean")
        return Cell((NO_VERDICT | dict(words))[frames.judged(group, name)])

    return Column("verdict", cell, about="By joint intervals for all rows.")


def samples_needed(group: Group, context: Context) -> Cell:
    """The geometric mean over seeds; a bound if some seed reaches it at once, or never."""
    values = group["samples_to_95"].dropna().to_numpy(float)
    needed, fewest = float(group["needed"].iloc[0]), float(group["fewest"].iloc[0])
    logs = np.log(np.minimum(values, group["most"].max()))
    low, high = (float(np.exp(bound)) for bound in statistics.mean_interval(logs))
    if not group["all_reach"].all() or (values <= fewest).any():
        low = high = math.nan
    if not math.isfinite(needed):
        text = numbers.MISSING
    elif not group["all_reach"].all():
        text = f"> {_rounded(needed)}"
    else:
        text = f"{'≤ ' if (values <= fewest).any() else ''}{_rounded(needed)}"
        known = math.isfinite(low)
        bounds = f"{_rounded(low)}, {_rounded(high)}" if known else numbers.MISSING
        text += f" [{bounds}]{numbers.seeds(values) if known else ''}"
    return Cell(text, {"": needed, "_low": low, "_high": high})


def _rounded(value: float) -> str:
    digits = max(0, math.floor(math.log10(max(value, 1))) - 2)
    whole = int(round(value, -digits))
    return f"{whole:,}".replace(",", THIN) if whole >= 10_000 else str(whole)


_noise = read(
    "correlation",
    "too few functions for an interval",
    above="functions that are more sensitive to noise need more samples",
    below="functions that are more sensitive to noise need fewer samples",
    inside="no significant relation",
)


def verdict(study: Study, context: Context) -> str:
    """Return what is asked first: what withheld inputs cost, or samples, or else the accuracy."""
    found = frames.replicas(study)
    ends = groups(found[found["largest"]], frames.CONDITION)
    ends = [end for end in ends if math.isfinite(end["iid_accuracy"].mean())]
    if not ends:
        return "Every replica diverged."
    span = _span(end["iid_accuracy"].mean() for end in ends)
    accuracy = f"with the largest training sets, i.i.d. accuracy is {span} %"
    if len(rows := frames.holdouts(study)):
        own = [frames.judged(row, "gap") for row in groups(rows, frames.CONDITION)]
        return (
            f"Withheld inputs are harder in {own.count('above')} of {len(own)} conditions, easier "
            f"in {own.count('below')}, and in {own.count('unfinished')} the fit is not finished; "
            f"{accuracy}."
        )
    if len(functions := frames.functions(study)) and functions["network"].nunique() == 1:
        cell = correlation("noise_sensitivity", "tied").cell(functions, context)
        answer = _noise({"correlation": cell})
        return f"{answer[0].upper()}{answer[1:]}: the rank correlation is {cell.text}."
    guess = _span(end["chance"].mean() for end in ends)
    return f"{accuracy[0].upper()}{accuracy[1:]}; the best constant guess has {guess} %."


def _span(shares: Iterable[float]) -> str:
    """Return the smallest and the largest of some shares, in percent."""
    shares = [100 * share for share in shares]
    return " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(shares), max(shares))))


def percent(name: str, mark: Callable[..., str] | None = None, decimals: int = 2) -> Column:
    """The mean of a share in percent."""
    return mean(name, percent=True, decimals=decimals, mark=mark)


def _sampled(group: Group, *_: object) -> str:
    """Return the interval of the share removed where it is sampled, in percent."""
    low, high = 100 * group[["share_removed_low", "share_removed_high"]].iloc[0].astype(float)
    return f" [{low:.3g}, {high:.3g}]" if low < high else ""


_REMOVED = number("share_removed", percent=True, digits=3, mark=_sampled)
_SHARE = {"bounds": (0, 1)}
MEASURES = {
    "gap": Measure(
        "gap",
        "i.i.d. minus withheld accuracy of a replica; its interval is that of (gap + 1) / 2.",
        bounds=(-1, 1),
    ),
    "change": Measure("change", "Of a seed, in points.", bounds=(-1, 1)),
    "behind": Measure(
        "behind", "Minus the most accurate network, by seed, in points.", bounds=(-1, 1)
    ),
    "accuracy": Measure("accuracy", **_SHARE),
    "share": Measure("share of the true class", **_SHARE),
    "recall": Measure("recall", "Share of a class that is classified correctly.", **_SHARE),
    "uniform_guess": Measure("uniform guess", "A class chosen at random.", **_SHARE),
    "training_loss": Measure(
        "training loss",
        "Mean negative log-likelihood of the training set, or its beginning; of a stream, whose "
        "samples are shown once, of the batches since the previous evaluation.",
        units="nats",
        bounds=(0, math.inf),
    ),
    "memorized": Measure(
        "memorized", "Replicas that fit their samples and classify less than half of others right."
    ),
    "samples": Measure("samples", "Size of the training set; of a stream, samples shown."),
    "withheld": Measure("withheld", "Permutations, or 1 for a positional holdout."),
    "needed": Measure(
        "samples to 95 %",
        "The fewest training samples with which i.i.d. accuracy reaches 95 %, by seed; linear in "
        "their logarithm between evaluations of a stream or between sizes. Geometric mean.",
    ),
    "samples_to_95": Measure("samples to 95 %", "By seed.", bounds=(0, math.inf)),
    "before": Measure("from"),
    "after": Measure("to"),
    "line": Measure("condition"),
    "split": Measure("test inputs"),
}
DEFINITIONS = {
    "function": "An input is a pointer and ten values. Pointer p selects the window of complexity "
    "+ 1 values that begins with value p; the label is an aggregation of them: sum modulo 10, "
    "smallest, largest, lower median, or most frequent (of several the smallest). With complexity "
    "0 all of them are retrieval. In images the pointer of the block task, top left, selects one "
    "of the other three digits: 0 to 3 top right, 4 to 6 bottom left, 7 to 9 bottom right. In "
    "conditional PVR the pointer moves to the number at its position as long as that is larger "
    "than the position; the label is the number of moves.",
    "condition": "A function, what is withheld, a network and a training-set size; its replicas "
    "differ in the seed, which determines training set, initialization and order of batches.",
    "withheld permutations": "No training window is one of the first i permutations of 0, …, "
    "complexity: 1 is added modulo 10 to all ten values of such inputs. The window of a withheld "
    "input is overwritten with one of these permutations.",
    "positional holdout": "In images training never shows 1, 2, 3 top right, 4, 5, 6 bottom left "
    "and 7, 8, 9, 0 bottom right; withheld inputs have only these there.",
    "†": f"The fit is not finished: the error on the training set is above "
    f"{100 * statistics.UNFINISHED:.0f} % of that of the best constant guess. Train longer: "
    "config.train.steps.",
}
NOTES = (
    "Accuracies in percent, losses in nats, at the end of training; means over replicas, which "
    "differ in the seed. †: the fit is not finished.",
    statistics.INTERVAL_NOTE,
)
BY_SPLIT = {"y": "accuracy", "panel": "panel", "percent": True}
REPORT = Report(
    title="Pointer value retrieval",
    question="How accurate are networks on i.i.d. inputs, how many samples do they need, and do "
    "they generalize to inputs that training never shows? Zhang et al. 2021.",
    verdict=verdict,
    measures=MEASURES,
    definitions=DEFINITIONS,
    exhibits=[
        Images(
            "examples",
            "Examples",
            lambda study: examples.render(study, frames.replicas(study)),
            needs=["iid_example_input"],
        ),
        Curve(
            "accuracy_over_samples",
            "Accuracy by training-set size",
            x="samples",
            color="line",
            dash="split",
            levels={"chance": "chance"},
            log_x=True,
            data=frames.over_samples,
            caption="At the end of training, means over seeds with 95 % intervals. Gray: the best "
            "constant guess.",
            **BY_SPLIT,
        ),
        Curve(
            "accuracy_over_withheld",
            "Accuracy by the number of withheld permutations",
            x="withheld",
            color="split",
            levels={"uniform_guess": "uniform guess"},
            data=frames.over_withheld,
            caption="At the end of training; the distance between the lines is the gap.",
            **BY_SPLIT,
        ),
        Pivot(
            "sizes",
            "i.i.d. accuracy by training-set size, %",
            across="samples",
            cell=percent("iid_accuracy"),
            columns={"chance": number("chance", percent=True, decimals=2)},
            data=frames.sized,
            notes=NOTES,
        ),
        Table(
            "holdout",
            "Accuracy on withheld inputs",
            columns={
                "removed, %": _REMOVED,
                "i.i.d. accuracy, % [95 %]": percent("iid_accuracy"),
                "withheld accuracy, % [95 %]": percent("withheld_accuracy"),
                "gap, points [95 %]": percent("gap", UNFINISHED),
                "verdict": judged("gap", HARDER),
                "uniform guess": number("uniform_guess", percent=True, decimals=2),
                "withheld loss [95 %]": mean("withheld_loss", digits=3),
            },
            rows=["withheld", "samples"],
            data=frames.holdouts,
            notes=NOTES,
            brief=["verdict"],
        ),
        Finding(
            "from {before} to {after} withheld the mean gap goes from {first} to {last} points: "
            "{shown}.",
            values={
                "first": number("first", percent=True, decimals=2),
                "last": number("last", percent=True, decimals=2),
                "shown": judged("change", {"above": "it grows", "below": "it shrinks"}),
            },
            rows=["before", "after"],
            data=frames.gap_changes,
        ),
        Points(
            "samples_against_noise",
            "Samples to 95 % accuracy by noise sensitivity",
            y="samples_to_95",
            x="noise_sensitivity",
            panel="panel",
            color="aggregation",
            levels={"bound": "not reached by every seed: more than"},
            log_y=True,
            continuous=True,
            data=frames.sensitivities,
            caption="One position per function. Black: lower bounds, since some seed does not "
            "reach 95 %.",
        ),
        Table(
            "samples",
            "Training samples to 95 % i.i.d. accuracy",
            columns={
                "noise sensitivity [95 %]": estimate("noise_sensitivity", decimals=4),
                "samples [95 %]": Column("samples_to_95", samples_needed, ("needed",)),
                "seeds that reach it": count("reached"),
            },
            data=frames.thresholds,
            notes=[
                "> : a lower bound; seeds that do not reach it count with the largest number of "
                "samples. ≤ : an upper bound; a seed reaches it with the smallest number "
                "evaluated. Others have Student's t interval of the mean logarithm.",
            ],
        ),
        Finding(
            "The rank correlation of noise sensitivity with the samples to 95 % is {correlation}, "
            "with functions that do not reach it tied at the top ({reached} reach it), and {alone} "
            "over those that reach it: {verdict}.",
            values={
                "correlation": correlation("noise_sensitivity", "tied"),
                "alone": correlation("noise_sensitivity", "needed"),
                "reached": count("all_reach"),
            },
            verdict=_noise,
            data=frames.functions,
        ),
        Table(
            "complexity",
            "i.i.d. accuracy from one complexity to the next",
            columns={
                "change, points [95 %]": percent("change", UNFINISHED),
                "verdict": judged("change", CHANGE),
            },
            rows=["aggregation", "before", "after"],
            data=frames.complexities,
            notes=NOTES,
        ),
        Finding(
            "from {before} to {after} samples i.i.d. accuracy falls: {change} points.",
            values={"change": percent("change")},
            rows=["before", "after"],
            data=frames.falls,
        ),
        Table(
            "models",
            "Networks in their common conditions",
            columns={
                "accuracy, % [95 %]": percent("accuracy"),
                "minus the best, points [95 %]": percent("behind"),
                "verdict": judged("behind", {"below": "less accurate"}, "best"),
            },
            rows=["split", "network"],
            over=[*frames.TRAINED, *frames.CONDITION[1:]],
            data=frames.models,
            notes=["Means over conditions; intervals are over seeds, which are paired."],
        ),
        Table(
            "table",
            "Every condition",
            columns={
                "replicas": count("counted"),
                "i.i.d. accuracy, % [95 %]": percent("iid_accuracy"),
                "training accuracy, % [95 %]": percent("train_accuracy", UNFINISHED),
                "chance": number("chance", percent=True, decimals=2),
                "memorized": count("memorized"),
                "i.i.d. loss [95 %]": mean("iid_loss", digits=3),
                "training loss [95 %]": mean("training_loss", digits=3),
            },
            rows=["samples"],
            data=frames.replicas,
            notes=NOTES,
        ),
        Curve(
            "accuracy_over_steps",
            "Accuracy over training",
            x="step",
            color="line",
            dash="split",
            levels={"chance": "chance"},
            log_x=True,
            data=frames.over_steps,
            needs=["step"],
            caption="With the largest training sets; means over seeds with 95 % intervals.",
            **BY_SPLIT,
        ),
        Heatmap(
            "confusion",
            "Confusion of classes",
            x="predicted_class",
            y="true_class",
            color="share",
            panel="panel",
            limits=(0, 1),
            data=frames.confusions,
            needs=["iid_confusion"],
            caption="Share of a true class's test inputs by predicted class, means over seeds.",
        ),
        Pivot(
            "recall",
            "Recall of every class, %",
            across="true_class",
            cell=percent("recall", decimals=1),
            rows=["split"],
            data=frames.recalls,
        ),
        Table(
            "tasks",
            "Exact properties of the functions",
            columns={
                "removed, %": _REMOVED,
                "classes": exact("classes"),
                "chance, %": number(
                    "chance",
                    percent=True,
                    decimals=2,
                    mark=lambda group, *_: (
                        "" if group["label_distribution_exact"].all() else " (sampled)"
                    ),
                ),
                "label entropy, bits": number("label_entropy", decimals=3),
                "noise sensitivity [95 %]": estimate("noise_sensitivity", decimals=4),
            },
            over=["model", "setting", "learning_rate", "init_scale", "samples"],
            data=frames.replicas,
        ),
    ],
)
