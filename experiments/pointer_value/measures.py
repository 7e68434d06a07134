"""Measures of pointer value retrieval, and exact facts about its tasks."""

import math
from typing import Any

import numpy as np

from pvr_jax.results import Measure
from pvr_jax.tasks.classification import Facts

TESTS = {"iid": "i.i.d.", "withheld": "withheld"}
DOMAINS = {
    "iid": "new inputs, distributed as those of training",
    "withheld": "inputs that training never shows",
    "train": "the training set, or its beginning",
}
EXAMPLES = {
    "input": "The first inputs of the test set; of images gray levels, 0 to 255.",
    "label": "Their classes; −1 if a replica has no such test set.",
    "probability": "Predicted probability of every class.",
}
ENDS = {"low": "lower", "high": "upper"}
_SHARE, _POSITIVE = {"bounds": (0, 1)}, {"bounds": (0, math.inf)}
_LOSS = {"units": "nats", **_POSITIVE}
_EXACT = {"kind": "exact"}
_LIKELIHOOD = "Mean negative log-likelihood: minus the natural logarithm of the label's probability"
_NOISE = "The probability that the label changes when every token is redrawn with probability δ"


def _scores(part: str, word: str) -> dict[str, Measure]:
    domain = {"domain": DOMAINS[part]}
    return {
        f"{part}_accuracy": Measure(
            f"{word} accuracy",
            "Share of the inputs whose most probable class is the label.",
            **domain,
            **_SHARE,
        ),
        f"{part}_loss": Measure(f"{word} loss", f"{_LIKELIHOOD}.", **domain, **_LOSS),
    }


MEASURES = {
    **_scores("iid", TESTS["iid"]),
    **_scores("withheld", TESTS["withheld"]),
    **_scores("train", "training"),
    **{
        f"{part}_confusion": Measure(
            f"{word} test inputs",
            "Test inputs by true class and predicted class.",
            domain=DOMAINS[part],
            dims=("true_class", "predicted_class"),
            **_POSITIVE,
        )
        for part, word in TESTS.items()
    },
    "batch_loss": Measure(
        "batch loss",
        f"{_LIKELIHOOD}, or the loss that `train.loss` names, of the batches since the previous "
        "evaluation, each before its own step. The only training loss of a stream, whose samples "
        "are shown once.",
        **_LOSS,
    ),
    "samples_shown": Measure(
        "samples shown",
        "Training samples until then, repeats counted.",
        kind="state",
        **_POSITIVE,
    ),
    "fewest_samples": Measure(
        "fewest samples", "For a stream: samples shown until the first evaluation.", kind="state"
    ),
    "samples_to_95": Measure(
        "samples to 95 %",
        "For a stream: samples shown until i.i.d. accuracy first reaches 95 %, interpolated in "
        "their logarithm between evaluations; infinite if it does not.",
        **_POSITIVE,
    ),
    "classes": Measure("classes", "Number of labels.", **_EXACT),
    "test_samples": Measure("test samples", "Inputs of each test set.", **_EXACT),
    "noise_rate": Measure("noise", "δ of the noise sensitivity.", symbol="δ", **_EXACT),
    "chance": Measure(
        "chance",
        "Accuracy of the best constant guess: the largest probability of a label.",
        **_EXACT,
        **_SHARE,
    ),
    "label_entropy": Measure(
        "label entropy", "For uniform inputs.", units="bits", **_EXACT, **_POSITIVE
    ),
    "label_distribution": Measure(
        "label distribution",
        "Probability of every label, for uniform inputs.",
        dims=("true_class",),
        **_EXACT,
        **_SHARE,
    ),
    "label_distribution_exact": Measure(
        "exact", "Whether the label distribution is computed and not sampled.", **_EXACT
    ),
    "share_removed": Measure(
        "removed", "Share of all inputs that training withholds.", **_EXACT, **_SHARE
    ),
    **{
        f"share_removed_{end}": Measure(
            f"{word} bound", "Of the share removed; itself where exact.", **_EXACT, **_SHARE
        )
        for end, word in ENDS.items()
    },
    "withheld_words": Measure("what is withheld", "What training withholds.", **_EXACT),
    "noise_sensitivity": Measure(
        "noise sensitivity",
        f"{_NOISE}, the pointer from its allowed values.",
        **_EXACT,
        **_SHARE,
    ),
    **{
        f"noise_sensitivity_{end}": Measure(
            f"{word} bound", "Of the noise sensitivity; itself where exact.", **_EXACT, **_SHARE
        )
        for end, word in ENDS.items()
    },
}


def of_examples(own: tuple[str, ...]) -> dict[str, Measure]:
    """Return the measures of kept examples; `own` are the dimensions of an input."""
    last = {"input": own, "label": (), "probability": ("predicted_class",)}
    return {
        f"{part}_example_{name}": Measure(
            f"{word} examples: {name}",
            description,
            kind="state",
            dims=("shown", "example", *last[name]),
        )
        for part, word in TESTS.items()
        for name, description in EXAMPLES.items()
    }


def known(facts: Facts) -> dict[str, Any]:
    """Return the exact facts about a subtask, by measure."""
    shares = np.asarray(facts.label_distribution.shares)
    occurring = shares[shares > 0]
    noise = facts.noise_sensitivity
    bounds = (math.nan,) * 3 if noise is None else (noise.value, noise.low, noise.high)
    names = [f"noise_sensitivity{ending}" for ending in ("", "_low", "_high")]
    low, high = facts.share_bounds or (facts.share_removed,) * 2
    return {
        "chance": shares.max(),
        "label_entropy": -np.sum(occurring * np.log2(occurring)) + 0.0,
        "label_distribution": shares,
        "label_distribution_exact": facts.label_distribution.exact,
        "share_removed": facts.share_removed,
        "share_removed_low": low,
        "share_removed_high": high,
        "withheld_words": facts.description,
        **dict(zip(names, bounds, strict=True)),
    }
