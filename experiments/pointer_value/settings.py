"""The experiment's configuration: checked in full before anything runs.

Every complaint is one line: the field, what was given, what is allowed.
"""

from ml_collections import ConfigDict

from pvr_jax import models
from pvr_jax.checks import Rule, above, integer, invalid, list_of, nonnegative, one_of
from pvr_jax.tasks import classification, digit_pictures, drawn_sets
from pvr_jax.tasks.contents import Content, of_file
from pvr_jax.training import fields
from pvr_jax.training.fields import prefix_errors
from pvr_jax.training.replicas import device_mesh

MOST_SAMPLES = 2**30

# Sets of different sizes train side by side, so training is measured in steps, not in epochs.
IN_EPOCHS = ("train.epochs", "evaluation.every_epochs")
RULES: dict[str, Rule] = {
    **fields.NAMES,
    "data.source": one_of(*drawn_sets.SOURCES),
    "data.batch_size": integer(1, 2**20),
    **{field: rule for field, rule in fields.TRAINING.items() if field not in IN_EPOCHS},
    "train.steps": integer(1),
    "train.warmup_steps": integer(0),
    "train.decay": one_of("constant", "cosine"),
    "train.weight_decay": nonnegative(),
    "train.batch_devices": integer(1),
    "evaluation.count": integer(2),
    "evaluation.test_samples": integer(1, 2**24),
    "evaluation.training_samples": integer(1, 2**24),
    "evaluation.chunk": integer(1, 2**20),
    "evaluation.noise": above(0, 1),
    "evaluation.examples": integer(1, 256),
}
SECTIONS = ("task", "model", "data", "train", "evaluation", "checkpoint")


def validate(config: ConfigDict) -> None:
    """Check the whole configuration.

    Raises:
        ValueError: the first field that is missing, of a wrong type, out of range, or impossible
            together with others; one line.
    """
    fields.check(config, SECTIONS, RULES)
    sizes = config.data.get("samples")
    if not isinstance(sizes, (tuple, list)):
        raise invalid(
            "config.data.samples", sizes, "whole numbers separated by commas, or none, ()"
        )
    sizes = tuple(sizes)
    if config.data.source == "sampled":
        is_allowed, allowed = list_of(integer(1, MOST_SAMPLES), "1000,10000")
        if not is_allowed(sizes):
            raise invalid("config.data.samples", sizes, allowed)
    elif sizes:
        allowed = "none, (), as a stream of fresh samples has no size"
        raise invalid("config.data.samples", sizes, allowed)
    if config.train.warmup_steps > config.train.steps:
        allowed = f"0 to train.steps, {config.train.steps}"
        raise invalid("config.train.warmup_steps", config.train.warmup_steps, allowed)
    prefix_errors("config.train.", lambda: device_mesh(batch_devices=config.train.batch_devices))
    make_model(config, make_task(config))


def make_task(config: ConfigDict) -> classification.Classification:
    """Return the task of the configuration; errors name the field."""
    parameters = {name: value for name, value in config.task.to_dict().items() if value is not None}
    return prefix_errors("config.task.", lambda: classification.make(**parameters))


def make_model(config: ConfigDict, task: classification.Classification) -> models.Model:
    """Return the network of the configuration for a task; errors name the field."""
    given = config.model.to_dict()
    shape, alphabet = task.inputs
    return prefix_errors(
        "config.model.",
        lambda: models.build_classifier(
            shape=shape, alphabet=alphabet, classes=task.classes, **given
        ),
    )


def contents(config: ConfigDict) -> dict[str, Content]:
    """Return which pictures are read from a directory, where they are."""
    if config.task.get("source") != "mnist":
        return {}
    splits = digit_pictures.load("mnist", config.task.data_dir or None)
    name = f"{config.task.data_dir or 'the directory of tensorflow_datasets'}, MNIST,"
    return {"task.data_dir": of_file(name, *splits.train, *splits.test)}


def identity(config: ConfigDict) -> str:
    """Return the 8 hexadecimal digits that name this configuration."""
    return fields.identity(config.to_dict())


def run_name(config: ConfigDict) -> str:
    """Return the name of the run's directory: <task>-<model>-<8 hex of the configuration>."""
    return f"{config.task.name}-{config.model.name}-{identity(config)}"
