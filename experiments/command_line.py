"""The command line: flags in, a configuration out; every mistake ends in one line."""

import contextlib
import logging
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments.fields_help import description, fields_help
from experiments.flags import define_flags
from experiments.registry import UsageError, experiment_of
from pvr_jax import on_disk
from pvr_jax.refusal import Refusal, did_you_mean

if TYPE_CHECKING:
    from pvr_jax.experiment import Experiment

EXAMPLE = "configs/quickstart.py"
EXAMPLE_OF_SWEEPS = "configs/canonical_holdout.py"
FLAGS = ("config", "workdir", "stage", "sweep", "shard", "hosts", "check", "verbose", "log")
FLAGS += ("until", "max_seeds")


class SweepRequest(NamedTuple):
    """Which sweep to run, and which of its shards.

    `file` and `choices` are what --config names before and after the colon, `names` the
    generators whose product the sweep is, `overrides` the fields set by flags, for all its cells.
    """

    file: str
    choices: str
    names: tuple[str, ...]
    overrides: dict[str, Any]
    shard: int = 0
    shards: int = 1


class CommandLine(NamedTuple):
    """What the command line asks for; `config` is None where no --config was given.

    `overrides` are the fields that flags have set, "train.seeds" to its value; `max_seeds` is 0
    unless seeds are added until all is decided.
    """

    config: ConfigDict | None
    workdir: Path
    stage: str
    hosts: str
    sweep: SweepRequest | None = None
    check: bool = False
    overrides: Mapping[str, Any] = {}
    log: tuple[str, ...] = ()
    max_seeds: int = 0


def parse(arguments: list[str]) -> CommandLine:
    """Parse a command line; `arguments[0]` is the program.

    Raises:
        UsageError: an unknown flag, an unknown field, a value of a wrong type, a file that is not
            there; the message names it, what was given and what is allowed.
        SystemExit: --help was given, and shown.
    """
    try:
        values = define_flags(arguments)
        rest = values(arguments)[1:]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # absl's errors, and whatever a configuration's code raises
        raise _explained(arguments, error) from error
    if values.help:
        print(values.get_help())
        if values["config"].present and isinstance(values.config, ConfigDict):
            chosen = _chosen(arguments)
            file = Path(chosen.partition(":")[0])
            print(f"\n{description(file)}\n\nFields of {chosen}:\n")
            print(fields_help(values.config, file))
        raise SystemExit(0)
    if rest:
        raise UsageError(
            f"argument: given {rest[0]!r}; allowed flags of the form --config.train.seeds=5"
        )
    speak_of_details(values)
    config = values.config
    if values["config"].present and not isinstance(config, ConfigDict):
        raise _unreadable(arguments)
    sweep = _sweep(values)
    given = config_flags.get_override_values(values["config"]) if values["config"].present else {}
    chosen = (workdir(values), values.stage, values.hosts, sweep, values.check)
    return CommandLine(config, *chosen, given, _log(values), _max_seeds(values))


def speak_of_details(values: flags.FlagValues) -> None:
    """Let training say more where --verbose asks for it."""
    if values.verbose:
        logging.getLogger("pvr_jax").setLevel(logging.INFO)


def validate(config: ConfigDict, overrides: Mapping[str, Any]) -> "Experiment":
    """Check and name a configuration with these fields set by hand; return its experiment.

    Raises:
        UsageError: the configuration is impossible; one line that says what the user gave.
    """
    experiment = experiment_of(config)
    try:
        experiment.naming(config, overrides)
        experiment.validate(config)
    except Refusal as error:
        raise UsageError(_blamed(str(error), config, overrides)) from error
    return experiment


def _blamed(message: str, config: ConfigDict, overrides: Mapping[str, Any]) -> str:
    """Return a complaint about a configuration that says what the user gave.

    Where a field that nobody gave does not go with one that was given, it is a line about both.
    """
    complaint = re.fullmatch(r"config\.([\w.]+): given (.*); allowed (.*)", message)
    if not complaint or not overrides:
        return message
    field, value, good = complaint.groups()
    own = re.fullmatch(r"'[\w.]+:\w+'", value) and "indices" not in good  # a function, wrong alone
    if own or any(field == name or field.startswith(f"{name}.") for name in overrides):
        return message
    section = field.partition(".")[0]
    same = [name for name in overrides if name.startswith(f"{section}.")]
    given = " ".join(f"--config.{name}={_written(overrides[name])}" for name in same or overrides)
    line = f"config.{field}: {value} of the configuration does not go with {given}; allowed {good}"
    if chosen := overrides.get(f"{section}.name"):
        file = f"configs/{config.experiment}.py"  # other files of an experiment have fewer choices
        there = f"={file}" if (Path(__file__).parents[1] / file).is_file() else ""
        return f"{line}: choose {section}={chosen} after the colon of --config{there} instead"
    return line if ":" in value else f"{line}: give --config.{field} too"


def workdir(values: flags.FlagValues) -> Path:
    """Return the directory that --workdir names; with --check it need not be of this machine.

    Raises:
        Refusal: it is none, or nothing can be written there; one line.
    """
    return on_disk.directory_for_results("--workdir", values.workdir, writable=not values.check)


def _log(values: flags.FlagValues) -> tuple[str, ...]:
    """Return where --log says that evaluations are logged too.

    With --check the libraries need not be of this machine.
    """
    if not values.log:
        return ()
    from pvr_jax.training import trackers  # a report is made without JAX
    from pvr_jax.training.fields import prefix_errors

    return prefix_errors("--", lambda: trackers.named(values.log, installed=not values.check))


def _max_seeds(values: flags.FlagValues) -> int:
    """Return up to how many seeds are added until all is decided; 0: none are."""
    if not values.until:
        if values["max_seeds"].present:
            raise UsageError("--max_seeds: given without --until=decided; allowed with it alone")
        return 0
    for name, allowed in (("stage", "all"), ("hosts", "one"), ("sweep", "")):
        if (given := values[name].value) != allowed:
            wanted = allowed or "no sweep"
            raise UsageError(f"--{name}: given {given}; allowed {wanted} with --until=decided")
    return values.max_seeds


def _sweep(values: flags.FlagValues) -> SweepRequest | None:
    """Return the sweep that the flags ask for, None if they ask for none."""
    names = tuple(filter(None, (name.strip() for name in values.sweep.split(","))))
    if values["sweep"].present and not names:
        raise UsageError("--sweep: given nothing; allowed names such as --sweep=tasks,bits")
    if values["shard"].present and not names:
        raise UsageError("--shard: given without a sweep; allowed with --sweep=NAME alone")
    if not names:
        return None
    if values.hosts != "one":
        raise UsageError(
            f"--hosts: given {values.hosts}; allowed one with --sweep: give each process a --shard"
        )
    if values.config is None:
        raise UsageError(f"--config: given nothing; allowed a file such as {EXAMPLE_OF_SWEEPS}")
    flag = values["config"]
    file, _, choices = config_flags.get_config_filename(flag).partition(":")
    overrides = config_flags.get_override_values(flag)
    shard, shards = _shard(values.shard) if values["shard"].present else (0, 1)
    return SweepRequest(file, choices, names, overrides, shard, shards)


def _shard(text: str) -> tuple[int, int]:
    """Return (i, n) of "i/n"."""
    numbers = re.fullmatch(r"(\d{1,18})/(\d{1,18})", text.strip())
    shard, shards = map(int, numbers.groups()) if numbers else (0, 0)
    if not shard < shards:
        raise UsageError(
            f"--shard: given {text!r}; allowed i/n with i from 0 to n - 1, such as 0/8"
        )
    return shard, shards


def _explained(arguments: list[str], error: BaseException) -> UsageError:
    """Return the one-line error that tells which argument was wrong, and what is allowed."""
    if not isinstance(error, Exception):
        return _leaving(arguments, error)
    overrides = [
        text if "=" in text else f"{text}={following}"  # absl also takes --config.a.b VALUE
        for text, following in zip(arguments, [*arguments[1:], ""], strict=True)
        if text.startswith("--config.")
    ]
    if overrides and (not isinstance(error, flags.Error) or "config" in str(error)):
        config = _load(arguments)
        for override in overrides:
            if complaint := _override_error(config, override):
                return complaint
    if isinstance(error, flags.UnrecognizedFlagError):
        hint = did_you_mean(error.flagname, FLAGS, "--{}".format)
        return UsageError(
            f"--{error.flagname}: no such flag; allowed --{', --'.join(FLAGS)}, and fields as "
            f"--config.train.seeds=5{hint}"
        )
    chain, file = [error], Path(_chosen(arguments).partition(":")[0])
    while context := chain[-1].__context__:
        chain.append(context)
    own = [e for e in chain if f"{file.name}, line " in str(traceback.extract_tb(e.__traceback__))]
    source = own[0] if own else error
    if not isinstance(source, (flags.Error, ValueError)) or (own and not _meant(source, file)):
        return _leaving(arguments, source)
    return UsageError(one_line(source).removeprefix("ERROR:: "))


def _meant(error: BaseException, file: Path) -> bool:
    """Whether a configuration file raised an error itself, to tell its user something."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    folders = file.absolute().parent, Path(__file__).parents[1] / "configs"
    return isinstance(error, Refusal) or (
        Path(last.filename).absolute().parent in folders and str(last.line).startswith("raise ")
    )


def _load(arguments: list[str]) -> ConfigDict:
    """Load the configuration alone, without the overrides."""
    if not (chosen := _chosen(arguments)):
        raise UsageError(f"--config: given nothing; allowed a file such as {EXAMPLE}")
    alone = [arguments[0], f"--config={chosen}"]
    values = define_flags(alone)
    try:
        values(alone)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the code of a configuration raises
        raise _explained(alone, error) from error
    if not isinstance(values.config, ConfigDict):
        raise _unreadable(arguments)
    return values.config


def _chosen(arguments: list[str]) -> str:
    """Return the file and choices of the last --config, "" if there is none."""
    chosen = ""
    for index, text in enumerate(arguments):
        if text.startswith("--config="):
            chosen = text.partition("=")[2]
        elif text == "--config" and index + 1 < len(arguments):
            chosen = arguments[index + 1]
    return chosen


def _leaving(arguments: list[str], error: BaseException) -> UsageError:
    """Return the error about a configuration file whose code fails, or ends the program."""
    path = _chosen(arguments).partition(":")[0]
    raised = f"{type(error).__name__}({', '.join(map(repr, error.args))})"
    return UsageError(
        f"--config: given {path!r}, which raises {raised}; allowed a file such as {EXAMPLE}"
    )


def _unreadable(arguments: list[str]) -> UsageError:
    """Return the error about a configuration file that could not be loaded."""
    path = _chosen(arguments).partition(":")[0]
    reason = "no such file"
    with contextlib.suppress(OSError):  # an over-long path is none
        reason = "which gives no ConfigDict" if Path(path).is_file() else reason
    return UsageError(f"--config: given {path!r}, {reason}; allowed a file such as {EXAMPLE}")


def _override_error(config: ConfigDict, override: str) -> UsageError | None:
    """Return the error about `--config.a.b=value`, None if nothing is wrong with it."""
    name, _, given = override[2:].partition("=")
    path = ".".join(["config", *name.split(".")[1:]])
    try:
        section = field_of(config, path.removeprefix("config."))
    except UsageError as error:
        return error
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
        return UsageError(f"{name}: given {given!r}; allowed {described[expected]}{example}")
    return None


def field_of(config: ConfigDict, name: str) -> Any:
    """Return the value of a field ("train.seeds") of a configuration.

    Raises:
        UsageError: there is no such field; the line names what is allowed.
    """
    section: Any = config
    path = "config"
    for part in name.split("."):
        if not isinstance(section, ConfigDict):
            raise UsageError(f"config.{name}: no such field; {path} is a value and has no fields")
        if part not in section:
            hint = did_you_mean(part, section.keys(), str)
            raise UsageError(
                f"{path}.{part}: no such field; allowed fields of {path} are "
                f"{', '.join(sorted(section.keys()))}{hint}"
            )
        section, path = section[part], f"{path}.{part}"
    return section


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


def one_line(error: BaseException) -> str:
    """Return the message in one line; of a traceback that it quotes, only what was raised."""
    message = str(error)
    if "Traceback" in message:
        raised = list(re.finditer(r"^[\w.]+(?:Error|Exception): ", message, re.MULTILINE))
        message = message[raised[-1].end() :] if raised else message
    return " ".join(message.split()) or type(error).__name__
