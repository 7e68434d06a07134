"""A small study of made-up numbers, for tests of results and reports."""

import math

import numpy as np
import pandas as pd

from pvr_jax import results
from pvr_jax.results import Measure

ERROR = {"units": "half squared error", "bounds": (0, math.inf)}
MEASURES = {
    "generalization_error": Measure("error", "½E(g − f)².", domain="whole cube", **ERROR),
    "in_distribution_error": Measure("training error", "½E over the seen inputs.", **ERROR),
    "accuracy": Measure("accuracy", "Share of right answers.", bounds=(0, 1)),
    "degree_profile": Measure("mass", "Squared coefficients by degree.", dims=("degree",)),
    "influence": Measure("influence", "Of the frozen bit.", kind="exact"),
    "constant_error": Measure("best constant", "½ Var f.", kind="exact", **ERROR),
}
STEPS = (0, 10, 100)


def replica_table(bits=(0, 1), seeds=5, rates=(0.1,), diverged=()):
    rows = [
        {
            "name": f"bit{bit}-rate{rate:g}-seed{seed}",
            "seed": seed,
            "learning_rate": rate,
            "init_scale": 1.0,
            "frozen_bit": bit,
            "diverged_at": 10 if (bit, seed) in diverged else -1,
        }
        for bit in bits
        for rate in rates
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def run(name="parity-mlp-00000001", model="mlp", factor=1.0, config=None, **table):
    """Return a run whose error falls to factor × (bit + 1) / 4, a little more for later seeds."""
    replicas = replica_table(**table)
    last = factor * (replicas["frozen_bit"] + 1) / 4 * (1 + 0.02 * replicas["seed"])
    errors = np.stack([np.full(len(replicas), 0.5), (0.5 + last) / 2, last])
    values = {
        "generalization_error": errors,
        "in_distribution_error": errors / 1000,
        "accuracy": 1 - errors / 4,
        "degree_profile": np.stack([1 - errors / 2, errors / 2], axis=-1),
        "influence": (replicas["frozen_bit"] + 1).to_numpy() / 4,
        "constant_error": 0.5,
    }
    config = {"task": {"name": "parity", "n": 4}, "model": {"name": model}, **(config or {})}
    return results.dataset(
        replicas, values, MEASURES, steps=STEPS, experiment="toy", run=name, task="parity",
        model=model, optimizer="adam", n=4, config=config,
    )  # fmt: skip


def study(*runs):
    return results.Study(runs or (run(),))
