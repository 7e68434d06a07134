"""Rules for the fields of a configuration; every error is one line.

"config.<field>: given <value>; allowed <what>"
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pvr_jax import checks
from pvr_jax.refusal import Refusal

PLAIN = "a text, a number of up to 64 bits, True, False, None, or a tuple or list of these"
SIZES = ("", "small", "paper")  # of a reproduction; "" where the numbers are the user's own


# The fields that say which task and which model, the same in every experiment.
NAMES: dict[str, checks.Rule] = {
    "task.name": checks.text(),
    "model.name": checks.text(),
    **{
        f"model.{name}": checks.absent("the task") for name in ("n", "shape", "alphabet", "classes")
    },
}
# The fields of training, the same in every experiment.
TRAINING: dict[str, checks.Rule] = {
    "train.seeds": checks.count(1, 2**20),
    "train.first_seed": checks.integer(0, 2**31 - 1),
    "train.optimizer": checks.text(),
    "train.learning_rates": checks.list_of(checks.above(0), "5e-5,1e-4"),
    "train.init_scales": checks.list_of(checks.above(0), "1,0.5"),
    "train.momentum": checks.above(-1e-12, 1 - 1e-12),
    "train.dtype": checks.one_of("float32", "float64", "bfloat16"),
    "train.matmul_precision": checks.one_of("highest", "high", "default"),
    "train.execution": checks.one_of("auto", "vmap", "map", "chunked"),
    "train.group_size": checks.integer(1),
    "checkpoint.count": checks.count(2, 2**16),
    "checkpoint.save_every_seconds": checks.above(0),
}
# How long training is and how often it is evaluated. Where sets of different sizes train side by
# side, both are counted in steps.
COUNTS: dict[str, dict[str, checks.Rule]] = {
    "epochs": {
        "train.epochs": checks.count(1, 2**31 - 1),
        "evaluation.every_epochs": checks.integer(1),
    },
    "steps": {"train.steps": checks.integer(1), "evaluation.count": checks.integer(2)},
}
# Fields of training that a configuration need not have, and what it then means.
OPTIONAL: dict[str, checks.Rule] = {
    "train.weight_decay": checks.nonnegative(),
    "train.warmup_steps": checks.integer(0),
    "train.decay": checks.one_of("constant", "cosine"),
    "train.batch_devices": checks.integer(1),
    "train.start": checks.text(empty=True),
    "train.freeze": checks.text(empty=True),
    "train.loss": checks.text(empty=True),
}
DEFAULTS: dict[str, Any] = {
    "train.weight_decay": 0.0,
    "train.warmup_steps": 0,
    "train.decay": "constant",
}


def check(
    config: Mapping[str, Any], sections: tuple[str, ...], rules: Mapping[str, checks.Rule]
) -> None:
    """Check that a configuration has its sections and size, and that its fields fit their rules.

    All values must be representable in JSON, integers in 64 bits.

    Raises:
        ValueError: a field is missing, has a wrong type or is out of range.
    """
    try:
        for field, value in _values(config):
            if not _is_plain(value):
                raise checks.invalid(f"config.{field}", value, PLAIN)
    except RecursionError:
        raise Refusal(
            "config: given a section that holds itself; allowed numbers, texts and sections"
        ) from None
    for section in sections:
        if not hasattr(config.get(section), "items"):
            allowed = "a section with the fields of this group"
            raise checks.invalid(f"config.{section}", config.get(section), allowed)
    if config.get("size") not in SIZES:
        raise checks.invalid("config.size", config.get("size"), "small, paper, or an empty text")
    given = {field: rule for field, rule in OPTIONAL.items() if _has(config, field)}
    for field, (is_allowed, allowed) in {**rules, **given}.items():
        section, name = field.split(".")
        value = config[section].get(name)
        if not is_allowed(value):
            raise checks.invalid(f"config.{field}", value, allowed)


def _values(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of a configuration, "train.seeds", and their values."""
    try:
        items = section.items()  # which a ConfigDict sorts by name
    except TypeError:
        items = [(None, None)]
    for name, value in items:
        if not isinstance(name, str):
            where = f"config.{path}".rstrip(".")
            raise Refusal(
                f"{where}: given a field whose name is no text; allowed names as in Python"
            )
        if hasattr(value, "items"):
            yield from _values(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, (str, float))


# Fields in which replicas of one program may differ.
OF_A_REPLICA = ("train.seeds", "train.first_seed", "train.learning_rates", "train.init_scales")
# Where and how a run is computed, not what: a run goes on under another value. The first are in no
# name; the others are, as if they had these values.
PLACEMENT = ("train.batch_devices",)
# Fields that every experiment has got since its first runs were named, with what they were.
ADDED = {"train.start": "", "train.freeze": "", "train.loss": ""}
UNNAMED = {
    "train.execution": "auto",
    "train.group_size": 4,
    "checkpoint.save_every_seconds": 60.0,
}


def identity(
    config: dict[str, Any],
    unnamed: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> str:
    """Return the 8 hexadecimal digits that identify a configuration: a hash of its JSON.

    Args:
        config: the configuration.
        unnamed: more fields like those of `UNNAMED`.
        defaults: defaults of fields that count only if they differ from these.
    """
    document = {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in config.items()
    }
    for field, value in {**UNNAMED, **(unnamed or {})}.items():
        if _has(document, field):
            section, name = field.split(".")
            document[section][name] = value
    defaults = {**ADDED, **(defaults or {})}
    for field in (*PLACEMENT, *defaults):
        section, name = field.split(".")
        if not _has(document, field):
            continue
        if field in PLACEMENT or document[section][name] == defaults[field]:
            del document[section][name]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _has(config: Mapping[str, Any], field: str) -> bool:
    section, name = field.split(".")
    return section in config and name in config[section]


def prefix_errors(prefix: str, call: Callable[[], Any]) -> Any:
    """Run `call`; prepend the field's path to a ValueError that starts with a parameter."""
    try:
        return call()
    except Refusal as error:
        raise Refusal(prefix + str(error)) from error
