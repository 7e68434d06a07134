"""The report of the degree curriculum: every curriculum against standard training, by seed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pvr_jax.reporting.charts import Curve, interpolated
from pvr_jax.reporting.columns import (
    Context,
    count,
    mean,
    number,
    ratio,
    read,
    sign_test,
    sign_test_of,
    sign_test_p,
)
from pvr_jax.reporting.exhibits import Finding, Table, beside, context_of, groups, settings
from pvr_jax.reporting.publish import Report
from pvr_jax.results import Measure, Study, statistics

# Relative to the error of the best constant: a replica has learned the target below the first, and
# fitted its samples below the second.
LEARNED, FITTED = 0.5, 0.05


def _with_training(found: pd.DataFrame) -> pd.DataFrame:
    """Name the condition: standard training, or the curriculum by its leap."""
    names = "curriculum, leap " + found["leap"].astype(str)
    return found.assign(training=names.mask(found["leap"] >= found["n"], "standard training"))


def replicas(study: Study) -> pd.DataFrame:
    """Return a row per replica, with its end and whether it learned the target."""
    found = _with_training(study.final())
    error, constant = found["generalization_error"], found["constant_error"]
    ended = found["finished"] & (found["diverged_at"] < 0)
    fitted = found["in_distribution_error"] < FITTED * constant
    known = error.notna()
    return found.assign(
        ended=ended.astype("boolean"),
        iterations_to_end=found["iterations"].where(ended, np.inf),
        iterations_ended=found["iterations"].where(ended),
        learned=(error < LEARNED * constant).astype("boolean").where(known),
        fitted_only=(fitted & (error >= LEARNED * constant)).astype("boolean").where(known),
    )


def pairs(study: Study) -> pd.DataFrame:
    """Join replicas of a curriculum with standard training from the same initialization."""
    found = replicas(study).drop(columns="training")
    return beside(found, found["leap"] >= found["n"], "leap", context_of(study))


def stages(study: Study) -> pd.DataFrame:
    """Return a row per replica of a curriculum and radius passed by any such replica."""
    passed = study.curve("radius", "samples_inside", "stage_end")
    passed = passed[(passed["leap"] < passed["n"]) & (passed["stage_end"] >= 0)]
    before = passed.groupby(["run", "replica"])["stage_end"].shift(fill_value=0)
    passed = passed.assign(spent=(passed["stage_end"] - before).astype(float))
    like = ["run", "samples", "leap", "learning_rate", "init_scale"]
    all_replicas = replicas(study).drop(columns=["training", "radius"], errors="ignore")
    rows = all_replicas.merge(passed[[*like, "radius"]].drop_duplicates(), on=like)
    own = ["run", "replica", "radius"]
    rows = rows.merge(passed[[*own, "samples_inside", "spent"]], on=own, how="left")
    spent = rows["spent"].where(rows["ended"].astype(bool))
    share = spent / spent.groupby([rows["run"], rows["samples"], rows["leap"]]).transform("sum")
    counted = share.groupby([rows[name] for name in ("run", "samples", "leap", "radius")])
    return rows.assign(passed=rows["spent"].notna(), share=counted.transform("sum"))


def curves(study: Study, y: str) -> pd.DataFrame:
    """Interpolate a measure of every replica at shared iterations."""
    found = _with_training(study.curve(y, "iterations"))
    constant = study.final()["constant_error"].iloc[0]
    return interpolated(found.dropna(subset=[y]), "iterations", y).assign(constant_error=constant)


def stage_ends(study: Study) -> pd.DataFrame:
    """Return the mean iteration at which a curriculum passes each stage except the last."""
    found = _with_training(study.curve("stage_end"))
    found = found[found["stage_end"] >= 0].rename(columns={"stage_end": "iterations"})
    means = found.groupby(["samples", "training", "stage"], as_index=False)["iterations"].mean()
    return means[means["stage"] < means.groupby(["samples", "training"])["stage"].transform("max")]


def verdict(study: Study, context: Context) -> str:
    """Say whether the curriculum is faster, and whether it generalizes better."""
    frame = pairs(study)
    cells = groups(frame, settings(frame, context, ["samples"], []))
    level = 1 - statistics.simultaneous(len(cells))

    def significant(name: str) -> tuple[int, int]:
        tests = [sign_test_of(cell, name, f"{name}_baseline") for cell in cells]
        clear = [(less, of) for less, of, p in tests if p < level]
        return sum(2 * less > of for less, of in clear), sum(2 * less < of for less, of in clear)

    fewer, more = significant("iterations_to_end")
    smaller, larger = significant("generalization_error")
    return (
        f"The curriculum takes fewer iterations in {fewer} of {len(cells)} comparisons and more in "
        f"{more}; its error on the whole cube is smaller in {smaller} and larger in {larger}."
    )


TIMES, ERROR = "iterations_to_end", "generalization_error"
BASE = "_baseline"
MEASURES = {
    "iterations_ended": Measure(
        "iterations to the end", "Optimizer steps until training ended.", bounds=(0, np.inf)
    ),
    f"iterations_ended{BASE}": Measure("iterations", bounds=(0, np.inf)),
    f"{ERROR}{BASE}": Measure("error", bounds=(0, np.inf)),
    "spent": Measure("iterations", "Optimizer steps of a stage.", bounds=(0, np.inf)),
}
NOTES = (
    "Means of iterations are over the replicas that ended. Ratio: iterations of standard training "
    "over those of the curriculum, geometric mean over seeds for which both ended; above 1 the "
    "curriculum takes fewer.",
    "p: exact two-sided sign test over seeds; both trainings of a seed share samples and initial "
    "parameters. Replicas that did not end, or diverged, count as taking more iterations than "
    "those that ended; two such replicas are a tie and left out.",
    "Learned: an error of less than half that of the best constant. Only fitted: a training error "
    "below 5 % of that, but not learned.",
    statistics.INTERVAL_NOTE,
)


def left_out(study: Study) -> Sequence[str]:
    """Return a line per replica that did not finish."""
    found = replicas(study)
    waiting = found[~found["ended"].astype(bool) & (found["diverged_at"] < 0)]
    return [
        f"{row.run}: {row.replica} did not end, {row.iterations:.0f} iterations; not in the means "
        "of iterations and ratios"
        for row in waiting.itertuples()
    ]


REPORT = Report(
    title="Degree curriculum and standard training",
    question="Is a full parity learned in fewer iterations if training shows the samples with few "
    "entries −1 first? Abbe et al. 2023 report that it is.",
    verdict=verdict,
    measures=MEASURES,
    left_out=left_out,
    exhibits=[
        Curve(
            "error_over_iterations",
            "Error over iterations",
            y=ERROR,
            x="iterations",
            panel="samples",
            color="training",
            band="range",
            levels={"constant_error": "best constant"},
            events={"next stage": stage_ends},
            log_y=True,
            floor=1e-6,
            data=lambda study: curves(study, ERROR),
            needs=["step"],
            caption="Mean over replicas, with a band from the smallest to the largest; a replica "
            "that has ended keeps its error. Dotted: where the curriculum admits the next samples, "
            "on average.",
        ),
        Table(
            "table",
            "Iterations to the end and error on the whole cube",
            data=pairs,
            rows=["samples"],
            columns={
                "ended: standard": count(f"ended{BASE}"),
                "ended: curriculum": count("ended"),
                "iterations, standard [95 %]": mean(f"iterations_ended{BASE}", decimals=0),
                "iterations, curriculum [95 %]": mean("iterations_ended", decimals=0),
                "ratio [95 %]": ratio(f"{TIMES}{BASE}", TIMES, digits=3),
                "fewer with curriculum": sign_test(TIMES, f"{TIMES}{BASE}"),
                "p": sign_test_p(TIMES, f"{TIMES}{BASE}"),
                "learned: standard": count(f"learned{BASE}"),
                "learned: curriculum": count("learned"),
                "only fitted: standard": count(f"fitted_only{BASE}"),
                "only fitted: curriculum": count("fitted_only"),
                "error, standard [95 %]": mean(f"{ERROR}{BASE}", digits=3),
                "error, curriculum [95 %]": mean(ERROR, digits=3),
                "smaller with curriculum": sign_test(ERROR, f"{ERROR}{BASE}"),
                "p of errors": sign_test_p(ERROR, f"{ERROR}{BASE}"),
            },
            notes=NOTES,
            brief=["ratio [95 %]", "error, standard [95 %]", "error, curriculum [95 %]"],
        ),
        Finding(
            "With {samples} samples, standard training takes {ratio} times the iterations of the "
            "curriculum (fewer with the curriculum in {fewer} seeds, p = {p}): {verdict}. Standard "
            "training learned {standard} of the target, the curriculum {curriculum}.",
            values={
                "ratio": ratio(f"{TIMES}{BASE}", TIMES, digits=3),
                "fewer": sign_test(TIMES, f"{TIMES}{BASE}"),
                "p": sign_test_p(TIMES, f"{TIMES}{BASE}"),
                "standard": number(f"target_coefficient{BASE}", digits=2),
                "curriculum": number("target_coefficient", digits=2),
            },
            verdict=read(
                "ratio",
                "no significant difference",
                level=1.0,
                above="the curriculum is faster",
                below="the curriculum is slower",
            ),
            rows=["samples"],
            data=pairs,
        ),
        Curve(
            "target_coefficient",
            "Learned share of the target over iterations",
            y="target_coefficient",
            x="iterations",
            panel="samples",
            color="training",
            band="range",
            events={"next stage": stage_ends},
            data=lambda study: curves(study, "target_coefficient"),
            needs=["step"],
            caption="For a parity of all coordinates it is the learned coefficient of the monomial "
            "of the highest degree. 1 is the target.",
        ),
        Table(
            "stages",
            "Iterations per stage of the curriculum",
            data=stages,
            rows=["samples", "radius"],
            columns={
                "passed": count("passed"),
                "samples inside": number("samples_inside", decimals=0),
                "iterations of the stage [95 %]": mean("spent", decimals=0),
                "share of all": number("share", digits=2),
            },
            notes=[
                "Means over the replicas that passed the stage; the share is of the iterations of "
                "the replicas that ended."
            ],
        ),
    ],
)
