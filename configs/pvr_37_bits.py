"""PVR with 5 pointer bits, n = 37: a cube that nobody enumerates, majority over windows of 3.

Paper:     the functions of Abbe et al. 2022 with one pointer bit more than theirs.
Command:   ./launch.sh reproduce pvr_37_bits --size=small
           ./launch.sh run configs/pvr_37_bits.py:aggregation=parity,size=paper
Choices:   aggregation=majority|parity|min, size=paper|small, tiny. paper: 40 seeds of the paper's
           MLP at learning rate 5e-4, three pointer bits and two value bits, all aggregations, 8,000
           steps, parity 32,000. small: majority, 10 seeds of a smaller MLP at 1e-3, one pointer bit
           and one value bit, 5,000 steps. Every step draws 256 fresh samples; an epoch is 1,000
           steps.
Expect:    influences of pointer bits 0 to 4 | every value bit:
             majority .5 .5 .5 .375 .25 | .046875
             parity .5 .5 .5 .5 .5 | .09375
             min .21875 .21875 .21875 .1875 .125 | .0234375
"""

import ml_collections

from configs import canonical_holdout as base

AGGREGATIONS = ("majority", "parity", "min")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    chosen = AGGREGATIONS[:1] if size == "small" else AGGREGATIONS
    return [f"aggregation={aggregation},size={size}" for aggregation in chosen]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one aggregation; `arg` holds the choices."""
    chosen = base.choose(arg, aggregation=AGGREGATIONS, size=base.SIZES)
    small, parity = chosen["size"] == "small", chosen["aggregation"] == "parity"
    config = base.build("pvr", "mlp", chosen["size"])
    config.task.update({"pointer_bits": 5, "aggregation": chosen["aggregation"]})
    config.holdout.bits = "0,2,4,10,20"
    config.data.update({"source": "fresh", "samples": 1000 * 256, "batch_size": 256})
    config.train.update({"epochs": 32 if parity else 8, "learning_rates": (5e-4,)})
    if small:
        config.model.widths, config.holdout.bits = (512, 512), "0,20"
        config.train.update({"seeds": 10, "epochs": 5, "learning_rates": (1e-3,)})
    config.evaluation.every_epochs = 1
    config.checkpoint.count = 4
    return base.finished(config, chosen["tiny"])
