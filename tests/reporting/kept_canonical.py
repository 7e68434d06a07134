"""Runs of the canonical holdout as kept results hold them: the last evaluation of replicas."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from pvr_jax import tasks
from pvr_jax.reporting.runs import MATCHED, Replica, Run
from pvr_jax.reporting.tables import PREDICTION, UNCERTAINTY, UNEXPLAINED

NOT_MEASURES = ("difference", "influence", "constant_error")


def kept_runs(directory: Path) -> list[Run]:
    """Return the runs that `replicas.csv` and `run.json` (or `config.json`) of a directory keep."""
    replicas = pd.read_csv(directory / "replicas.csv")
    record = json.loads((directory / "run.json").read_text())
    if "runs" not in record:
        config = json.loads((directory / "config.json").read_text())
        record = {"runs": {replicas["run"].iloc[0]: {"config": config, "run": record}}}
    summary = directory / ("table.csv" if (directory / "table.csv").exists() else "matched.csv")
    summary = pd.read_csv(summary)
    return [
        _run(directory, name, rows, summary[summary["run"] == name], record["runs"])
        for name, rows in replicas.groupby("run", sort=False)
    ]


def _run(directory, name, rows, summary, records):
    first = rows.iloc[0]
    own = records.get(name) or records[name.split(", ")[0]]
    config = own["config"]
    bits = [None if math.isnan(bit) else int(bit) for bit in rows["frozen_bit"]]
    matched = bits == [None] * len(bits)
    after_step = list(rows.columns[rows.columns.get_loc("diverged_at") + 1 :])
    theories = [c.removeprefix(PREDICTION) for c in after_step if c.startswith(PREDICTION)]
    left = [c.removeprefix(UNEXPLAINED) for c in after_step if c.startswith(UNEXPLAINED)]
    measures = [
        c
        for c in after_step
        if c not in NOT_MEASURES and not c.startswith((PREDICTION, UNEXPLAINED))
    ]
    by_bit = dict(zip(bits, rows["influence"], strict=True))
    prediction_errors = {}
    for theory in theories:
        if (column := f"{UNCERTAINTY}{theory}") in summary and summary[column].notna().any():
            errors = dict(zip(summary["frozen_bit"], summary[column], strict=True))
            prediction_errors[theory] = np.array([errors[bit] for bit in bits])
    target = None
    if matched:
        row = summary.iloc[0]
        target = {c.removeprefix("target_"): row[c] for c in summary if c.startswith("target_")}
    return Run(
        name=name,
        directory=directory / name.split(", ")[0],
        experiment="canonical_holdout",
        task=first["task"],
        task_label=first["task_label"],
        model=first["model"],
        model_label=first["model_label"],
        optimizer=first["optimizer"],
        learning_rate=_number(first["learning_rate"]),
        init_scale=_number(first["init_scale"]),
        variant=name.partition(", ")[2],
        size=first["size"] if isinstance(first["size"], str) else None,
        holdout=MATCHED if matched else "canonical",
        n=config["task"].get("n", 0),
        frozen_value=config["holdout"].get("value", 1),
        loss=first["loss"],
        steps=np.array([first["step"]]),
        replicas=tuple(
            Replica(
                name=row.replica,
                bit=bit,
                seed=int(row.seed),
                diverged_at=None if math.isnan(row.diverged_at) else int(row.diverged_at),
                learning_rate=_number(row.learning_rate),
                init_scale=_number(row.init_scale),
            )
            for row, bit in zip(rows.itertuples(), bits, strict=True)
        ),
        influences={} if matched else by_bit,
        measures={measure: rows[[measure]].to_numpy(float).T for measure in measures},
        predictions=_columns(rows, PREDICTION, theories),
        prediction_errors=prediction_errors,
        unexplained=_columns(rows, UNEXPLAINED, left),
        not_defined={},
        target=target,
        degree_profiles={},
        # Of a bit without influence the frozen target is the target: all that counts is its mass.
        frozen_degree_profiles={
            bit: np.array([_mean_square(config["task"])])
            for bit, influence in by_bit.items()
            if influence == 0
        },
        pairs={},
        pair_coefficients={},
        config=config,
        record=own["run"],
    )


def _number(value):
    return None if math.isnan(value) else float(value)


def _columns(rows, prefix, names):
    columns = {name: rows[f"{prefix}{name}"].to_numpy(float) for name in names}
    return {name: values for name, values in columns.items() if np.isfinite(values).any()}


def _mean_square(task):
    made = tasks.make(**task)
    return float(np.mean(np.square(tasks.truth_table(made), dtype=float)))
