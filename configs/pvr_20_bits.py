"""PVR with 4 pointer bits, n = 20: a cube of a million points, of which training sees 100,000.

Paper:     Abbe et al. 2022: cyclic windows, Adam, batches of 1,024; parity 80 epochs, majority and
           min 30.
Command:   ./launch.sh reproduce pvr_20_bits --size=small
           ./launch.sh run configs/pvr_20_bits.py:aggregation=parity,window=2,size=small
Choices:   aggregation=majority|parity|min, window=3|2|1, model=mlp|transformer|mixer,
           size=paper|small, tiny. paper: 40 seeds x all 20 bits, all functions and models. small:
           the MLP on majority over windows of 3, 4 seeds x one pointer bit and one value bit, and
           20 epochs at learning rate 2e-4 (at the authors' 5e-5 these would not fit).
Memory:    errors are over all 2^20 points, streamed in chunks; the final spectrum is complete.
           size=small stays below 2 GiB.
Expect:    influences of pointer bits | every value bit:
             w=2  parity .5 .5 .5 .5 | .125   majority .25 .25 .25 .125 | .03125
                  min .375 .375 .375 .25 | .0625
             w=3  parity .5 .5 .5 .5 | .1875  majority .5 .5 .375 .25 | .09375
                  min .21875 .21875 .1875 .125 | .046875
"""

import ml_collections

from configs import canonical_holdout as base

AGGREGATIONS = ("majority", "parity", "min")
WINDOWS = ("3", "2", "1")
EPOCHS = {"parity": 80, "majority": 30, "min": 30}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    if size == "small":
        cells = [("majority", "3", "mlp")]
    else:
        tasks = [("parity", "1")]
        tasks += [(aggregation, window) for window in ("2", "3") for aggregation in AGGREGATIONS]
        cells = [(*task, model) for task in tasks for model in base.PAPER_MODELS]
    return [
        f"aggregation={aggregation},window={window},model={model},size={size}"
        for aggregation, window, model in cells
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one task and model; `arg` holds the choices."""
    chosen = base.choose(
        arg, aggregation=AGGREGATIONS, window=WINDOWS, model=base.PAPER_MODELS, size=base.SIZES
    )
    config = base.build("pvr", chosen["model"], chosen["size"])
    config.task.update(
        {
            "pointer_bits": 4,
            "window": int(chosen["window"]),
            "aggregation": chosen["aggregation"],
        }
    )
    config.data.update({"samples": 100_000, "batch_size": 1024})
    config.train.epochs = EPOCHS[chosen["aggregation"]]
    if chosen["size"] == "small":
        config.holdout.bits = "1,10"
        config.train.update({"seeds": 4, "epochs": 20})
        if chosen["model"] == "mlp":
            config.train.learning_rates = (2e-4,)
        config.evaluation.every_epochs = 20
        config.checkpoint.count = 3
    if chosen["tiny"]:
        config.task.pointer_bits = 3
    return base.finished(config, chosen["tiny"])
