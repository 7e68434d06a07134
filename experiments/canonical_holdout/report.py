"""What is shown of the canonical holdout: the error per frozen bit beside what theories predict."""

from experiments.canonical_holdout import columns, frames, verdicts
from experiments.canonical_holdout.frames import ERROR, LEFT, NOISE, SEEN, THEORIES
from pvr_jax.reporting.charts import Curve, Points
from pvr_jax.reporting.columns import correlation, count, exact, mean, number, read, smallest
from pvr_jax.reporting.exhibits import Finding, Pivot, Table, needing
from pvr_jax.reporting.publish import Report
from pvr_jax.results import Measure

POSITIVE = (0, float("inf"))
LEVELS = {"influence": "influence"} | {f"predicted_{n}": words for n, words in THEORIES.items()}
LEVELS["predicted_linear_regression"] = "linear regression (mean)"
OVER = ("task", "frozen_bit")
DERIVED = {
    "network": Measure("model"),
    "alpha": Measure("init exponent α"),
    "difference": Measure("error − influence", "0 is the low-degree prediction."),
    "twice_overlap": Measure("2·overlap", "Twice the overlap."),
    "not_fitted": Measure(
        "not fitted",
        "What differences on the seen inputs add to the error: error − (influence − 2·overlap + "
        "learned influence).",
    ),
    "relative_error": Measure("error / ½ Var f", "1 is the best constant.", bounds=POSITIVE),
    "T": Measure("coefficient of T", "Learned, and predicted to be f̂(T) + v f̂(T ∪ {k})."),
    "twin": Measure("coefficient of T ∪ {k}", "Learned, and predicted to be 0."),
    "panel": Measure("frozen"),
} | {
    name: Measure(f"residual, {words}", "½ E(g − h)², h what the theory predicts.", bounds=POSITIVE)
    for name, words in (LEFT | NOISE).items()
}
DERIVED |= {
    f"predicted_{name}": Measure(words, "The generalization error that the theory predicts.")
    for name, words in THEORIES.items()
}
SUM = (
    "Exactly, error = influence − 2·overlap + learned influence + not fitted; the low-degree "
    "prediction is that all three are 0."
)
KINDS = (
    "Means over cells, a task with a frozen bit each, with intervals over seeds, in shares of the "
    "influence. Rows of influence 0, by which nothing can be divided, hold absolute numbers and "
    "come first."
)
NEAREST = (
    "Nearest: what leaves the least in the cells that all theories explain, with all that paired "
    "intervals over seeds do not tell apart from it; they hold for all rows at once with 95 %. "
    "The noise kernel is compared apart: its ρ̂ is fitted to each replica, one free parameter, "
    "and ρ̂ = 0 is the influence, so it never leaves more than the influence does."
)
ALL = LEFT | NOISE
_KIND = {"nearest": columns.nearest_in_words, "ratio": mean(ERROR, per="unit")}
_KINDS = {"data": frames.by_kind, "rows": ["model", "frozen"], "over": OVER}
_OF_KIND = {
    "cells": columns.cells,
    "error / influence [95 %]": mean(ERROR, per="unit", mark=verdicts.mark),
    "verdict": verdicts.verdict,
}

FROZEN = [
    Points(
        "error_by_alpha",
        "Error by the init exponent",
        y=ERROR,
        x="alpha",
        panel="frozen_bit",
        color="network",
        levels=LEVELS,
        data=frames.scan,
        log_y=True,
        mark=verdicts.signed,
        caption="Weights and biases start uniform in ±fan_in^−α, so networks start smaller to "
        f"the right. {verdicts.IN_FIGURES} Marks are predictions: the exact ends of the way are "
        "the influence and the mean error of linear regression.",
    ),
    Points(
        "error",
        "Error per frozen bit, and what theories predict",
        y=ERROR,
        x="frozen_bit",
        panel="task",
        color="model",
        levels=LEVELS,
        own=("y",),
        data=frames.charted,
        mark=verdicts.signed,
        caption=f"Every replica a dot, with the mean and its interval. {verdicts.IN_FIGURES} "
        "Marks are predictions: the influence (low-degree bias) and kernel regression (lazy "
        "training); those whose standard error is above half of them are in the table only.",
    ),
    Table(
        "table",
        "Generalization error, influence, and what theories predict",
        data=frames.replicas,
        rows=["frozen_bit"],
        columns={
            "error [95 %]": mean(ERROR, mark=verdicts.mark),
            "verdict": verdicts.verdict,
            "influence": exact("influence"),
            "linear regression": columns.predicted("linear_regression"),
            "deviation": columns.deviation("linear_regression"),
            "wide NTK": columns.predicted("wide_ntk"),
            "empirical NTK": columns.predicted("empirical_ntk"),
            "error − influence [95 %]": columns.difference,
            "in-distribution error": number(SEEN, digits=3),
            "sampling error": number(f"{ERROR}_se", digits=2),
            "replicas": count("counted"),
        },
        notes=verdicts.NOTES,
        brief=["error [95 %]", "verdict", "influence", "wide NTK"],
    ),
    Finding(
        "{model}, {frozen}: the error is {error}, and the low-degree prediction is 0: {shown}. "
        "{nearest}",
        values=_KIND
        | {"error": mean(ERROR), "shown": verdicts.in_words(verdicts.WITHOUT_INFLUENCE)},
        rows=["model", "frozen"],
        over=OVER,
        data=frames.without_influence,
    ),
    Finding(
        "{model}, {frozen}: the error is {ratio} times the influence: {shown}. {nearest}",
        values=_KIND | {"shown": verdicts.in_words(verdicts.AGAINST_INFLUENCE)},
        rows=["model", "frozen"],
        over=OVER,
        data=frames.with_influence,
    ),
    Pivot(
        "models",
        "Generalization error by model",
        across="model",
        cell=mean(ERROR, mark=verdicts.mark),
        heading="{} [95 %]",
        columns={"influence": exact("influence")},
        rows=["frozen_bit"],
        data=frames.replicas,
        notes=verdicts.NOTES,
        needs=[frames.has_few_models],
    ),
    Table(
        "kinds",
        "By model and kind of frozen bit, and what the error is made of",
        columns={
            **_OF_KIND,
            "2·overlap": number("twice_overlap", digits=3, per="unit"),
            "learned influence": number("learned_influence", digits=3, per="unit"),
            "not fitted": number("not_fitted", digits=3, per="unit"),
            "projection c": number("projection", digits=3),
            "leak": number("leak", digits=3),
            "degree temperature [95 %]": mean("degree_temperature"),
        },
        notes=[KINDS, SUM, *verdicts.NOTES],
        **_KINDS,
    ),
    Table(
        "theory",
        "Which theory explains it, by model and kind of frozen bit",
        columns={
            **_OF_KIND,
            **{
                f"{words} / influence": columns.share_of_some(f"predicted_{name}")
                for name, words in THEORIES.items()
            },
            **{
                f"residual, {words} [95 %]": mean(name, per="unit", mark=columns.of_some(name))
                for name, words in ALL.items()
            },
            "nearest": smallest(LEFT, per="unit"),
            "nearest, noise kernel too": smallest(ALL, per="unit", column="least_of_all"),
        },
        notes=[KINDS, NEAREST],
        needs=["residual"],
        **_KINDS,
    ),
    Table(
        "residuals",
        "Which theory explains it, cell by cell",
        data=frames.replicas,
        rows=["frozen_bit"],
        columns={
            "degree temperature [95 %]": mean("degree_temperature"),
            **{f"residual, {words} [95 %]": mean(name) for name, words in ALL.items()},
            "nearest": smallest(LEFT),
            "nearest, noise kernel too": smallest(ALL, column="least_of_all"),
        },
        notes=[
            "Residual of a theory: half the mean squared distance, over the whole cube, between "
            "the learned function and the one that the theory predicts. Influence: the "
            "min-degree interpolator, which does not use the frozen bit; NTK: regression with "
            "the tangent kernel; noise kernel: f on the seen half, and on the unseen half "
            "(1 − ρ̂)/(1 + ρ̂) times f with the bit frozen, ρ̂ the degree temperature.",
            NEAREST,
        ],
        needs=["residual"],
    ),
    Table(
        "why",
        "Why: what was learned off the support",
        data=frames.replicas,
        rows=["frozen_bit"],
        columns={
            "error / influence": number(ERROR, digits=3, per="influence"),
            "leak": number("leak", digits=3),
            "projection c": number("projection", digits=3),
            "overlap": number("influence_overlap", digits=3),
            "learned influence": number("learned_influence", digits=3),
            "residual variance": number("residual_variance", digits=3),
            "not fitted": number("not_fitted", digits=3),
        },
        notes=["Means over replicas.", SUM],
    ),
    Pivot(
        "initialization",
        "From linear regression to the influence",
        across="alpha",
        cell=mean(ERROR, mark=verdicts.mark),
        heading="α = {} [95 %]",
        columns={
            "influence": exact("influence"),
            "linear regression": number("predicted_linear_regression"),
        },
        rows=["frozen_bit", "network"],
        data=frames.scan,
        notes=verdicts.NOTES,
    ),
    Table(
        "pairs",
        "Monomials that training cannot tell apart",
        data=frames.pair_table,
        rows=["frozen_bit", "pair_low"],
        columns={
            "predicted": exact("pair_limit"),
            "coefficient of T [95 %]": mean("T", decimals=3),
            "T ∪ {k}": exact("pair_high"),
            "in the target": exact("pair_target_high"),
            "coefficient of T ∪ {k} [95 %]": mean("twin", decimals=3),
        },
        notes=[
            "T and T ∪ {k}, k the frozen bit, are an aliased pair: up to sign one function on the "
            "seen inputs. The low-degree prediction gives T the sum of both target coefficients, "
            "and T ∪ {k} 0."
        ],
        needs=[frames.has_pairs],
    ),
    Points(
        "error_against_influence",
        "Error against influence",
        y=ERROR,
        x="influence",
        panel="task",
        color="model",
        diagonal=True,
        own=("x", "y"),
        data=frames.charted,
        caption="On the line, error = influence.",
    ),
    Curve(
        "degree_profile",
        "Fourier mass by degree, in training",
        y="degree_profile",
        x="degree",
        panel="frozen_bit",
        color="model",
        slider="step",
        band="range",
        data=frames.profiles,
        needs=["step", "frozen_degree_profile"],
        caption="The frozen target is what the low-degree prediction tends to.",
    ),
    Curve(
        "coefficients",
        "Coefficients of monomials that training cannot tell apart",
        y="coefficient",
        x="step",
        panel="panel",
        color="pair_low",
        dash="member",
        levels={"predicted": "low-degree prediction"},
        band="range",
        data=frames.pair_curves,
        needs=["step", "tracked_coefficients", frames.has_pairs],
        caption="At most four pairs, the largest. Bands reach from the smallest to the largest "
        "replica.",
    ),
]
MATCHED = [
    Points(
        "error_by_stability",
        "Nothing frozen: error and noise stability of the target",
        y="relative_error",
        x="target_noise_stability",
        color="model",
        continuous=True,
        data=frames.matched,
        caption="At 1 the network is no better than the best constant.",
    ),
    Table(
        "matched",
        "Nothing frozen: error and noise stability of the target",
        data=frames.matched,
        rows=["task"],
        columns={
            "replicas": count("counted"),
            "error [95 %]": mean(ERROR),
            "error / ½ Var f [95 %]": mean("relative_error"),
            "E f²": number("mean_square"),
            "Stab_½": number("target_noise_stability"),
            "bound": number("target_orbit_cross_predictability_bound"),
            "CP": number("target_orbit_cross_predictability"),
        },
        notes=[
            "Training drew from the whole cube. Stab_½, bound and CP are exact properties of "
            "the target; CP is of its orbit among functions of twice as many bits. The lower "
            "bound on the error of symmetric networks has a prefactor that is not verified "
            "here, so no value of it is claimed.",
            verdicts.NOTES[0],
        ],
    ),
    Finding(
        "{model}: over all targets, Spearman's rank correlation with Stab_½ is {correlation} "
        "of the error, {relative} of error / ½ Var f: {verdict}. CP ≤ bound ≤ Stab_½ holds for "
        "{ordered} targets, as computed; it is a theorem.",
        values={
            "correlation": correlation("target_noise_stability", ERROR),
            "relative": correlation("target_noise_stability", "relative_error"),
            "ordered": count("ordered"),
        },
        verdict=read(
            "correlation",
            "no clear relation",
            below="the less noise-stable the target, the larger the error",
            above="the opposite of what the bound suggests",
        ),
        rows=["model"],
        over=["task"],
        data=frames.targets,
    ),
]
REPORT = Report(
    title="Canonical holdout: one bit frozen in training",
    question="Is the generalization error of a network that never saw one bit flip the Boolean "
    "influence of that bit, as low-degree bias predicts (Abbe et al. 2022)?",
    verdict=verdicts.sentence,
    decisions=verdicts.decisions,
    measures=DERIVED,
    left_out=frames.not_defined,
    exhibits=[*needing(frames.has_frozen, FROZEN), *needing(frames.has_matched, MATCHED)],
)
