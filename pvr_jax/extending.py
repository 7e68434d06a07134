"""A study is the set of its replicas: a run trains those that no earlier run has.

More seeds, learning rates, initial scales or frozen bits than an earlier run has are more replicas,
and only these are trained. A longer training goes on from the last state of a shorter one. What a
run directory trains is decided once, before it begins, and kept in its parts.json:

    {"own": [names of replicas],
     "others": {run: [names of its replicas]},
     "before": {"run": run, "evaluations": [steps], "kept": [steps]} or null}

A directory without this file trains all replicas of its configuration, from the beginning.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from ml_collections import ConfigDict

from pvr_jax import stages
from pvr_jax.building import ALL, Part, build, replica_table
from pvr_jax.experiment import Experiment
from pvr_jax.training import adoption, environment, fields, hosts, run_log

LENGTHS = ("train.epochs", "train.steps")
# What must be equal in the records of runs whose replicas make one study.
VERSIONS = ("pvr_jax", "jax", "jaxlib")

Key = tuple[Any, ...]


class Earlier(NamedTuple):
    """A run that differs from the one asked for in its replicas, or is shorter."""

    directory: Path
    config: ConfigDict
    names: dict[Key, str]  # its own replicas, by what distinguishes them


class Parts(NamedTuple):
    """What a run directory trains, and where the other replicas of its configuration are."""

    own: Part = ALL
    others: Mapping[str, list[str]] = {}
    before: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is trained in the directory itself."""
        return self.own.names == ()


def parts_of(directory: Path) -> Parts:
    """Return the parts of a run.

    Raises:
        RunError: parts.json is damaged.
    """
    path = directory / run_log.PARTS
    if not path.is_file():
        return Parts()
    with run_log.damage_named(path, f"start over: rm -r {shlex.quote(str(directory))}"):
        document = run_log.read_json(path)
        before = document["before"] or {"run": "", "evaluations": [], "kept": []}
        steps = tuple(before["evaluations"]), tuple(before["kept"])
        return Parts(Part(tuple(document["own"]), *steps), document["others"], before["run"])


def others_of(experiment: Experiment, config: ConfigDict, directory: Path) -> Iterator[ConfigDict]:
    """Yield the configurations of the runs that have the other replicas.

    Raises:
        RunError: such a run is gone.
    """
    for name in parts_of(directory).others:
        path = directory.parent / name
        document = _document(path)
        if document is None:
            raise run_log.RunError(
                f"{directory} shares replicas with {path}, which is gone; put it back, or start "
                f"over: rm -r {shlex.quote(str(directory))}"
            )
        yield _like(experiment, config, document)


def begin(experiment: Experiment, config: ConfigDict, workdir: Path) -> None:
    """Decide what a run trains, unless it has begun; write parts.json if it is not everything.

    Raises:
        RunError: an earlier run with some of the replicas was trained by other versions, or is in
            use.
    """
    hosts.on_primary(lambda: _begin(experiment, config, workdir))


def _begin(experiment: Experiment, config: ConfigDict, workdir: Path) -> None:
    directory = stages.run_directory(experiment, config, workdir)
    if (directory / run_log.PARTS).is_file() or (directory / run_log.RECORD).is_file():
        return
    missing = _names(replica_table(experiment, config))
    count, others = len(missing), {}
    found = list(_earlier(experiment, config, directory))
    for same in (own for own in found if _length(own.config) == _length(config)):
        if shared := [key for key in same.names if key in missing]:
            _check_versions(same.directory)
            others[same.directory.name] = [same.names[key] for key in shared]
            missing = {key: name for key, name in missing.items() if key not in same.names}
    before, shorter = None, [own for own in found if _length(own.config) < _length(config)]
    for own in sorted(shorter, key=lambda own: -_length(own.config)):
        if not own.names.keys() <= missing.keys():
            continue
        longer = _like(experiment, config, own.config, lengths=False)
        name = experiment.run_name(longer)
        if name != directory.name:
            if _go_on(experiment, longer, directory.parent / name, own):
                others[name] = [*own.names.values()]
                missing = {key: name for key, name in missing.items() if key not in own.names}
        elif before is None and own.names.keys() == missing.keys():
            before = own
    if before and before.names.keys() == missing.keys():
        _go_on(experiment, config, directory, before, others)
    elif others:
        _write(directory, [*missing.values()], others)
    if others:
        places = ", ".join(str(directory.parent / name) for name in others)
        rest = f"the other {len(missing)} are trained" if missing else "none is missing"
        print(f"note: of {count} replicas {count - len(missing)} are in {places}; {rest}")


def _go_on(
    experiment: Experiment,
    config: ConfigDict,
    directory: Path,
    own: Earlier,
    others: Mapping[str, list[str]] | None = None,
) -> bool:
    """Let a run go on from the checkpoints of a shorter one; return whether it has any."""
    _check_versions(own.directory)
    earlier = parts_of(own.directory).own
    with run_log.exclusive(own.directory), run_log.exclusive(directory):
        steps = adoption.adopt(own.directory, directory, experiment.identity(config))
        if not steps:
            return False
        with environment.arithmetic(own.config.train.dtype):
            schedule = build(experiment, (own.config,), earlier).schedule
        kept = sorted({*(schedule.kept & {*steps}), steps[-1]})
        evaluated = schedule.evaluations | {0, schedule.total}
        before = {
            "run": own.directory.name,
            "evaluations": sorted(step for step in evaluated if step <= steps[-1]),
            "kept": kept,
        }
        _write(directory, [*own.names.values()], others or {}, before)
        run_log.write_json(directory / "config.json", config.to_dict())
    print(f"note: {directory} goes on from step {steps[-1]} of {own.directory}")
    return True


def _write(
    directory: Path, own: list[str], others: Mapping[str, list[str]], before: Any = None
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    document = {"own": own, "others": others, "before": before}
    run_log.write_json(directory / run_log.PARTS, document)


def _earlier(experiment: Experiment, config: ConfigDict, directory: Path) -> Iterator[Earlier]:
    """Yield the runs beside `directory` that differ in replicas and length alone.

    Such a run has the name that this configuration has with its replicas and its length.
    """
    for path in sorted(directory.parent.glob(f"*/{run_log.RECORD}")):
        document = _document(path.parent)
        if path.parent == directory or document is None:
            continue
        own = _like(experiment, config, document)
        if experiment.run_name(own) != path.parent.name:
            continue
        if _length(own) != _length(config) and config.train.get("decay") == "cosine":
            continue  # every step depends on the last one
        table = parts_of(path.parent).own.of(replica_table(experiment, own))
        yield Earlier(path.parent, own, _names(table))


def _document(directory: Path) -> dict[str, Any] | None:
    """Return config.json of a run; None if it cannot be read."""
    try:
        document = run_log.read_json(directory / "config.json")
    except (OSError, ValueError, RecursionError):
        return None
    sections = isinstance(document, dict) and isinstance(document.get("train"), dict)
    return document if sections else None


def _like(
    experiment: Experiment, config: ConfigDict, other: Mapping[str, Any], lengths: bool = True
) -> ConfigDict:
    """Return a configuration with the replicas of another one and, if `lengths`, its length."""
    found = ConfigDict(config.to_dict())
    found.size = other.get("size", found.size)
    own = (*fields.OF_A_REPLICA, *experiment.grows(config))
    for field in (*own, *(LENGTHS if lengths else ())):
        section, name = field.split(".")
        if section in found and name in found[section] and name in other.get(section, ()):
            value = other[section][name]
            with found[section].ignore_type():
                found[section][name] = tuple(value) if isinstance(value, list) else value
    return found


def _length(config: ConfigDict) -> int:
    return config.train.get("steps") or config.train.epochs


def _names(table: pd.DataFrame) -> dict[Key, str]:
    """Return the names of replicas by what distinguishes them: the other columns."""
    rows = table.drop(columns="name").itertuples(index=False)
    keys = [tuple(None if v != v or v is None else v for v in row) for row in rows]
    return dict(zip(keys, table["name"], strict=True))


def _check_versions(directory: Path) -> None:
    """Refuse to make one study of the replicas of different versions."""
    with run_log.record_damage_named(directory):
        record = run_log.read_json(directory / run_log.RECORD)
        before = _versions(record)
    now = _versions(environment.describe())
    for name in now:
        if before[name] != now[name]:
            raise run_log.RunError(
                f"{directory} has some of these replicas and was trained by {name} "
                f"{before[name]}, this is {now[name]}, whose numbers may differ; give another "
                f"--workdir, or start over: rm -r {shlex.quote(str(directory))}"
            )


def _versions(record: Mapping[str, Any]) -> dict[str, Any]:
    versions = {name: record["versions"][name] for name in VERSIONS}
    return {**versions, "commit": (record["git_commit"] or "")[:12]}
