"""A linear student that misses a coordinate; choices: none."""

import ml_collections

from configs import sections


def runs(size):
    return [""]


def sweep_rates():
    return [{"train.learning_rates": (rate,)} for rate in (0.005, 0.01)]


def get_config(arg=None):
    return ml_collections.ConfigDict({
        "experiment": "masked_student",
        "size": "",
        "task": {"name": "polynomial", "n": 4, "expression": "x0 + 0.5*x1 + 0.25*x2*x3"},
        "model": {"name": "linear_student"},
        "data": {"masked": (0, 1, 2)},
        "train": sections.train(seeds=3, epochs=800, learning_rates=(0.01,), optimizer="sgd"),
        "evaluation": {"every_epochs": 100},
        "checkpoint": sections.checkpoint(2),
    }).lock()  # fmt: skip
