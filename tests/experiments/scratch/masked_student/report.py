"""What is shown of the masked student."""

from pvr_jax.reporting.charts import Heatmap, Points
from pvr_jax.reporting.columns import exact, mean
from pvr_jax.reporting.exhibits import Finding, Table
from pvr_jax.reporting.publish import Report
from pvr_jax.results import statistics

ERROR = "generalization_error"
PREDICTED = f"predicted_{ERROR}_best linear"
WORDS = {"above": "above what is possible", "inside": "as predicted", "below": "impossible"}


def data(study):
    return study.final().merge(study.by_theory(f"predicted_{ERROR}"), on=["run", "replica"])


def verdict(cells):
    level = cells["predicted"].values[""]
    return WORDS[statistics.against(*cells["error"].bounds, level) or "inside"]


REPORT = Report(
    title="A linear student that misses a coordinate",
    question="Does it reach the best linear error?",
    verdict=lambda study, context: f"{len(study.final())} students were trained.",
    exhibits=[
        Points(
            "errors", "Errors", y=ERROR, x="masked", levels={PREDICTED: "best linear"}, data=data,
        ),
        Table(
            "table", "Errors", {"error [95 %]": mean(ERROR), "best linear": exact(PREDICTED)},
            rows=["masked"], data=data,
        ),
        Finding(
            "Without coordinate {masked} the error is {error}, the best {predicted}: {verdict}.",
            {"error": mean(ERROR), "predicted": exact(PREDICTED)}, verdict, ["masked"], data=data,
        ),
        Heatmap(
            "weights", "Weights", y="masked", x="coordinate", color="weights",
            data=lambda study: study.curve("weights").query("step == step.max()"),
        ),
    ],
)  # fmt: skip
