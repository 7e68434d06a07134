"""Compare a fresh study with kept results, joined on coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from pvr_jax.results import statistics
from pvr_jax.results.study import Study, config_fields

# Rounding differs between machines, JAX versions and execution modes, and training amplifies it:
# single replicas may end elsewhere, means over seeds must not. Two means agree if the 95 % interval
# of their difference contains 0 or, since few seeds may be close by chance, if they differ by at
# most this share of the kept mean. For errors and accuracies the share is of the best constant's
# error if that is larger: a fitted error can be a few thousandths of it.
# Errors on withheld inputs have their own scale: their share is of the kept mean.
TOLERANCE = 0.02
# Values below this share of the largest of their measure are rounding.
ROUNDING = 1e-9
# Intervals wider than this share of the mean, on either side, agree with almost anything.
LOOSE = 0.25
NAMED = 3  # differences that the line names
_GIVEN = ("replica", "name", "diverged_at", "step", "constant")


@dataclass(frozen=True)
class Agreement:
    """How fresh results differ from kept ones.

    Args:
        replicas: number of replicas compared.
        kept: number of kept replicas.
        identical: number of replicas with the same digits in every measure.
        means: a row per compared mean: `place`, `measure`, `before`, `after`, `agree`, `loose` (its
            interval is too wide to disagree) and `alone` (without an interval).
        missing: kept replicas that the fresh study lacks.
        one_sided: replicas that diverged on one side only.
        lacking: measures that the fresh study lacks.
    """

    replicas: int
    kept: int
    identical: int
    means: pd.DataFrame
    missing: Sequence[str] = ()
    one_sided: Sequence[str] = ()
    lacking: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Whether everything was compared and all means agree."""
        whole = not (self.missing or self.one_sided or self.lacking)
        return bool(whole and self.replicas and self.means["agree"].all())

    def __str__(self) -> str:
        if not self.replicas:
            return "kept results: none of these runs is among them; nothing was compared"
        parts = []
        if not self.means["agree"].all():
            apart = self.means[~self.means["agree"]]
            parts.append(f"they do NOT agree ({_listed(apart['place'] + ': ' + apart['measure'])})")
        for words, names in (
            ("replicas are missing", self.missing),
            ("replicas diverged on one side only", self.one_sided),
            ("measures are missing", self.lacking),
        ):
            if len(names):
                parts.append(f"{words} ({_listed(names)})")
        verdict = "; ".join(parts) or "they agree"
        if parts and self.means["agree"].all():
            verdict = f"what was compared agrees, but {verdict}"
        largest = self.means.loc[self.means["difference"].idxmax()]
        return (
            f"kept results: {self.replicas} of {self.kept} replicas compared, {self.identical} "
            f"with the same digits; {self.means['measure'].nunique()} measures in "
            f"{self.means['place'].nunique()} cells; the largest difference of an error over seeds "
            f"is {largest['difference']:.2%} ({largest['place']}); two means agree where the 95 % "
            "interval of their difference (Welch) holds 0, or within "
            f"{TOLERANCE:.0%}: {verdict}; of {len(self.means)} means "
            f"{int(self.means['loose'].sum())} could hardly have disagreed, as that interval is "
            f"wider than ±{LOOSE:.0%}, and {int(self.means['alone'].sum())} have none"
        )


def agreement(fresh: Study, kept: Study) -> Agreement:
    """Compare all measures of two studies, at the end of training.

    Replicas match if their coordinates, seeds and the configurations of their runs do; fields that
    only one side has are ignored.

    Args:
        fresh: new results.
        kept: results to compare with.
    """
    fields = [name for name in _fields(kept) if name in _fields(fresh)]
    before, after = (_long(study, fields) for study in (kept, fresh))
    known = {*before.columns} & {*after.columns} - {"value", *_GIVEN}
    keys = [name for name in before if name in known]
    lacking = sorted({*before["measure"]} - {*after["measure"]})
    both = before[~before["measure"].isin(lacking)].merge(
        after[[*keys, "value", "diverged_at"]], on=keys, how="left", suffixes=("", "_fresh"),
        indicator="side",
    )  # fmt: skip
    of_replica = [name for name in keys if name not in ("measure", "element")]
    replicas = both[both["seed"].notna()].drop_duplicates(of_replica)
    there = replicas[replicas["side"] == "both"]
    lost = (there["diverged_at"] >= 0) != (there["diverged_at_fresh"] >= 0)
    compared = both[both["side"] == "both"]
    same = (compared["value"] == compared["value_fresh"]) | (
        compared["value"].isna() & compared["value_fresh"].isna()
    )
    identical = same.groupby([compared[name] for name in of_replica], dropna=False).all()
    identical = identical[identical.index.get_level_values("seed").notna()]
    return Agreement(
        replicas=len(there),
        kept=len(replicas),
        identical=int(identical.sum()) if len(there) else 0,
        means=_means(both, [name for name in keys if name != "seed"]),
        missing=replicas["replica"][replicas["side"] != "both"].tolist(),
        one_sided=there["replica"][lost].tolist(),
        lacking=lacking,
    )


def _fields(study: Study) -> dict[str, str]:
    """Return the fields that name the runs of a study, also those that only some of them have."""
    return {name: value for run in study.runs for name, value in config_fields(run).items()}


def _long(study: Study, fields: Sequence[str]) -> pd.DataFrame:
    """Return a row per value at the end of training: coordinates, `measure` and `value`."""
    parts = []
    for run in study.runs:
        config = config_fields(run)
        setting = ", ".join(f"{name}={config[name]}" for name in fields if name in config)
        last = run.isel(step=-1, drop=True) if "step" in run.dims else run
        table = run[[c for c, v in run.coords.items() if v.dims == ("replica",)]]
        table = table.assign(constant=_constant_error(run)).to_dataframe()
        for name, variable in last.data_vars.items():
            if variable.dtype.kind not in "biuf":
                continue
            frame = variable.astype(float).to_series().reset_index() if variable.dims else None
            if frame is None:
                frame = pd.DataFrame({name: [float(variable)]})
            own = [dim for dim in variable.dims if dim != "replica"]
            texts = [frame[dim].astype(str) for dim in own]
            element = list(map(" ".join, zip(*texts, strict=True))) if own else ""
            frame = frame.rename(columns={name: "value"}).drop(columns=own)
            if "replica" in frame:
                frame = frame.join(table, on="replica")
            frame = frame.assign(
                task=run.attrs["task"], model=run.attrs["model"], setting=setting,
                measure=str(name), element=element,
            )  # fmt: skip
            parts.append(frame)
    found = pd.concat(parts, ignore_index=True)
    first = ["task", "model", "setting"]
    return found[[*first, *(name for name in found if name not in first)]]


def _constant_error(run: xr.Dataset) -> xr.DataArray | float:
    """Return the error of the best constant if it is the scale of a run's errors."""
    if "constant_error" in run and "unseen_error" not in run:
        return run["constant_error"]
    return 1 - run["chance"] if "chance" in run else math.nan


def _means(both: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Compare means over seeds, of replicas with a value on both sides.

    A cell with missing or one-sidedly diverged replicas is judged only if its mean has an interval.
    """
    largest = both["value"].abs().replace(np.inf, np.nan).groupby(both["measure"]).max().fillna(0)
    shown = [name for name in keys if name not in ("measure", "setting")]
    shown = [name for name in shown if both[name].nunique() > 1] or ["task"]
    lost = (both["diverged_at"] >= 0) != (both["diverged_at_fresh"] >= 0)
    compared = ((both["side"] == "both") & ~lost).to_numpy()
    columns = {name: both[name].to_numpy() for name in (*shown, "measure", "constant")}
    pairs = both[["value", "value_fresh"]].to_numpy().T
    cells = both.groupby(list(keys), dropna=False, sort=False).ngroup().to_numpy()
    order = np.argsort(cells, kind="stable")
    rows = []
    # Tens of thousands of cells: a frame of each would take a minute.
    for cell in np.split(order, np.flatnonzero(np.diff(cells[order], prepend=-1)))[1:]:
        own = {name: column[cell[0]] for name, column in columns.items()}
        measure = str(own["measure"])
        is_error = measure.endswith(("_error", "_accuracy"))
        whole = bool(compared[cell].all())
        values = pairs[:, cell[compared[cell]]]
        inverted = not is_error and np.isinf(values).any()
        if inverted:  # infinite: a threshold that is never reached
            with np.errstate(divide="ignore"):
                values = 1 / values
        there = np.isfinite(values)
        before, after = values[:, there.all(axis=0)]
        if not there.any():
            continue
        means = [float(statistics.mean(side)) for side in (before, after)]
        unit = np.nanmax([abs(means[0]), own["constant"]]) if is_error else abs(means[0])
        size = np.nanmax(np.abs(values[there])) if inverted else largest.get(measure, 0.0)
        allowed = TOLERANCE * unit + ROUNDING * size
        low, high = statistics.difference_interval(before, after)
        alone = not math.isfinite(low)
        difference = abs(means[1] - means[0])
        agree = difference <= allowed or statistics.against(low, high, 0.0) == "inside"
        agree = agree or (alone and not whole)
        agree = agree and not (there[0] != there[1]).any()
        names = [_shown(name, own[name]) for name in shown]
        rows.append(
            {
                "place": " ".join(filter(None, names)),
                "measure": measure,
                "before": means[0],
                "after": means[1],
                "difference": difference / unit if is_error and unit else 0.0,
                "agree": bool(agree),
                "loose": bool((high - low) / 2 > LOOSE * abs(means[0])),
                "alone": alone,
            }
        )
    named = ("place", "measure", "before", "after", "difference", "agree", "loose", "alone")
    return pd.DataFrame(rows, columns=named)


def _shown(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{name} {value:g}"


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
