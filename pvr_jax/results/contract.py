"""The result contract: one labeled dataset per run, in a netCDF file.

Dimensions are ordered (`step`, `replica`, own ones). The columns of the replica table are
coordinates on `replica`. The attributes of a variable describe it.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from pvr_jax.refusal import Refusal
from pvr_jax.results.statistics import Scale

SCHEMA = "pvr_jax/1"
MEASURES_FILE, PREDICTIONS_FILE = "measures.nc", "predictions.nc"
# Which replicas of a run are in other runs, and which run it goes on from.
PARTS_FILE = "parts.json"
STAGES = {MEASURES_FILE: "analyse", PREDICTIONS_FILE: "predict"}
# Columns of every replica table. `diverged_at` is a step, or -1.
REPLICA_COLUMNS = ("name", "seed", "learning_rate", "init_scale", "diverged_at")
REQUIRED_ATTRIBUTES = ("schema", "experiment", "run", "task", "model")
# What netCDF takes as the name of a variable.
NAME = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]([^/\x00-\x1f\x7f]*[^/\x00-\x20\x7f])?")


@dataclass(frozen=True)
class Measure:
    """Description of a variable, stored as its attributes.

    Args:
        long_name: column heading and axis title.
        description: one or two sentences; the definition in reports.
        symbol: its formula, such as "E[gf] / E[f²]".
        units: such as "half squared error".
        domain: the inputs it is over, such as "whole cube".
        bounds: its range; (0, 1), (−1, 1) and (0, inf) set the scale of its intervals.
        kind: "measure", "prediction", "exact" (a fact about the target) or "state" (of training).
        dims: its own dimensions, after `step` and `replica`.
    """

    long_name: str
    description: str = ""
    symbol: str = ""
    units: str = ""
    domain: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    kind: Literal["measure", "exact", "prediction", "state"] = "measure"
    dims: tuple[str, ...] = ()

    @property
    def scale(self) -> Scale:
        """The scale of the interval of its mean."""
        if self.bounds == (-1, 1):
            return "signed"
        low, high = self.bounds
        return "real" if low != 0 else "unit" if high == 1 else "positive"

    @property
    def attributes(self) -> dict[str, str]:
        """Its attributes in a file; `bounds` is a string such as "0,1", or missing."""
        fields = {name: value for name, value in asdict(self).items() if name != "dims" and value}
        bounds = fields.pop("bounds")
        if any(map(math.isfinite, bounds)):
            fields["bounds"] = ",".join(f"{bound:g}" for bound in bounds)
        return fields

    @classmethod
    def of(cls, variable: xr.DataArray) -> "Measure":
        """Return the measure that a variable's attributes and dimensions describe."""
        known = {name: variable.attrs[name] for name in _TEXTS if name in variable.attrs}
        bounds = variable.attrs.get("bounds", "-inf,inf").split(",")
        own = tuple(str(dim) for dim in variable.dims if dim not in ("step", "replica"))
        return cls(
            **{"long_name": str(variable.name), **known}, bounds=(*map(float, bounds),), dims=own
        )


_TEXTS = ("long_name", "description", "symbol", "units", "domain", "kind")


def dataset(
    replicas: pd.DataFrame | None,
    values: Mapping[str, Any],
    measures: Mapping[str, Measure],
    *,
    steps: Sequence[int] = (),
    coordinates: Mapping[str, Sequence[Any]] | None = None,
    **attributes: Any,
) -> xr.Dataset:
    """Build the labeled dataset of one run.

    Args:
        replicas: the replica table; its column `name` is the coordinate of the dimension `replica`.
            None: there are no replicas.
        values: arrays by measure, [step, replica, *own], [replica, *own] or [*own].
        measures: descriptions by measure.
        steps: coordinate of the dimension `step`.
        coordinates: coordinates of own dimensions, by name; by default 0, 1, ….
        attributes: attributes of the dataset, such as experiment, run, task, model, n; `config` may
            be a mapping.
    """
    replicas = pd.DataFrame() if replicas is None else replicas
    names = {"replica": replicas["name"].tolist()} if len(replicas) else {}
    names |= {"step": list(steps)} if len(steps) else {}
    # Not as a tuple, which xarray reads as a variable.
    data, sizes = {}, {name: np.asarray(given) for name, given in (coordinates or {}).items()}
    for name, array in values.items():
        measure, array = measures[name], np.asarray(array)
        shared = ("step", "replica")[2 - (array.ndim - len(measure.dims)) :]
        shared = shared if array.ndim > len(measure.dims) else ()
        data[name] = ((*shared, *measure.dims), array, measure.attributes)
        for dim, size in zip(measure.dims, array.shape[len(shared) :], strict=True):
            sizes.setdefault(dim, np.arange(size))
    columns = {
        column: ("replica", replicas[column].to_numpy()) for column in replicas if column != "name"
    }
    if not isinstance(attributes.get("config", ""), str):
        attributes["config"] = json.dumps(attributes["config"])
    found = xr.Dataset(data, {**names, **sizes, **columns}, {"schema": SCHEMA, **attributes})
    if not len(replicas):
        return found
    diverged = found["diverged_at"] >= 0
    for name, variable in found.data_vars.items():
        if variable.attrs.get("kind", "measure") == "measure" and "replica" in variable.dims:
            lost = (
                diverged
                if "step" not in variable.dims
                else diverged & (found["step"] >= found["diverged_at"])
            )
            found[name] = (
                variable.where(~lost).transpose(*variable.dims).assign_attrs(variable.attrs)
            )
    return found


def check(found: xr.Dataset) -> list[str]:
    """Return the errors of a dataset, one line each.

    Dimensions need coordinates, in order; replicas need their columns; measures need a description
    and, unless their bounds make them dimensionless, units. A diverged replica's measures must be
    missing.
    """
    wrong = [
        f"attribute {name}: missing" for name in REQUIRED_ATTRIBUTES if name not in found.attrs
    ]
    wrong += [f"{n!r}: not a name in netCDF" for n in found.variables if not NAME.fullmatch(n)]
    if "replica" in found.dims:
        columns = {"replica", *(REPLICA_COLUMNS[1:])}
        wrong += [f"coordinate {name}: missing" for name in sorted(columns - set(found.coords))]
    for name, variable in found.data_vars.items():
        measure = Measure.of(variable)
        own = [dim for dim in ("step", "replica") if dim in variable.dims]
        if list(variable.dims[: len(own)]) != own:
            wrong.append(f"{name}: dimensions {variable.dims}; expected step, replica, own ones")
        wrong += [
            f"{name}: dimension {d} has no coordinate"
            for d in variable.dims
            if d not in found.coords
        ]
        if not measure.description:
            wrong.append(f"{name}: no description")
        if variable.dtype == object and not isinstance(variable.values.flat[0], str):
            wrong.append(f"{name}: dtype object")
    return wrong


def write(path: Path, found: xr.Dataset) -> None:
    """Write a dataset atomically as a netCDF file.

    Raises:
        ValueError: the dataset breaks the contract.
    """
    if wrong := check(found):
        raise TypeError(f"{path.name}: {'; '.join(wrong)}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    large = {
        name: {"zlib": True, "shuffle": True}
        for name, variable in found.data_vars.items()
        if variable.size > 1000 and variable.dtype.kind in "fiu"
    }
    found.to_netcdf(temporary, engine="netcdf4", encoding=large)
    temporary.replace(path)


def read(path: Path) -> xr.Dataset:
    """Return the dataset at `path`, in memory.

    Raises:
        FileNotFoundError: there is no such file.
        Refusal: it is damaged or has another schema; the message says what to type.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        with xr.open_dataset(path, engine="netcdf4") as opened:
            found = opened.load()
        if wrong := check(found):
            raise TypeError(wrong[0])
        if found.attrs["schema"] != SCHEMA:
            raise TypeError(f"schema {found.attrs['schema']}, and {SCHEMA} is read")
    except Exception as error:  # a damaged file raises many types
        raise Refusal(f"damaged file {path}: {reason(error)}; {_remedy(path)}") from error
    return found


def reason(error: Exception) -> str:
    """Return in one line, without the file, why it could not be read."""
    said = (getattr(error, "strerror", None) or str(error)).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _remedy(path: Path) -> str:
    if path.name not in STAGES:
        return "allowed a file that pvr_jax wrote"
    stage = STAGES[path.name]
    return (
        f"delete it and {stage}.done beside it, then give the run's command again (run.json has "
        f"it): ./launch.sh run CONFIG --stage={stage} --workdir={path.parent.parent.parent}"
    )
