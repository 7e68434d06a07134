"""The command line: flags in, a configuration out; every mistake ends in one line."""

import difflib
import importlib
from typing import Any, NoReturn

from absl import flags
from ml_collections import ConfigDict, config_flags

STAGES = ("train", "analyse", "report")

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "the configuration: a file of configs/, with its choices after a colon"
)
WORKDIR = flags.DEFINE_string("workdir", "runs", "the directory under which all files are written")
STAGE = flags.DEFINE_enum(
    "stage", "all", ["all", *STAGES], "which stage to run; all runs those that are not done"
)


class UsageError(ValueError):
    """A mistake on the command line or in a configuration, in one line."""


def parse(arguments: list[str]) -> ConfigDict | None:
    """Parse the command line (`arguments[0]` is the program) and return the configuration.

    Returns None where no --config was given.

    Raises:
        UsageError: an unknown flag, an unknown field, a value of a wrong type, a file that is not
            there; the message names it, what was given and what is allowed.
    """
    try:
        rest = flags.FLAGS(arguments)[1:]
    except (flags.Error, AttributeError, KeyError, ValueError, ImportError, OSError) as error:
        _explain(arguments, error)
    if rest:
        raise UsageError(
            f"argument: given {rest[0]!r}; allowed flags of the form --config.train.seeds=5"
        )
    if not flags.FLAGS["config"].present:
        return None
    return CONFIG.value


def load_experiment(name: str, module: str) -> Any:
    """Import `experiments.<name>.<module>`.

    Raises:
        UsageError: there is no such experiment.
    """
    path = f"experiments.{name}"
    try:
        importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise UsageError(
            f"config.experiment: given {name!r}; allowed the name of a package in experiments/"
        ) from error
    return importlib.import_module(f"{path}.{module}")


def _explain(arguments: list[str], error: Exception) -> NoReturn:
    """Raise the one-line error that tells which argument was wrong, and what is allowed."""
    chosen = [text for text in arguments if text.startswith("--config=")]
    overrides = [text for text in arguments if text.startswith("--config.")]
    if not isinstance(error, flags.Error) or "config" in str(error):
        config = _load(arguments[0], chosen)
        for override in overrides:
            _check_override(config, override)
    if isinstance(error, flags.UnrecognizedFlagError):
        near = difflib.get_close_matches(error.flagname, ["config", "workdir", "stage"], n=1)
        hint = f" (did you mean --{near[0]}?)" if near else ""
        raise UsageError(
            f"--{error.flagname}: no such flag; allowed --config, --workdir, --stage, and fields "
            f"as --config.train.seeds=5{hint}"
        ) from error
    raise UsageError(_one_line(error)) from error


def _load(program: str, chosen: list[str]) -> ConfigDict:
    """Load the configuration alone, without the overrides."""
    if not chosen:
        raise UsageError("--config: given nothing; allowed a file such as configs/quickstart.py")
    path = chosen[-1].partition("=")[2]
    try:
        flags.FLAGS([program, *chosen])
    except FileNotFoundError as error:
        raise UsageError(
            f"--config: given {path.partition(':')[0]!r}; no such file; allowed a file such as "
            "configs/quickstart.py"
        ) from error
    except Exception as error:  # whatever the code of a configuration raises
        raise UsageError(f"--config={path}: {_one_line(error)}") from error
    return CONFIG.value


def _check_override(config: ConfigDict, override: str) -> None:
    """Raise the error about `--config.a.b=value` if that is the wrong one."""
    name, _, given = override[2:].partition("=")
    *parents, last = name.split(".")[1:]
    section: Any = config
    path = "config"
    for part in [*parents, last]:
        if not isinstance(section, ConfigDict):
            raise UsageError(f"{name}: no such field; {path} is a value and has no fields")
        if part not in section:
            near = difflib.get_close_matches(part, section.keys(), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(
                f"{path}.{part}: no such field; allowed fields of {path} are "
                f"{', '.join(sorted(section.keys()))}{hint}"
            )
        section, path = section[part], f"{path}.{part}"
    expected = type(section)
    described = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        tuple: "values separated by commas",
        ConfigDict: "its fields one by one, as --" + path + ".FIELD=…",
    }
    if expected in described and not _parses(given, expected):
        example = "" if expected is ConfigDict else f", such as {_written(section)}"
        raise UsageError(f"{name}: given {given!r}; allowed {described[expected]}{example}")


def _parses(given: str, expected: type) -> bool:
    """Return whether a flag's text can become a value of the type."""
    if expected is bool:
        return given.lower() in ("true", "false", "1", "0", "")
    if expected in (int, float):
        try:
            expected(given)
        except ValueError:
            return False
        return True
    return expected is tuple and all(
        part.strip() and _parses(part.strip(" ()"), float) for part in given.split(",")
    )


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
