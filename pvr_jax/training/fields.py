"""Rules for the fields of a configuration; every complaint is one line.

"config.<field>: given <value>; allowed <what>"
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pvr_jax.refusal import Refusal, shown

# Whether a value is allowed, and which are, in words.
Rule = tuple[Callable[[Any], bool], str]

PLAIN = "a text, a number of up to 64 bits, True, False, None, or a tuple or list of these"
SIZES = ("", "small", "paper")  # of a reproduction; "" where the numbers are the user's own


def whole(low: int, high: float = math.inf) -> Rule:
    """Return the rule of the whole numbers from low to high."""
    text = f"a whole number of at least {low}" if high == math.inf else f"{low} to {high}"
    return (
        lambda value: (
            isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        ),
        text,
    )


def count(low: int, most: int) -> Rule:
    """Return the rule of whole numbers from low on that memory has room for."""
    check, _ = whole(low, most)
    return check, f"a whole number of at least {low}, and up to {most}"


def number(low: float, high: float = math.inf) -> Rule:
    """Return the rule of the real numbers above `low` and up to `high`."""
    text = f"a number above {low:g}" + ("" if high == math.inf else f" and up to {high:g}")
    return (
        lambda value: (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low < value <= high
            and math.isfinite(value)
        ),
        text,
    )


def from_zero(high: float = math.inf) -> Rule:
    """Return the rule of the real numbers from 0 to `high`."""
    check, _ = number(-1e-300, high)
    return check, "a number from 0" + ("" if high == math.inf else f" to {high:g}")


def one_of(*allowed: Any) -> Rule:
    """Return the rule of a closed list of values."""
    return (
        lambda value: any(value == item and type(value) is type(item) for item in allowed),
        ", ".join(str(item) for item in allowed),
    )


def several(rule: Rule, example: str) -> Rule:
    """Return the rule of lists of one or more different values that fit `rule`."""
    check, description = rule
    return (
        lambda values: (
            isinstance(values, (tuple, list))
            and len(values) > 0
            and all(map(check, values))
            and len(set(values)) == len(values)
        ),
        f"different values separated by commas, such as {example}, each {description}",
    )


def text() -> Rule:
    """Return the rule of texts that are not empty."""
    return lambda value: isinstance(value, str) and bool(value), "a text"


def absent(source: str) -> Rule:
    """Return the rule of a field that is not to be set, as it follows from `source`."""
    return lambda value: value is None, f"nothing: it follows from {source}"


# The fields that say which task and which model, the same in every experiment.
NAMES: dict[str, Rule] = {
    "task.name": text(),
    "model.name": text(),
    **{f"model.{name}": absent("the task") for name in ("n", "shape", "alphabet", "classes")},
}
# The fields of training, the same in every experiment.
TRAINING: dict[str, Rule] = {
    "train.seeds": count(1, 2**20),
    "train.first_seed": whole(0, 2**31 - 1),
    "train.epochs": count(1, 2**31 - 1),
    "train.optimizer": one_of("adam", "sgd"),
    "train.learning_rates": several(number(0), "5e-5,1e-4"),
    "train.init_scales": several(number(0), "1,0.5"),
    "train.momentum": number(-1e-12, 1 - 1e-12),
    "train.dtype": one_of("float32", "float64"),
    "train.matmul_precision": one_of("highest", "high", "default"),
    "train.execution": one_of("auto", "vmap", "map", "chunked"),
    "train.group_size": whole(1),
    "evaluation.every_epochs": whole(1),
    "checkpoint.count": count(2, 2**16),
    "checkpoint.save_every_seconds": number(0),
}


def refuse(field: str, given: Any, allowed: str) -> ValueError:
    """Return the one-line error about a field of the configuration."""
    return Refusal(f"config.{field}: given {shown(given)}; allowed {allowed}")


def check(config: Mapping[str, Any], sections: tuple[str, ...], rules: Mapping[str, Rule]) -> None:
    """Check that a configuration has its sections and size, and that its fields fit their rules.

    All its values have to be such as JSON can hold, whole numbers such as 64 bits can.

    Raises:
        ValueError: the first field that is missing, of a wrong type or out of range; one line.
    """
    try:
        for field, value in _values(config):
            if not _is_plain(value):
                raise refuse(field, value, PLAIN)
    except RecursionError:
        raise Refusal(
            "config: given a section that holds itself; allowed numbers, texts and sections"
        ) from None
    for section in sections:
        if not hasattr(config.get(section), "items"):
            raise refuse(section, config.get(section), "a section with the fields of this group")
    if config.get("size") not in SIZES:
        raise refuse("size", config.get("size"), "small, paper, or an empty text")
    for field, (is_allowed, allowed) in rules.items():
        section, name = field.split(".")
        value = config[section].get(name)
        if not is_allowed(value):
            raise refuse(field, value, allowed)


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


# Where a run is computed, not what: a run goes on under another value.
PLACEMENT = ("batch_devices",)


def identity(config: dict[str, Any]) -> str:
    """Return the 8 hexadecimal digits that name a configuration: its canonical JSON, hashed.

    Fields of `PLACEMENT` in its section "train" do not count.
    """
    counted = {name: value for name, value in config["train"].items() if name not in PLACEMENT}
    document = {**config, "train": counted}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def prefix_errors(prefix: str, call: Callable[[], Any]) -> Any:
    """Run `call`; a ValueError that begins with a parameter's name gets the field's path."""
    try:
        return call()
    except Refusal as error:
        raise Refusal(prefix + str(error)) from error
