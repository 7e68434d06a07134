"""The report on unseen domains: learned functions against the min-degree interpolator (MDI)."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from experiments.unseen_domain import frames
from experiments.unseen_domain.frames import EMPIRICAL, ERROR, KEYS, MDI, NAMES, NTK, OVER, RESIDUAL
from pvr_jax.reporting import numbers
from pvr_jax.reporting.charts import Curve, Points
from pvr_jax.reporting.columns import (
    Cell,
    Column,
    Context,
    Group,
    Verdict,
    correlation,
    count,
    exact,
    judged,
    mean,
    number,
    read,
)
from pvr_jax.reporting.exhibits import Finding, Table
from pvr_jax.reporting.publish import Report
from pvr_jax.results import Measure, Study, statistics

CLOSE = NOTABLE = 0.1  # share of the MDI's error; of the difference between target and MDI

NO_INTERVAL = "no verdict, since there is no interval"


def nearer(group: Group, context: Context) -> Cell:
    """Say whether the networks of a setting end nearer to the MDI or to the target.

    By the interval of the difference of both distances, jointly for all settings.
    """
    found = judged(group, group["margin"].to_numpy(float)[None]).verdict
    if found == "groups":
        return Cell("no verdict, since the seeds form two groups")
    words = {"below": "nearer to the MDI", "above": "nearer to the target"}
    words["undecided"] = "no significant difference"
    if found not in words:
        return Cell(NO_INTERVAL, {"": ""})
    confidence = statistics.simultaneous(int(group["comparisons"].iloc[0]))
    distance = group["distance_share"].to_numpy(float)
    _, largest = statistics.mean_interval(distance, "positive", confidence)
    return Cell(words[found], {"": found, "_close": bool(largest < CLOSE)})


def unfinished(group: Group, context: Context, cell: Cell) -> str:
    """Mark a setting with an unfinished fit."""
    return " †" if group["unfinished"].any() and np.isfinite(cell.values[""]) else ""


def off_the_mdi(group: Group, context: Context, cell: Cell) -> str:
    """Mark a coefficient that differs from the MDI's by more than a tenth of the target's."""
    least, target = group[MDI].iloc[0], group["target_coefficients"].iloc[0]
    if (group["state"] != "near").any() or target == least:
        return unfinished(group, context, cell)
    confidence = statistics.simultaneous(int(group["followed"].iloc[0]))
    seeds = int(group["counted"].sum())
    low, high = statistics.widened(cell.values[""], *cell.bounds, seeds, confidence)
    margin = NOTABLE * abs(target - least)
    return " ↑" if low > least + margin else " ↓" if high < least - margin else ""


def verdict(study: Study, context: Context) -> str:
    """Say how many settings end nearer to the MDI than to the target."""
    found = [nearer(group, context).values for group in frames.cells(study, "near")]
    where = [values[""] for values in found if values.get("")]
    parts = []
    if where:
        parts.append(
            f"Of {_settings(len(where))} that fitted the training data, the networks end nearer to "
            "the min-degree interpolator (MDI) than to the target on the unseen inputs in "
            f"{where.count('below')} and nearer to the target in {where.count('above')}; in "
            f"{where.count('undecided')} there is no significant difference. Their distance to the "
            "MDI is below a tenth of its own error in "
            f"{sum(values.get('_close', False) for values in found)}."
        )
    if far := len(frames.cells(study, "far")):
        parts.append(
            f"In {_settings(far)} that fitted, the MDI is so large on the unseen inputs that no "
            "network comes near it; only the mass above its degree r can be tested."
        )
    return " ".join(parts) or "No verdict: no setting has a finished fit, an MDI and enough seeds."


def _settings(number: int) -> str:
    return f"{number} setting{'s' if number != 1 else ''}"


def left_out(study: Study) -> Sequence[str]:
    """Return a line per setting without a verdict, and per run without predictions."""
    lines = []
    for own in frames.cells(study, "unfinished", "unmeasured", "same"):
        first, state = own.iloc[0], own["state"].iloc[0]
        limit = statistics.UNFINISHED * first["seen_variance"] / 2
        words = {
            "unfinished": "the fit is not finished (†): in-distribution error "
            f"{numbers.number(own['in_distribution_error'].max(), 3)}, above 1 % of ½ Var f, "
            f"{numbers.number(limit, 3)}",
            "unmeasured": "whether the seen inputs are fitted was not measured",
            "same": "the MDI is the target, so unseen inputs cannot distinguish the two",
        }
        where = f"{first['task']}, {first['model']}, learning rate {first['learning_rate']:g}"
        lines.append(f"{where}: {words[state]}; no verdict")
    without = [run.attrs["run"] for run in study.runs if "not_defined" not in run]
    return [*lines, *(f"{name}: no predictions yet; run --stage=predict" for name in without)]


def finding(
    template: str,
    data: Callable[[Study], pd.DataFrame],
    verdict: Verdict = lambda cells: "",
    **values: Column,
) -> Finding:
    """Return a sentence per setting."""
    start = "{task}, {model}, learning rate {learning_rate}: "
    return Finding(start + template, values, verdict, rows=KEYS, over=OVER, data=data)


_POSITIVE = {"bounds": (0, np.inf)}
MEASURES = {
    "distance_share": Measure(
        "distance / MDI's error",
        "Distance to the MDI over the MDI's own unseen error: 0 for the MDI, 1 for the target.",
        **_POSITIVE,
    ),
    "error_share": Measure(
        "unseen error / MDI's error", "1 for the MDI, 0 for the target.", **_POSITIVE
    ),
    "value": Measure("half squared error", **_POSITIVE),
    f"{RESIDUAL}_{NTK}": Measure(
        "distance to wide NTK",
        "½E(g − h)² over the unseen inputs, h the function that the infinitely wide network learns "
        "in the lazy limit: the minimum-norm interpolator of its neural tangent kernel.",
        **_POSITIVE,
    ),
    f"{RESIDUAL}_{EMPIRICAL}": Measure(
        "distance to empirical NTK",
        "½E(g − h)² over the unseen inputs, h the function that regression with the network's "
        "tangent kernel at initialization learns.",
        **_POSITIVE,
    ),
    f"{ERROR}_{MDI}": Measure("MDI's unseen error", "½E(m − f)² over the unseen inputs."),
    f"{ERROR}_{NTK}": Measure("wide NTK's unseen error", "½E(h − f)² over the unseen inputs."),
    f"{ERROR}_{EMPIRICAL}": Measure(
        "empirical NTK's unseen error", "½E(h − f)² over the unseen inputs."
    ),
    MDI: Measure("MDI", "Fourier coefficient of the MDI."),
    NTK: Measure("wide NTK", "Fourier coefficient of the function that the wide NTK learns."),
    EMPIRICAL: Measure(
        "empirical NTK", "Fourier coefficient of the function that the empirical NTK learns."
    ),
}
NOTES = (
    "Errors are half squared errors, means over replicas; published code prints full ones.",
    statistics.INTERVAL_NOTE,
    f"{statistics.UNFINISHED_DESCRIPTION}.",
)
_TABLE = {"rows": KEYS, "over": OVER, "data": frames.replicas, "lean": True}
REPORT = Report(
    title="Unseen domain: learned functions and the min-degree interpolator",
    question="What does a network learn on inputs that training never shows? Abbe et al. 2023 "
    "predict the min-degree interpolator (MDI).",
    verdict=verdict,
    measures=MEASURES,
    left_out=left_out,
    definitions={
        "MDI": "m, the min-degree interpolator: among all functions that equal the target on the "
        "seen inputs, the one with the smallest Fourier mass on the highest degree, then on the "
        "next, and so on; computed exactly.",
    },
    exhibits=[
        Points(
            "unseen_error",
            "Unseen error, measured and predicted",
            y="unseen_error",
            x="task",
            color="network",
            levels={f"{ERROR}_{name}": words for name, words in NAMES.items()},
            data=frames.replicas,
            log_y=True,
            caption="Dots are replicas. A network that becomes the MDI ends on its mark.",
        ),
        Table(
            "explanation",
            "Learned functions on the unseen inputs",
            columns={
                "distance to MDI [95 %]": mean("unseen_distance", mark=unfinished),
                "distance / MDI's error [95 %]": mean("distance_share", decimals=4),
                "distance to wide NTK [95 %]": mean(f"{RESIDUAL}_{NTK}"),
                "distance to empirical NTK [95 %]": mean(f"{RESIDUAL}_{EMPIRICAL}"),
                "dropped monomials learned [95 %]": mean("dropped_share", decimals=4),
            },
            notes=NOTES,
            brief=["distance / MDI's error [95 %]"],
            **_TABLE,
        ),
        Table(
            "table",
            "Errors on the unseen inputs",
            columns={
                "replicas": count("counted"),
                "in-distribution error": number("in_distribution_error", 3, mark=unfinished),
                "± by sampling": number("in_distribution_error_sampling", 2),
                "unseen error [95 %]": mean("unseen_error"),
                "unseen ± by sampling": number("unseen_error_sampling", 2),
                "MDI's unseen error": exact(f"{ERROR}_{MDI}"),
                "wide NTK's unseen error": number(f"{ERROR}_{NTK}"),
                "empirical NTK's unseen error": number(f"{ERROR}_{EMPIRICAL}"),
            },
            notes=NOTES,
            **_TABLE,
        ),
        finding(
            "on the unseen inputs, the distance to the MDI is {distance} of the MDI's own error "
            "and that to the target {error}: {nearer}.",
            frames.of_state("near"),
            distance=mean("distance_share", decimals=4, values=False),
            error=mean("error_share", decimals=4, values=False),
            nearer=Column("nearer", nearer),
        ),
        finding(
            "the MDI's unseen error is {times} times that of the zero function, and no network "
            "comes near it; above its degree r = {r} the target has a mass of {target} and the "
            "networks learned {mass}.",
            frames.of_state("far"),
            times=number("times_zero", 3),
            r=exact("highest_degree"),
            target=exact("target_mass_above"),
            mass=mean("mass_above", values=False),
        ),
        finding(
            "the learned function is at a distance of {ntk} from the wide NTK and {mdi} from the "
            "MDI: {verdict}.",
            frames.of_state("near", "far", "same", known="rival"),
            read(
                "rival",
                NO_INTERVAL,
                above="the wide NTK is nearer",
                below="the MDI is nearer",
                inside="no significant difference",
            ),
            ntk=number(f"{RESIDUAL}_{NTK}", 3),
            mdi=number(f"{RESIDUAL}_{MDI}", 3),
            rival=mean("rival"),
        ),
        Finding(
            "{task}, {model}: Spearman's rank correlation of the dropped monomials learned with "
            "the learning rate is {rank}, treating replicas as independent: {verdict}.",
            values={"rank": correlation("learning_rate", "dropped_share", together="scans")},
            verdict=read(
                "rank",
                NO_INTERVAL,
                above="the leak grows with the learning rate",
                below="the leak shrinks as the learning rate grows",
                inside="no significant trend",
            ),
            rows=["task", "model"],
            over=["learning_rate", *OVER],
            data=frames.scans,
        ),
        Points(
            "leak_by_rate",
            "Leak by learning rate",
            y="dropped_share",
            x="learning_rate",
            panel="task",
            color="model",
            levels={"as_mdi": "as the MDI", "as_target": "as the target"},
            data=frames.scans,
        ),
        Table(
            "degrees",
            "Degrees of learned functions",
            columns={
                "degree temperature [95 %]": mean(
                    "degree_temperature", decimals=4, mark=unfinished
                ),
                "r": exact("highest_degree"),
                "mass above degree r [95 %]": mean("mass_above", mark=unfinished),
                "target's mass there": exact("target_mass_above"),
            },
            notes=["r: the degree of the MDI, which has no mass above it."],
            **_TABLE,
        ),
        Points(
            "coefficients",
            "Coefficients of the monomials in which target and MDI differ most",
            y="coefficients",
            x="monomial",
            panel="condition",
            levels={
                "target_coefficients": "target",
                "mdi_within_reach": "MDI",
                NTK: "wide NTK",
                EMPIRICAL: "empirical NTK",
            },
            data=frames.coefficients,
            slider="step",
            own=("x", "y"),
            needs=["coefficients"],
            caption="An MDI that is beyond reach is not drawn.",
        ),
        Table(
            "coefficients",
            "Coefficients of the monomials in target or MDI",
            columns={
                "target": exact("target_coefficients"),
                "MDI": exact(MDI),
                "wide NTK": number(NTK, 3),
                "empirical NTK": number(EMPIRICAL, 3),
                "learned [95 %]": mean("coefficients", decimals=3, mark=off_the_mdi),
            },
            notes=[
                "↑ ↓: off the MDI's by more than a tenth of its distance to the target's, by joint "
                "intervals for all monomials of a setting."
            ],
            **_TABLE | {"rows": (*KEYS, "monomial"), "data": frames.last_coefficients},
        ),
        Curve(
            "distance",
            "Unseen error and distance to the MDI over training",
            y="value",
            x="step",
            panel="task",
            color="network",
            dash="of",
            band="range",
            levels={f"{ERROR}_{MDI}": "MDI's own unseen error"},
            data=frames.distances,
            log_y=True,
            own=("y",),
            needs=["step"],
            caption="A network that becomes the MDI ends with its error on the level and its "
            "distance at 0.",
        ),
        Curve(
            "degree_profile",
            "Mass of every degree",
            y="degree_profile",
            x="degree",
            panel="condition",
            color="of",
            slider="step",
            data=frames.profiles,
            log_y=True,
            floor=1e-6,
            needs=["step", "degree_profile"],
        ),
        Table(
            "tasks",
            "Targets and seen inputs",
            columns={
                "target": exact("target"),
                "n": exact("n"),
                "seen inputs": exact("seen"),
                "seen [%]": number("seen_percent", 3),
                "training samples": exact("training_samples"),
                "from": exact("training_rows"),
                "evaluated on": exact("evaluated"),
            },
            **_TABLE
            | {
                "rows": ["task"],
                "over": [*OVER, "model", "setting", "learning_rate", "init_scale"],
            },
        ),
        Table(
            "not_defined",
            "Theories that are not computed",
            columns={"because": exact("not_defined")},
            rows=["task", "model", "theory"],
            over=[*OVER, "setting", "learning_rate", "init_scale"],
            data=frames.not_defined,
            needs=["not_defined"],
        ),
    ],
)
