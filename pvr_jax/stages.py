"""The frame of every stage: check the configuration, find the run directory, do the work.

`settings` is an `Experiment`, of which only the protocol `Settings` is used.
"""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ml_collections import ConfigDict

from pvr_jax.refusal import Refusal
from pvr_jax.tasks.contents import Content
from pvr_jax.training import hosts, run, run_log, trackers

CONTENTS_FILE = "contents.json"


class Settings(Protocol):
    """What stages need from an experiment."""

    def validate(self, config: ConfigDict) -> None:
        """Raise a one-line ValueError for an invalid configuration."""

    def identity(self, config: ConfigDict) -> str:
        """Return the identity that checkpoints must match."""

    def run_name(self, config: ConfigDict) -> str:
        """Return the name of the run directory, `<task>-<model>-<8 hex>`."""

    def contents(self, config: ConfigDict) -> dict[str, Content]:
        """Return the contents behind the names of files and functions, by field."""

    # Fields of the analysis alone.
    followed: Mapping[str, Any]


def run_directory(settings: Settings, config: ConfigDict, workdir: Path) -> Path:
    """Return the directory of a configuration's run, `workdir/<experiment>/<run name>`."""
    return Path(workdir) / config.experiment / settings.run_name(config)


def what_is_named(config: ConfigDict) -> str:
    """Return the fields that name files and functions; where they are equal, contents are."""
    named = [config.get("train", {}).get(name) for name in ("start", "loss")]
    named += [config.get("data", {}).get(name) for name in ("file", "encoding")]
    return str((config.experiment, config.get("task"), config.get("holdout"), *named))


def contents_of(settings: Settings, configs: Sequence[ConfigDict]) -> list[dict[str, Content]]:
    """Return `settings.contents` of each configuration, computed once per task and seen set."""
    keys = [what_is_named(config) for config in configs]
    different = dict(zip(keys, configs, strict=True))
    known = {key: settings.contents(config) for key, config in different.items()}
    return [known[key] for key in keys]


def hold_to_contents(directory: Path, found: Mapping[str, Content]) -> None:
    """Record the contents behind names in a run directory, or check them if recorded.

    An edited truth table or function keeps its name; without this check, its results would be
    mixed with networks trained on the old one.

    Raises:
        RunError: the contents behind a name changed; the message says what to type.
    """
    hosts.on_primary(partial(_hold_to_contents, directory, found))


def _hold_to_contents(directory: Path, found: Mapping[str, Content]) -> None:
    path = directory / CONTENTS_FILE
    is_begun = (directory / run_log.RECORD).is_file()
    if not (path.is_file() and is_begun):
        if found:
            if is_begun:
                names = " and ".join(content.name for content in found.values())
                print(
                    f"note: {directory} was begun by an earlier version, which kept no digest: "
                    f"whether {names} has changed since is not known",
                    file=sys.stderr,
                )
            directory.mkdir(parents=True, exist_ok=True)
            written = {field: content._asdict() for field, content in found.items()}
            run_log.write_json(path, written)
        return
    with run_log.damage_named(path, _start_over(directory)):
        kept = _read(path)
        changes = {field: kept[field].has_become(content) for field, content in found.items()}
        doubts = [kept[field].may_have_become(content) for field, content in found.items()]
    _refuse_changes(directory, changes)
    for doubt in filter(None, doubts):
        print(f"note: {directory}: {doubt}", file=sys.stderr)


def hold_to_neighbors(directory: Path, found: Mapping[str, Content]) -> None:
    """Refuse to train if a neighboring run has other contents behind the same name.

    Args:
        directory: the run directory; runs in the same parent are checked.
        found: the contents behind the names in its configuration.

    Raises:
        RunError: a neighboring run has other contents behind a name.
    """
    if found:
        hosts.on_primary(partial(_hold_to_neighbors, directory, found))


def _hold_to_neighbors(directory: Path, found: Mapping[str, Content]) -> None:
    for path in sorted(directory.parent.glob(f"*/{CONTENTS_FILE}")):
        if path.parent == directory or not (path.parent / run_log.RECORD).is_file():
            continue
        try:
            kept = _read(path)
        except (OSError, *run_log.DAMAGES):
            continue  # its own next stage names the damage
        same = {f: c for f, c in found.items() if f in kept and kept[f].stands_for(c)}
        changes = {field: kept[field].has_become(content) for field, content in same.items()}
        _refuse_changes(path.parent, changes)


def _read(path: Path) -> dict[str, Content]:
    return {field: Content(**content) for field, content in run_log.read_json(path).items()}


def _refuse_changes(directory: Path, changes: Mapping[str, str]) -> None:
    for field, change in changes.items():
        if change:
            raise run_log.RunError(
                f"config.{field}: {change} since {directory} was begun; give another --workdir, "
                f"or {_start_over(directory)}"
            )


def _start_over(directory: Path) -> str:
    return f"start over: rm -r {shlex.quote(str(directory))}"


def train(
    settings: Settings,
    config: ConfigDict,
    workdir: Path,
    plan: Callable[[ConfigDict], run.Plan],
    log: Sequence[str] = (),
) -> Path:
    """Train, evaluate and checkpoint all replicas; continue where an earlier process stopped.

    `plan` returns what is trained, and when what happens; `log` is that of `run.train_run`. Returns
    the run directory.

    Raises:
        ValueError: an invalid configuration.
        RunError: the contents behind a name changed, the directory is in use, a checkpoint cannot
            be written, or a signal came.
    """
    settings.validate(config)
    trackers.named(",".join(log))
    directory = run_directory(settings, config, workdir)
    found = settings.contents(config)
    hold_to_neighbors(directory, found)
    is_new = not directory.exists()
    hold_to_contents(directory, found)
    identity = settings.identity(config)
    try:
        run.train_run(directory, config.to_dict(), identity, partial(plan, config), log)
    except Refusal:
        if is_new and not (directory / run_log.RECORD).exists():  # refused before it began
            hosts.on_primary(partial(shutil.rmtree, directory))
        raise
    return directory


def _follow_others(directory: Path, config: ConfigDict, fields: Mapping[str, Any]) -> None:
    """Repeat the analysis of a run if these fields changed; one that is missing has its default."""
    path = directory / "config.json"
    if not (fields and path.is_file()):
        return
    with run_log.damage_named(path, _start_over(directory)):
        kept = run_log.read_json(path)
        places = [(*field.split("."), default) for field, default in fields.items()]
        is_other = any(
            kept[section].get(name, default) != config[section].get(name, default)
            for section, name, default in places
        )
    if is_other:
        for stage in ("analyse", "predict"):
            (directory / f"{stage}.done").unlink(missing_ok=True)
        run_log.write_json(path, config.to_dict())


def follow(
    settings: Settings,
    config: ConfigDict,
    workdir: Path,
    stage: run.Stage,
    work: Callable[[ConfigDict, Path], None],
) -> Path:
    """Run a stage after training, unless it is done; return the run directory.

    `work` writes the stage's files into the directory it is given.

    Raises:
        ValueError: an invalid configuration.
        FileNotFoundError: the stage before is not done.
        RunError: the contents behind a name changed, or the directory is in use.
    """
    settings.validate(config)
    directory = run_directory(settings, config, workdir)
    if directory.is_dir():
        hold_to_contents(directory, settings.contents(config))
        hosts.on_primary(partial(_follow_others, directory, config, settings.followed))
    elif not stage.after:
        directory.mkdir(parents=True)
    if not stage.after:
        run_log.write_json(directory / "config.json", config.to_dict())
    dtype = config.get("train", {}).get("dtype", "float32")
    run.later_stage(directory, stage, dtype, partial(work, config, directory))
    return directory
