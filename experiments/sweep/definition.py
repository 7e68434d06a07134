"""The cells of a sweep: the product of named generators.

A generator is a function `sweep_<name>()` of the config file that yields flat overrides: a key
with dots is a field (`"holdout.bits": "3"`), one without is a choice after the colon
(`"task": "pvr"`).
"""

import importlib.util
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments import command_line
from experiments.command_line import SweepRequest, UsageError
from pvr_jax.refusal import Refusal
from pvr_jax.training.run_log import RunError

PREFIX = "sweep_"
LONGEST_REASON = 300


class Cell(NamedTuple):
    """A configuration of a sweep; `config` is None if it is invalid, and `refused` says why.

    `name` is the name of its run directory; `settings` are its overrides.
    """

    name: str
    config: ConfigDict | None
    settings: dict[str, Any]
    refused: str = ""


def expand(request: SweepRequest) -> list[Cell]:
    """Return the cells of a sweep in the order of its generators, without duplicates.

    Raises:
        UsageError: no such generator, a field that is set twice, or no valid cell.
    """
    module = load(request.file)
    generators = [(name, _settings(module, request, name)) for name in request.names]
    given = [part.partition("=")[0] for part in request.choices.split(",") if part]
    _refuse_conflicts(generators, [*request.overrides, *given])
    cells: dict[str, Cell] = {}
    for combination in itertools.product(*(settings for _, settings in generators)):
        settings = {name: value for part in combination for name, value in part.items()}
        cell = _cell(module, request, settings)
        known = cells.setdefault(cell.name, cell)
        if cell.config is None or known is cell:
            continue
        if cell.config.to_dict() != known.config.to_dict():
            # A collision of 8 digits occurs in one of some thousand sweeps.
            name = described(settings)
            reason = f"its run would be named {cell.name}, as another cell's; change a field of it"
            cells[name] = Cell(name, None, settings, reason)
    found = list(cells.values())
    if not found:
        raise UsageError(f"--sweep: given {','.join(request.names)}, which yields no cell")
    if all(cell.config is None for cell in found):
        others = f" (and so on, for all {len(found)} cells)" if len(found) > 1 else ""
        raise UsageError(f"{found[0].refused}{others}")
    return found


def load(file: str) -> ModuleType:
    """Import a config file."""
    path = Path(file)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reason_of(error: BaseException) -> str:
    """Return the reason of a failure in one line of up to 300 characters."""
    message = command_line.one_line(error)
    if not isinstance(error, (Refusal, RunError)):
        message = f"{type(error).__name__}: {message}"
    return message if len(message) <= LONGEST_REASON else message[:LONGEST_REASON] + " …"


def described(settings: Mapping[str, Any]) -> str:
    """Format settings, such as "task=pvr, holdout.bits=3"."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _settings(module: ModuleType, request: SweepRequest, name: str) -> list[dict[str, Any]]:
    """Return the overrides that a generator yields."""
    known = [key.removeprefix(PREFIX) for key in vars(module) if key.startswith(PREFIX)]
    if name not in known:
        allowed = ", ".join(known) or f"nothing: the file has no function {PREFIX}NAME"
        raise UsageError(f"--sweep: given {name!r}; allowed for {request.file}: {allowed}")
    try:
        found = getattr(module, PREFIX + name)()
        settings = list(found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the code of a configuration raises, exit() too
        wrong = f"raises {type(error).__name__}: {command_line.one_line(error)}"
    else:
        odd = [part for part in settings if not _is_setting(part)]
        if not odd:
            return settings
        wrong = f"yields {odd[0]!r}"
    raise UsageError(
        f"--sweep: given {name}, and {PREFIX}{name}() of {request.file} {wrong}; allowed a "
        'function without arguments that yields overrides such as {"holdout.bits": "3"}'
    )


def _is_setting(part: Any) -> bool:
    return isinstance(part, dict) and all(isinstance(name, str) for name in part)


def _refuse_conflicts(
    generators: Sequence[tuple[str, list[dict[str, Any]]]], given: Sequence[str]
) -> None:
    """Refuse a field that is set twice."""
    setters = dict.fromkeys(given, "the command line")
    for name, settings in generators:
        for field in sorted({field for part in settings for field in part}):
            if field in setters:
                raise UsageError(
                    f"--sweep: given {name}, which sets {field}, as does {setters[field]}; "
                    "allowed one of the two"
                )
            setters[field] = name


def _cell(module: ModuleType, request: SweepRequest, settings: dict[str, Any]) -> Cell:
    """Make a cell, with a validated configuration."""
    chosen = [f"{name}={value}" for name, value in settings.items() if "." not in name]
    fields = {name: value for name, value in settings.items() if "." in name}
    try:
        config = _made(module, ",".join([*filter(None, [request.choices]), *chosen]))
        with config.unlocked():
            for name, value in _items(fields, request.overrides):
                override(config, name, value)
        package = command_line.validate(config, {**request.overrides, **fields})
        return Cell(package.run_name(config), config, settings)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the code of a configuration raises: this cell's alone
        return Cell(described(settings), None, settings, reason_of(error))


def _made(module: ModuleType, choices: str) -> ConfigDict:
    try:
        return module.get_config(choices)
    except ValueError as error:  # as a config file refuses a choice
        raise UsageError(command_line.one_line(error)) from error


def _items(*parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return itertools.chain.from_iterable(part.items() for part in parts)


def override(config: ConfigDict, name: str, value: Any) -> None:
    """Set the field `name` ("train.seeds") of a configuration.

    Raises:
        UsageError: there is no such field, or it has another type.
    """
    before = command_line.field_of(config, name)
    *parents, last = name.split(".")
    section = config
    for part in parents:
        section = section[part]
    try:
        section[last] = tuple(value) if isinstance(value, list) else value
    except TypeError as error:
        raise UsageError(
            f"config.{name}: given {value!r}; allowed a value of the kind of {before!r}"
        ) from error
