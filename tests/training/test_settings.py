"""What the programs of a run take from the section "train", and that each of it has a rule."""

import dataclasses
import importlib

import jax.numpy as jnp
import numpy as np

from pvr_jax.training import fields
from pvr_jax.training.settings import TrainSettings

EXPERIMENTS = ("canonical_holdout", "pointer_value")


def test_of_a_section_what_the_programs_depend_on():
    section = {"optimizer": "sgd", "momentum": 0.5, "seeds": 3, "dtype": "float64"}
    expected = TrainSettings(optimizer="sgd", momentum=0.5, dtype="float64")
    assert TrainSettings.of(section) == expected


def test_every_field_has_a_rule():
    rules = {*fields.TRAINING, *fields.OPTIONAL}
    for name in EXPERIMENTS:
        rules |= set(importlib.import_module(f"experiments.{name}.settings").RULES)
    assert {f"train.{field.name}" for field in dataclasses.fields(TrainSettings)} <= rules


def test_the_rate_rises_and_falls_as_the_settings_say():
    # SGD without momentum takes steps of rate times gradient; of weights 1, decay adds .5 to it.
    settings = TrainSettings("sgd", 0.0, weight_decay=0.5, warmup_steps=2, decay="cosine", steps=4)
    params = jnp.ones(1)
    transformation = settings.transformation(0.1)
    state, found = transformation.init(params), []
    for _ in range(5):
        update, state = transformation.update(jnp.ones(1), state, params)
        found.append(float(update[0]))
    np.testing.assert_allclose(found, [-0.075, -0.15, -0.15, -0.075, 0], atol=1e-7)
