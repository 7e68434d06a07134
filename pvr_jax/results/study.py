"""Studies: the runs of one experiment, and their replicas as one table."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import xarray as xr

from pvr_jax.number_text import exact
from pvr_jax.refusal import Refusal
from pvr_jax.results.contract import (
    MEASURES_FILE,
    PARTS_FILE,
    PREDICTIONS_FILE,
    Measure,
    read,
    reason,
)

Made = TypeVar("Made")
STUDY_FILE, LAST = "results.nc", "__last"
LARGE = 1000  # size from which a variable is compressed; chunks cost more below
RUN_FILES = ("config.json", "run.json", "metrics.jsonl", MEASURES_FILE, "checkpoints")
# Columns of the run, in every row.
OF_RUN = ("run", "task", "model", "optimizer", "setting", "size", "n")
# Fields that do not change a replica's values, or are coordinates of replicas.
UNNAMED = ("experiment", "size", "train.seeds", "train.first_seed", "train.execution")
UNNAMED += ("train.group_size", "train.batch_devices", "checkpoint", "evaluation", "holdout.bits")


@dataclass(frozen=True)
class Study:
    """The finished runs of an experiment.

    A replica trained by several runs of one setting (one with more seeds, say) counts once, as that
    of the first run.

    Args:
        runs: a dataset per run, with measures and predictions.
        unfinished: names of runs without measures.
        records: run.json by run: versions, devices, commit, command, times.
    """

    runs: tuple[xr.Dataset, ...]
    unfinished: tuple[str, ...] = ()
    records: Mapping[str, Any] = field(default_factory=dict)
    _made: dict[tuple[int, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, make: Callable[[], Made], *of: object) -> Made:
        """Return the result of `make`, computed once per objects `of`; do not modify it."""
        key = tuple(map(id, of))
        if key not in self._made:
            self._made[key] = (make(), of)  # keeps them alive, so that ids are not reused
        return self._made[key][0]

    def __repr__(self) -> str:
        replicas = sum(run.sizes.get("replica", 0) for run in self.runs)
        return f"<Study of {self.experiment}: {len(self.runs)} runs, {replicas} replicas>"

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return self.runs[0].attrs["experiment"]

    def __contains__(self, name: str) -> bool:
        """Whether some run has a measure, coordinate or dimension of this name."""
        return any(name in run.variables or name in run.dims for run in self.runs)

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """The measures, by name."""
        return {
            str(name): Measure.of(variable)
            for run in reversed(self.runs)
            for name, variable in run.data_vars.items()
        }

    @cached_property
    def coordinates(self) -> list[str]:
        """The columns that identify a replica, in order, without measures."""
        own = {str(name): None for run in self.runs for name in _columns(run)}
        return [*OF_RUN, "replica", *own]

    def final(self) -> pd.DataFrame:
        """Return a row per replica with its last values, as in replicas.csv.

        The columns are `coordinates`, every scalar measure of a replica, and the last `step`.
        """
        frames = []
        for run, settings in self._with_settings():
            names = [n for n, v in run.data_vars.items() if not {*v.dims} - {"step", "replica"}]
            last = run[[*names, *_columns(run)]]
            step = last.sizes.get("step") and int(last["step"][-1])
            last = last.isel(step=-1, drop=True) if step is not None else last
            frame = last.to_dataframe().reset_index() if "replica" in last.dims else _one_row(last)
            frame = frame[["replica", *_columns(run), *names]] if "replica" in frame else frame
            if step is not None:
                frame["step"] = step
            frames.append(_labeled(frame, settings))
        return _concatenated(frames)

    def curve(self, *names: str) -> pd.DataFrame:
        """Return measures with the same dimensions at every step, a row per value."""
        frames = []
        for run, settings in self._with_settings():
            if set(names) <= set(run.data_vars):
                frame = run[list(names)].to_dataframe().reset_index()
                frames.append(_labeled(frame, settings))
        if not frames:
            known = ", ".join(sorted(self.measures))
            raise Refusal(f"measures: given {', '.join(names)}; allowed {known}")
        return _concatenated(frames)

    def by_theory(self, *names: str) -> pd.DataFrame:
        """Return predictions with a column per theory, `<name>_<theory>`, and a row per replica.

        Predictions with further dimensions have a row per replica and coordinate.
        """
        own = [dim for dim in self.measures[names[0]].dims if dim != "theory"]
        keys = ["run", "replica", *own]
        found = self.curve(*names).pivot(index=keys, columns="theory", values=list(names))
        found.columns = [f"{name}_{theory}" for name, theory in found.columns]
        return found.reset_index()

    def array(self, name: str) -> xr.DataArray:
        """Return a measure of all replicas of all runs as one labeled array.

        Values at steps and coordinates that a run lacks are NaN. The coordinate `run` names the run
        of each `replica`.
        """
        found = []
        for run, settings in self._with_settings():
            if name in run:
                count = run[name].sizes.get("replica")
                labels = {} if count is None else {"run": ("replica", [settings["run"]] * count)}
                found.append(run[name].assign_coords(labels))
        if not found:
            raise Refusal(f"measure: given {name}; allowed {', '.join(sorted(self.measures))}")
        if "replica" not in found[0].dims:
            return found[0]
        return xr.concat(
            found,
            "replica",
            join="outer",
            combine_attrs="override",
            coords="minimal",
            compat="override",
        )

    @cached_property
    def labels(self) -> dict[str, dict[str, str]]:
        """The shortest labels that distinguish runs: `task`, `model` and `setting` of each."""
        flat = [config_fields(run) for run in self.runs]
        labels = {}
        for section, fields in (("task", ("task", "holdout")), ("model", ("model",))):
            own = [{k: v for k, v in f.items() if k.split(".")[0] in fields} for f in flat]
            labels[section] = _distinct([str(run.attrs[section]) for run in self.runs], own)
        labels["setting"] = _distinct([""] * len(self.runs), flat, *labels.values())
        rows = zip(*labels.values(), strict=True)
        return {
            run.attrs["run"]: dict(zip(labels, row, strict=True))
            for run, row in zip(self.runs, rows, strict=True)
        }

    def _with_settings(self) -> Iterator[tuple[xr.Dataset, dict[str, Any]]]:
        """Yield every run with its labels, without replicas of earlier runs."""
        seen = set()
        for run in self.runs:
            known = {name: run.attrs[name] for name in OF_RUN if name in run.attrs}
            labels = self.labels[run.attrs["run"]]
            settings = {name: {**known, **labels}.get(name, "") for name in OF_RUN}
            if "replica" in run.dims:
                same = [value for name, value in settings.items() if name not in ("run", "size")]
                own = [name for name in _columns(run) if name != "diverged_at"]
                rows = zip(*(run[name].values.astype(str) for name in own), strict=True)
                keys = [(*same, *own, *row) for row in rows]
                new = [i for i, key in enumerate(keys) if key not in seen]
                seen.update(keys)
                if not new:
                    continue
                run = run if len(new) == len(keys) else run.isel(replica=new)
            yield run, settings


def once(make: Callable[[Study], pd.DataFrame]) -> Callable[[Study], pd.DataFrame]:
    """Decorate a function of a study to compute its frame once per study."""

    @wraps(make)
    def known(study: Study) -> pd.DataFrame:
        return study.once(lambda: make(study), make).copy(deep=False)

    return known


def open_study(path: str | Path) -> Study:
    """Open the study of all runs in `path`.

    Args:
        path: WORKDIR/<experiment>, the directory of one run, a WORKDIR of one experiment, or a
            directory of kept results.

    Raises:
        FileNotFoundError: there is no finished run; the message says what to type.
        Refusal: a file is damaged.

    >>> from pathlib import Path
    >>> from pvr_jax import results
    >>> (kept,) = Path("experiments").glob("*/results/quickstart")
    >>> len(results.open(kept).final())  # 4 frozen bits, 3 seeds
    12
    """
    path = Path(path)
    if (path / STUDY_FILE).is_file():
        return _kept(path)
    of_one = any((path / name).is_file() for name in (MEASURES_FILE, PARTS_FILE))
    own = _with_others(path) if of_one else run_directories(path)
    directories = own or [run for part in _directories(path) for run in run_directories(part)]
    finished = [d for d in directories if (d / MEASURES_FILE).is_file()]
    unfinished = tuple(d.name for d in directories if d not in finished)
    gone_on_from = {_parts(directory)["before"] for directory in finished}
    finished = [d for d in finished if d.name not in gone_on_from]
    runs = tuple(_run(directory) for directory in finished)
    if of_one and (shared := _parts(path)["others"]):
        names = {run: [*map(str, own)] for run, own in shared.items()}
        runs = tuple(_only(run, names.get(run.attrs["run"])) for run in runs)
    if not runs:
        workdir = os.path.normpath(path / "..") if own else path
        found = (
            f"only unfinished: {', '.join(unfinished)}; finish with" if unfinished else "make one"
        )
        raise FileNotFoundError(
            f"no finished run in {path}: {found}: ./launch.sh run CONFIG --workdir={workdir}"
        )
    if len(names := {run.attrs["experiment"] for run in runs}) > 1:
        raise Refusal(f"{path}: holds runs of {', '.join(sorted(names))}; allowed one of them")
    records = {d.name: _json(d / "run.json") for d in finished}
    return Study(runs, unfinished, records)


def write_study(directory: Path, study: Study) -> None:
    """Write all runs of a study to results.nc, a group each.

    Curves are float32, which halves the file; their last values are kept in float64, as separate
    variables, for tables.
    """
    groups = {}
    for run in study.runs:
        curves = [n for n, v in run.data_vars.items() if "step" in v.dims and v.dtype == "float64"]
        small = {n: run[n].astype("float32").assign_attrs(run[n].attrs) for n in curves}
        last = {f"{n}{LAST}": run[n].isel(step=-1, drop=True) for n in curves}
        groups[run.attrs["run"]] = run.assign({**small, **last})
    tree = xr.DataTree.from_dict(groups)
    packed = {"zlib": True, "complevel": 9, "shuffle": True}
    encoding = {
        f"/{name}": {
            n: packed for n, v in run.data_vars.items() if v.dtype.kind in "fiu" and v.size > LARGE
        }
        for name, run in groups.items()
    }
    temporary = directory / f".{STUDY_FILE}"
    tree.to_netcdf(temporary, engine="netcdf4", encoding=encoding)
    temporary.replace(directory / STUDY_FILE)


def _kept(directory: Path) -> Study:
    path = directory / STUDY_FILE
    try:
        with xr.open_datatree(path, engine="netcdf4") as opened:
            runs = [_whole(node.load().to_dataset()) for node in opened.children.values()]
        record = json.loads((directory / "run.json").read_text())["runs"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        message = f"damaged file {path}: {reason(error)}; take it from the repository again"
        raise Refusal(message) from error
    return Study(tuple(runs), records={name: own["run"] for name, own in record.items()})


def _whole(run: xr.Dataset) -> xr.Dataset:
    """Put the float64 last values of curves back into the curves."""
    last = [str(name) for name in run.data_vars if str(name).endswith(LAST)]
    for name in last:
        curve = run[name.removesuffix(LAST)]
        whole = curve.astype(float).assign_attrs(curve.attrs)
        whole[{"step": -1}] = run[name].values
        run[name.removesuffix(LAST)] = whole
    return run.drop_vars(last)


def run_directories(experiment: Path) -> list[Path]:
    """Return the run directories of an experiment, finished or not, by name."""
    return [d for d in _directories(experiment) if any((d / name).exists() for name in RUN_FILES)]


def _parts(directory: Path) -> dict[str, Any]:
    """Return where the other replicas of a run are, by run, and the run that it goes on from."""
    document = _json(directory / PARTS_FILE)
    before = document.get("before") or {}
    return {"others": document.get("others", {}), "before": before.get("run")}


def _with_others(directory: Path) -> list[Path]:
    """Return the directories that have the replicas of a run."""
    others = [directory.parent / name for name in _parts(directory)["others"]]
    own = [directory] if any((directory / name).exists() for name in RUN_FILES) else []
    return [*others, *own]


def _only(run: xr.Dataset, names: list[str] | None) -> xr.Dataset:
    return run if names is None else run.sel(replica=run["replica"].isin(names))


def _directories(path: Path) -> list[Path]:
    return sorted(d for d in path.iterdir() if d.is_dir()) if path.is_dir() else []


def _run(directory: Path) -> xr.Dataset:
    found = read(directory / MEASURES_FILE)
    if (path := directory / PREDICTIONS_FILE).is_file():
        predicted = read(path)
        if not found["replica"].equals(predicted["replica"]):
            raise Refusal(f"damaged file {path}: its replicas are not those of {MEASURES_FILE}")
        found = found.merge(predicted.drop_attrs(deep=False), join="exact", compat="override")
    return found.assign_attrs(run=directory.name)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise Refusal(f"damaged file {path}: {error}; remove it and report again") from error


def _columns(run: xr.Dataset) -> list[str]:
    return [str(n) for n, c in run.coords.items() if c.dims == ("replica",) and n != "replica"]


def _one_row(found: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame({name: [variable.item()] for name, variable in found.data_vars.items()})


def _labeled(frame: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    known = {name: value for name, value in settings.items() if value != ""}
    labels = pd.DataFrame({name: [value] * len(frame) for name, value in known.items()})
    return pd.concat([labels, frame], axis=1)


def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    columns = list(dict.fromkeys(name for frame in frames for name in frame))
    first = [name for name in OF_RUN if name in columns]
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*first, *(name for name in columns if name not in first)]]


def config_fields(run: xr.Dataset) -> dict[str, str]:
    """Return the fields of a run's configuration that may name it, as strings by path."""
    return _flat(json.loads(run.attrs.get("config", "{}")))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the fields of a configuration that may name a run, as strings.

    Lists outside the model are axes, whose values are coordinates of replicas.
    """
    found = {}
    for name, value in config.items():
        path = f"{prefix}{name}"
        if path in UNNAMED or (isinstance(value, list) and not path.startswith("model.")):
            continue
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}.")
        elif value != "":  # as in runs of before the field
            found[path] = exact(value) if isinstance(value, float) else str(value)
    return found


def _distinct(
    labels: Sequence[str], fields: Sequence[Mapping[str, str]], *others: Sequence[str]
) -> list[str]:
    """Add differing fields to equal labels, as few as make them distinct.

    Nothing is added where `others`, further labels of the runs, differ. Runs with equal fields keep
    one label: they are one setting.
    """
    found = list(labels)
    keys = list(zip(labels, *others, strict=True))
    for key in set(keys):
        same, label = [i for i, other in enumerate(keys) if other == key], key[0]
        parts: dict[int, list[str]] = {i: [] for i in same}
        for name in dict.fromkeys(name for i in same for name in fields[i]):
            labeled = {i: (tuple(parts[i]), fields[i].get(name, "–")) for i in same}
            if len(set(labeled.values())) > len({tuple(part) for part in parts.values()}):
                for i in same:
                    parts[i].append(f"{name.rsplit('.', 1)[-1]}={fields[i].get(name, '–')}")
        for i in same:
            if parts[i]:
                text = ", ".join(parts[i])
                found[i] = f"{label} ({text})" if label else text
    return found
