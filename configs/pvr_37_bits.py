"""PVR with 5 pointer bits, n = 37: the hypothesis where the cube has 10^11 points.

Paper:     Abbe et al. 2022, cyclic windows and majority; with 3 and 4 pointer bits there.
Command:   ./launch.sh reproduce pvr_37_bits --size=small
           ./launch.sh run configs/pvr_37_bits.py:aggregation=parity,size=small
Choices:   aggregation=majority|parity|min, window=3|2|1, model=mlp|transformer|mixer,
           size=paper|small, tiny. paper: 40 seeds x six bits. small: the MLP on majority over
           windows of 3, 4 seeds x one pointer bit and one value bit, learning rate 5e-4.
Expect:    influences of the pointer bits and of every value bit, from the windows alone: majority
           .5 .5 .5 .375 .25 | .046875; parity .5 | .09375; min .21875 .21875 .21875 .1875 .125 |
           .0234375. Errors from 65,536 random pairs of points.
"""

import ml_collections

from configs import canonical_holdout as base

AGGREGATIONS = ("majority", "parity", "min")
WINDOWS = ("3", "2", "1")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    models = ("mlp",) if size == "small" else base.PAPER_MODELS
    return [f"model={model},size={size}" for model in models]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one task and model; `arg` holds the choices."""
    chosen = base.choose(
        arg, aggregation=AGGREGATIONS, window=WINDOWS, model=base.PAPER_MODELS, size=base.SIZES
    )
    small = chosen["size"] == "small"
    config = base.build("pvr", chosen["model"], chosen["size"])
    config.task.update(
        {
            "pointer_bits": 5,
            "window": int(chosen["window"]),
            "aggregation": chosen["aggregation"],
        }
    )
    config.holdout.bits = "0,20" if small else "0,3,4,5,20,36"
    config.data.update({"samples": 1_000_000, "batch_size": 256})
    config.train.update({"seeds": 4 if small else 40, "epochs": 2})
    if chosen["model"] == "mlp":
        config.train.learning_rates = (5e-4,)
    config.evaluation.every_epochs = 1
    config.checkpoint.count = 3
    return base.finished(config, chosen["tiny"])
