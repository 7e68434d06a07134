"""The report of the atlas: shares by class and degree, errors of all functions, exceptions."""

from experiments.atlas.frames import (
    CLASS_SERIES,
    FUNCTION_SERIES,
    HALF,
    SHOWN,
    THEORIES,
    by_degree,
    classes_to_explore,
    error_lines,
    exceptions,
    functions_to_explore,
    overall,
    points_by_degree,
    replicas,
)
from pvr_jax.reporting.charts import Curve, Points
from pvr_jax.reporting.columns import (
    Cell,
    Column,
    Context,
    Group,
    count,
    exact,
    judged,
    mean,
    number,
    smallest,
    values_by_cell,
)
from pvr_jax.reporting.exhibits import Finding, Table
from pvr_jax.reporting.explorer import Explorer
from pvr_jax.reporting.numbers import MISSING, interval
from pvr_jax.reporting.publish import Report
from pvr_jax.results import Measure, Study, statistics


def verdict_of(group: Group, name: str, level: float = HALF) -> str:
    """Compare the mean share of one cell with a level; the intervals of a run hold jointly."""
    return judged(group, group[name].to_numpy(float)[None], level).verdict


def verdicts(name: str, verdict: str, level: float = HALF) -> Column:
    """The number of cells with a verdict."""

    def cell(group: Group, context: Context) -> Cell:
        found = [verdict_of(own, name, level) for _, own in group.groupby("cell", sort=False)]
        return Cell(f"{found.count(verdict)} of {len(found)}", {"": found.count(verdict)})

    about = "Classes whose mean over replicas is on this side; a run's intervals hold jointly."
    return Column(f"{name}_{verdict}_{level:g}", cell, (name,), about)


def lowest(name: str) -> Column:
    """The lowest mean of a cell, with its interval among those that hold jointly."""

    def cell(group: Group, context: Context) -> Cell:
        means = group.groupby("cell")[name].mean()
        return joint(name).cell(group[group["cell"] == means.idxmin()], context)

    return Column(f"{name}_lowest", cell, (name,), "The smallest mean of a cell.")


def joint(name: str) -> Column:
    """The mean of a cell, with an interval that holds jointly with those of all cells."""

    def cell(group: Group, context: Context) -> Cell:
        values = values_by_cell(group, name, context)
        confidence = statistics.simultaneous(int(group["comparisons"].iloc[0]))
        low, high = statistics.interval_over_seeds(values, context.measure(name).scale, confidence)
        center = statistics.mean_over_cells(values)
        text = interval(center, low, high, decimals=3)
        return Cell(text, {"": center, "_low": low, "_high": high})

    return Column(name, cell, (name,))


def spread(name: str) -> Column:
    """The standard deviation of the means of cells."""

    def cell(group: Group, context: Context) -> Cell:
        value = float(group.groupby("cell")[name].mean().std())
        return Cell(f"{value:.3f}", {"": value})

    return Column(f"{name}_spread", cell, (name,), "Standard deviation of the means of cells.")


def weighted(name: str) -> Column:
    """The mean over replicas, each with the weight of the degree in its seen half."""

    def cell(group: Group, context: Context) -> Cell:
        known = group[group[name].notna()]
        total = known["weight"].sum()
        value = float((known["weight"] * known[name]).sum() / total) if total else float("nan")
        return Cell(f"{value:.3f}" if total else MISSING, {"": value})

    return Column(name, cell, (name,))


cells = Column(
    "cells",
    lambda group, context: Cell(str(count := group["cell"].nunique()), {"": count}),
    about="Classes of seen halves, by the network's own symmetries.",
)


def verdict(study: Study, context: Context) -> str:
    """Say how many classes have a share above and below ½."""
    found = [
        verdict_of(own, "share") for _, own in replicas(study).groupby(["run", "cell"], sort=False)
    ]
    return (
        f"Of {len(found)} classes of seen halves, the low degree has more than half in "
        f"{found.count('above')} and less than half in {found.count('below')}; the others are "
        "undecided."
    )


BITS = "bits of the function"
MEASURES = {
    "n": Measure(BITS, "With the frozen one, which comes last."),
    "network": Measure("network", "The model, and the bits of the seen half F."),
    "degree": Measure("degree", "|T|, the degree of the low-degree member of an aliased pair."),
    "error": Measure("error", "½E(g − f)² over the whole cube.", units="half squared error"),
    "influence": Measure("influence", "Share of the points at which the unseen half differs."),
    **{f"predicted_share_{name}": Measure(f"share of the {name}") for name in THEORIES},
    **{f"residual_{name}": Measure(f"residual of the {name}") for name in THEORIES},
}  # fmt: skip
KERNELS = THEORIES[1:]
CELL = ("cell", "function_class", "functions")
NOTES = (
    "Above ½, below ½, below 1: classes whose mean over replicas is, by intervals that hold "
    "jointly with 95 % for all classes of a row's network, and degrees where there are several.",
    "Fitted: replicas whose error on the seen half is below 1 % of ½.",
    "A Transformer's replicas are of classes under permutations and the output's sign alone (3 "
    "bits), or of a function that each seed draws from a class (4 bits).",
    statistics.INTERVAL_NOTE,
)
OVER = (*CELL, "task")

REPORT = Report(
    title="Atlas of Boolean functions with a frozen bit",
    question="Where does the low-degree bias hold without exception, and which functions break it? "
    "With one bit frozen, training shows one half F of a function and decides the other by itself: "
    "every F of 3 and 4 bits, up to symmetry, gives every function of 4 and 5 bits.",
    verdict=verdict,
    measures=MEASURES,
    exhibits=[
        Points(
            "share_by_degree",
            "Share of the low degree, by degree",
            y="share_by_degree",
            x="degree",
            panel="network",
            levels={f"predicted_share_by_degree_{name}": name for name in THEORIES},
            data=points_by_degree,
            caption="Every dot is a class of seen halves with at least a sixteenth of its squares "
            "in the degree, a mean over its replicas; the large dot with its interval is the mean "
            "over classes. 1: the monomial without the frozen bit is learned alone, as the "
            "low-degree bias predicts; ½: no preference. Predictions are means over classes.",
        ),
        Table(
            "table",
            "Share of the low degree",
            rows=["model", "n"],
            over=OVER,
            columns={
                "classes": cells,
                "fitted": count("fitted"),
                "share [95 %]": mean("share", digits=3, values=False),
                "above ½": verdicts("share", "above"),
                "below ½": verdicts("share", "below"),
                "below 1": verdicts("share", "below", 1.0),
                "lowest [95 %]": lowest("share"),
                **{name: number(f"predicted_share_{name}", digits=3) for name in KERNELS},
                **{f"residual: {name}": number(f"residual_{name}", digits=2) for name in THEORIES},
                "least residual": smallest({f"residual_{name}": name for name in THEORIES}),
            },
            data=replicas,
            notes=NOTES,
            brief=["classes", "share [95 %]", "above ½", "below ½", "lowest [95 %]"],
        ),
        Table(
            "degrees",
            "Share of the low degree, by degree of the seen half",
            rows=["model", "n", "degree"],
            over=OVER,
            columns={
                "classes": cells,
                "share": weighted("share_by_degree"),
                "spread": spread("share_by_degree"),
                "above ½": verdicts("share_by_degree", "above"),
                "below ½": verdicts("share_by_degree", "below"),
                "below 1": verdicts("share_by_degree", "below", 1.0),
                "lowest [95 %]": lowest("share_by_degree"),
                **{name: number(f"predicted_share_by_degree_{name}", digits=3) for name in KERNELS},
            },
            data=by_degree,
            notes=["Means over classes are weighted by the squares of F in the degree.", NOTES[0]],
        ),
        Curve(
            "error_by_influence",
            "Error against influence, of all functions",
            y="error",
            x="influence",
            panel="network",
            color="of",
            data=error_lines,
            caption="All functions whose seen half is in some class, weighted by how many they "
            "are; smallest and largest of a function with a replica. Interpolator: error = "
            "influence.",
        ),
        Table(
            "functions",
            "All functions with a bit frozen: errors of a function that is drawn uniformly",
            rows=["model", "n"],
            over=["task"],
            columns={
                "functions": number("functions_of_all", decimals=0),
                "mean influence": number("mean_influence", digits=3),
                "mean error": number("mean_error", digits=3),
                "standard deviation": number("deviation", digits=2),
                "error below influence, %": number("below", digits=3, percent=True),
                "of influences up to ½, %": number("below_low", digits=3, percent=True),
                "of influences above ½, %": number("below_high", digits=3, percent=True),
            },
            data=overall,
            notes=["Exact over functions; over networks, those that were trained."],
        ),
        Explorer(
            "functions_of_4_bits",
            "Every function of 4 bits with a bit frozen",
            y="function_error",
            x="influence",
            color="verdict",
            data=functions_to_explore,
            key="function",
            text="text",
            series=FUNCTION_SERIES,
            detail="coefficient",
            diagonal=True,
            needs=["function_error"],
            caption="Up to symmetry, x₃ frozen to +1 and the MLP; a point is the mean over seeds. "
            "Below and above the influence: by intervals that hold jointly for all of them. Click "
            "a point for its truth table in hexadecimal, its spectrum and what is learned of it.",
        ),
        Explorer(
            "classes",
            "Every class of seen halves",
            y="share",
            x="predicted_share_empirical NTK",
            color="network",
            data=classes_to_explore,
            key="key",
            text="text",
            series=CLASS_SERIES,
            detail="coefficient",
            diagonal=True,
            needs=["predicted_share"],
            caption="Click a point for the truth table of its representative, its spectrum, and "
            "the coefficients that are learned without and with the frozen bit.",
        ),
        Table(
            "exceptions",
            "The classes furthest from the low-degree prediction",
            rows=["model", "function_class"],
            over=["cell", "functions"],
            columns={
                "F": exact("class_spectrum"),
                "learned without the frozen bit": exact("learned_low"),
                "with it": exact("learned_high"),
                "leak": number("leak", digits=3),
                "share [95 %]": joint("share"),
                **{name: number(f"predicted_share_{name}", digits=3) for name in KERNELS},
                **{f"residual: {name}": number(f"residual_{name}", digits=2) for name in THEORIES},
            },
            data=exceptions,
            notes=[
                f"By the leak, of the most bits; the {SHOWN} largest terms. Residuals: ½ E(u − h)² "
                "over the unseen half."
            ],
        ),
        Finding(
            "{model}, {n} bits: the share is {share}, above ½ in {above} classes and below in "
            "{below}; lowest {lowest}. The theory with the least residual: {least}.",
            values={
                "share": mean("share", digits=3, values=False),
                "above": verdicts("share", "above"),
                "below": verdicts("share", "below"),
                "lowest": lowest("share"),
                "least": smallest({f"residual_{name}": name for name in THEORIES}),
            },
            rows=["model", "n"],
            over=OVER,
            data=replicas,
        ),
    ],
)
