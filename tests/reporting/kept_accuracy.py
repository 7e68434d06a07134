"""Cells of classification as kept results hold them: the last evaluation of replicas.

Curves and single confusions are not kept. In place of a curve stands one that crosses 95 % at the
kept number of samples; in place of the recalls of single seeds stand others with the mean and the
interval that are kept.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats

from pvr_jax.reporting.accuracy.cells import MEASURES, PARTS, Arm, Cell, Estimate, Replica, Subtask
from pvr_jax.reporting.accuracy.thresholds import THRESHOLD

KEY = ["run", "aggregation", "complexity", "withheld", "samples", "learning_rate", "init_scale"]


@dataclass(frozen=True)
class KeptSubtask(Subtask):
    """A task of which chance and entropy are kept, not the distribution of its label."""

    kept_chance: float = math.nan
    kept_entropy: float = math.nan

    @property
    def chance(self):
        return self.kept_chance

    @property
    def entropy(self):
        return self.kept_entropy


def kept_cells(directory):
    """Return the cells that the CSV files and run.json of a directory keep."""
    table, replicas, recalls = (
        pd.read_csv(directory / f"{name}.csv", keep_default_na=True, dtype={"samples": "string"})
        for name in ("table", "replicas", "recall")
    )
    records = json.loads((directory / "run.json").read_text())["runs"]
    first = _first_samples(directory)
    found = []
    for row in table.itertuples():
        own, of_classes = (_rows(rows, row) for rows in (replicas, recalls))
        record = records[row.run]
        found.append(_cell(directory, row, own, of_classes, record["config"], record["run"], first))
    return found


def _first_samples(directory):
    path = directory / "samples.csv"
    return pd.read_csv(path)["fewest_samples"].iloc[0] if path.exists() else math.nan


def _rows(rows, row):
    chosen = np.ones(len(rows), bool)
    for name in KEY:
        value = getattr(row, name)
        column = rows[name]
        if name == "samples":
            column = column.where(column != "fresh")
        chosen &= (column.isna() if pd.isna(value) else column == value).to_numpy(bool)
    return rows[chosen]


def _cell(directory, row, replicas, recalls, config, record, first):
    samples = None if pd.isna(row.samples) else int(float(row.samples))
    names = [column for column in MEASURES if column in replicas]
    measures = {name: replicas[[name]].to_numpy(float).T for name in names}
    steps, batch_size = np.array([row.step]), config["data"]["batch_size"]
    crossed = replicas["samples_to_95"].to_numpy(float)
    if samples is None:
        last = float(row.step * batch_size)
        steps = np.array([first / batch_size, row.step])
        ends = measures["iid_accuracy"][0]
        measures = {
            name: np.concatenate([np.full_like(values, math.nan), values])
            for name, values in measures.items()
        }
        measures["iid_accuracy"][0] = [
            _start(*pair, first, last) for pair in zip(crossed, ends, strict=True)
        ]
    task = config["task"]
    classes = task.get("n", 100) if row.task == "conditional_pvr" else 10
    return Cell(
        arm=Arm(directory / row.run, row.learning_rate, row.init_scale),
        task=row.task,
        task_label=row.task_label,
        model=row.model,
        model_label=row.model_label,
        optimizer=row.optimizer,
        size=config["size"],
        batch_size=batch_size,
        source=row.source,
        shape=(),
        alphabet=None,
        classes=classes,
        test_samples=row.test_samples,
        train_samples_evaluated=config["evaluation"]["training_samples"],
        noise=None if math.isnan(row.noise_sensitivity) else config["evaluation"]["noise"],
        steps=steps,
        subtask=_subtask(row),
        samples=samples,
        replicas=tuple(
            Replica(r.replica, i, int(r.seed), None if pd.isna(r.diverged_at) else r.diverged_at)
            for i, r in enumerate(replicas.itertuples())
        ),
        measures=measures,
        confusion={
            part: _confusion(recalls[recalls["part"] == part], replicas, part, classes)
            for part in PARTS
        },
        config=config,
        record=record,
    )


def _start(crossing, end, first, last):
    """Return the accuracy at `first` samples from which a line to `end` crosses the threshold."""
    if not crossing < math.inf:
        assert end < THRESHOLD
        return 0.0
    assert end >= THRESHOLD
    share = math.log(crossing / first) / math.log(last / first)
    return (THRESHOLD - share * end) / (1 - share)


def _subtask(row):
    noise = None
    if not math.isnan(row.noise_sensitivity):
        bounds = row.noise_sensitivity_low, row.noise_sensitivity_high
        noise = Estimate(row.noise_sensitivity, *bounds, bool(row.noise_sensitivity_exact))
    return KeptSubtask(
        aggregation=None if pd.isna(row.aggregation) else row.aggregation,
        complexity=None if pd.isna(row.complexity) else int(row.complexity),
        withheld=int(row.withheld),
        withheld_words="" if pd.isna(row.withheld_words) else row.withheld_words,
        share_removed=row.share_removed,
        label_distribution=(),
        label_distribution_exact=bool(row.label_distribution_exact),
        noise=noise,
        kept_chance=row.chance,
        kept_entropy=row.entropy_bits,
    )


def _confusion(recalls, replicas, part, classes):
    """Return stand-ins [r, C, C] of shares, which have the kept mean and interval of a recall."""
    found = np.full((len(replicas), classes, classes), 0.0 if len(recalls) else math.nan)
    for row in recalls.rename(columns={"class": "label"}).itertuples():
        label = row.label
        values = _stand_ins(row.recall, row.low, row.high, len(replicas))
        if len(recalls) == 1 and part == "withheld":  # of one class the recall is the accuracy
            values = replicas["withheld_accuracy"].to_numpy(float)
        found[:, label, label] = values
        found[:, label, (label + 1) % classes] = 1 - values
    return found


def _stand_ins(mean, low, high, count):
    if count < 2 or not math.isfinite(low):
        return np.full(count, mean)
    width = (_logit(high) - _logit(low)) / 2 * mean * (1 - mean)
    deviation = width / scipy.stats.t.ppf(0.975, count - 1) * math.sqrt(count)
    places = np.arange(count) - (count - 1) / 2
    return mean + places * deviation / places.std(ddof=1)


def _logit(share):
    return math.log(share) - math.log1p(-share)
