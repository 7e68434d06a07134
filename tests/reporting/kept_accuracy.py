"""Cells of classification, with final values alone, from the results kept of them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats

from pvr_jax.reporting.accuracy.cells import MEASURES, PARTS, Arm, Cell, Estimate, Replica, Subtask

KEY = ["run", "aggregation", "complexity", "withheld", "samples", "learning_rate", "init_scale"]


@dataclass(frozen=True)
class KeptSubtask(Subtask):
    """A task of whose labels the largest probability and the entropy alone are kept."""

    kept_chance: float = math.nan
    kept_entropy: float = math.nan

    @property
    def chance(self):
        return self.kept_chance

    @property
    def entropy(self):
        return self.kept_entropy


def read_kept(directory: Path) -> list[Cell]:
    """Return the cells of kept results, in the order of their table.

    Recalls are kept as means with intervals. They are read as values of the
    same mean and standard deviation, and without an interval as equal values.
    """
    table, replicas, recall = (
        pd.read_csv(directory / f"{name}.csv") for name in ("table", "replicas", "recall")
    )
    runs = json.loads((directory / "run.json").read_text())["runs"]
    fewest = {}
    if (directory / "samples.csv").is_file():
        samples = pd.read_csv(directory / "samples.csv")
        fewest = {_key(row, KEY[:4]): row["fewest_samples"] for _, row in samples.iterrows()}
    rows = {key: own for key, own in _groups(replicas)}
    recalls = {key: own for key, own in _groups(recall)}
    return [
        _cell(
            row,
            rows[_key(row)],
            recalls[_key(row)],
            runs[row["run"]]["config"],
            runs[row["run"]]["run"],
            fewest.get(_key(row, KEY[:4])),
        )
        for _, row in table.iterrows()
    ]


def _key(row, names=KEY):
    return tuple("" if pd.isna(row[n]) or row[n] == "fresh" else _plain(row[n]) for n in names)


def _plain(value):
    try:
        return float(value)
    except ValueError:
        return value


def _groups(frame):
    found = {}
    for place, row in frame.iterrows():
        found.setdefault(_key(row), []).append(place)
    return [(key, frame.loc[places]) for key, places in found.items()]


def _none(value, kind):
    return None if pd.isna(value) else kind(value)


def _cell(row, own, recall, config, record, fewest):
    is_fresh = row["source"] == "fresh"
    batch = config["data"]["batch_size"]
    last = row["step"]
    steps = np.array([last])
    measures = {name: own[name].to_numpy(float)[None] for name in MEASURES}
    if is_fresh:  # a curve that passes the threshold where the seed is known to
        reached = own["samples_to_95"].to_numpy(float) / batch
        known = reached[np.isfinite(reached)]
        steps = np.unique([fewest / batch, *known, last])
        final = measures["iid_accuracy"][0]
        curve = np.where(steps[:, None] >= reached, 0.95, 0.0)
        curve[-1] = final
        measures = {name: np.repeat(values, len(steps), 0) for name, values in measures.items()}
        measures["iid_accuracy"] = curve
    classes = 100 if row["task"] == "conditional_pvr" else 10
    confusion = {
        part: _confusion(recall[recall["part"] == part], own, classes, part) for part in PARTS
    }
    noise = None
    if not pd.isna(row["noise_sensitivity"]):
        bounds = [row[f"noise_sensitivity{end}"] for end in ("", "_low", "_high")]
        noise = Estimate(*bounds, bool(row["noise_sensitivity_exact"]))
    subtask = KeptSubtask(
        _none(row["aggregation"], str),
        _none(row["complexity"], int),
        int(row["withheld"]),
        "" if pd.isna(row["withheld_words"]) else row["withheld_words"],
        row["share_removed"],
        (),
        bool(row["label_distribution_exact"]),
        noise,
        row["chance"],
        row["entropy_bits"],
    )
    return Cell(
        arm=Arm(Path(row["run"]), row["learning_rate"], row["init_scale"]),
        task=row["task"],
        task_label=row["task_label"],
        model=row["model"],
        model_label=row["model_label"],
        optimizer=row["optimizer"],
        size=config["size"],
        batch_size=batch,
        source=row["source"],
        shape=(),
        alphabet=None,
        classes=classes,
        test_samples=int(row["test_samples"]),
        train_samples_evaluated=config["evaluation"]["training_samples"],
        noise=config["evaluation"]["noise"],
        steps=steps,
        subtask=subtask,
        samples=_none(row["samples"], int),
        replicas=tuple(
            Replica(r["replica"], i, int(r["seed"]), _none(r["diverged_at"], int))
            for i, (_, r) in enumerate(own.iterrows())
        ),
        measures=measures,
        confusion=confusion,
        config=config,
        record=record,
    )


def _confusion(recall, own, classes, part):
    count = len(own)
    found = np.full((count, classes, classes), np.nan)
    if not len(recall):
        return found
    found[:] = 0
    pattern = np.arange(count) - (count - 1) / 2
    if count > 1:
        pattern /= pattern.std(ddof=1)
    for _, row in recall.iterrows():
        label = int(row["class"])
        error = 0.0
        mean, high = row["recall"], row["high"]
        if count > 1 and math.isfinite(high):
            width = (scipy.special.logit(high) - scipy.special.logit(mean)) * mean * (1 - mean)
            error = width / scipy.stats.t.ppf(0.975, count - 1) * math.sqrt(count)
        values = row["recall"] + error * pattern
        if part == "withheld" and len(recall) == 1:  # its recall is the accuracy
            values = own["withheld_accuracy"].to_numpy(float)
        found[:, label, label] = values
        found[:, label, (label + 1) % classes] = 1 - values
    return found
