"""What is shown of the masked student."""

from pvr_jax.reporting.charts import Heatmap, Points
from pvr_jax.reporting.columns import exact, mean
from pvr_jax.reporting.exhibits import Finding, Table
from pvr_jax.reporting.publish import Report

ERROR, BEST = "generalization_error", "predicted_generalization_error_best linear"
COLUMNS = {"error": mean(ERROR), "best": exact(BEST)}


def data(study):
    return study.final().merge(study.by_theory(f"predicted_{ERROR}"), on=["run", "replica"])


def weights(study):
    return study.curve("weights").query("step == step.max()")


def verdict(cells):
    return "not yet it" if cells["error"].bounds[0] > cells["best"].values[""] else "as predicted"


REPORT = Report(
    title="A linear student that misses a coordinate",
    question="Does it reach the best linear error?",
    verdict=lambda study, context: f"{len(study.final())} students were trained.",
    exhibits=[
        Points("errors", "Errors", y=ERROR, x="masked", levels={BEST: "best"}, data=data),
        Table("table", "Errors", COLUMNS, rows=["masked"], data=data),
        Finding(
            "Without coordinate {masked} the error is {error}, the best {best}: {verdict}.",
            COLUMNS, verdict, ["masked"], data=data,
        ),
        Heatmap("weights", "Weights", y="masked", x="coordinate", color="weights", data=weights),
    ],
)  # fmt: skip
