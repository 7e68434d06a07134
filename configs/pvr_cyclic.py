"""PVR with 3 pointer bits, cyclic windows: parity, majority and min over windows of 1, 2 and 3.

Paper:     Abbe et al. 2022: n = 11, Adam; the error with a pointer bit or a value bit frozen,
           against its influence.
Command:   ./launch.sh reproduce pvr_cyclic --size=small
           ./launch.sh run configs/pvr_cyclic.py:aggregation=min,window=2,model=mixer,size=small
Choices:   aggregation=parity|majority|min, window=1|2|3, model=mlp|transformer|mixer,
           size=paper|small, tiny. paper: 40 seeds x all 11 bits. small: 3 seeds x one
           pointer and one value bit (value bits are alike: a cyclic shift of the values maps one
           on the other), smaller Transformer and Mixer with 60 epochs.
Expect:    influences of the three pointer bits | every value bit:
             w=1 (one function)  .5 .5 .5 | .125
             w=2  parity .5 .5 .5 | .25    majority .25 .25 .125 | .0625   min .375 .375 .25 | .125
             w=3  parity .5 .5 .5 | .375   majority .5 .375 .25 | .1875
                  min .21875 .1875 .125 | .09375
           Errors on pointer bits lie below the influence.
"""

import ml_collections

from configs import canonical_holdout as base

AGGREGATIONS = ("parity", "majority", "min")
WINDOWS = ("1", "2", "3")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size.

    Over a window of one bit all aggregations are the same function, which is run once.
    """
    tasks = [("parity", "1")]
    tasks += [(aggregation, window) for window in WINDOWS[1:] for aggregation in AGGREGATIONS]
    return [
        f"aggregation={aggregation},window={window},model={model},size={size}"
        for aggregation, window in tasks
        for model in base.PAPER_MODELS
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one task and model; `arg` holds the choices."""
    chosen = base.choose(
        arg, aggregation=AGGREGATIONS, window=WINDOWS, model=base.PAPER_MODELS, size=base.SIZES
    )
    config = base.build("pvr", chosen["model"], chosen["size"])
    config.task.aggregation = chosen["aggregation"]
    config.task.window = int(chosen["window"])
    if chosen["size"] == "small":
        config.holdout.bits = "1,7"
        config.train.seeds = 3
        config.evaluation.every_epochs = 20  # 21 runs: a fourth of the time would go to evaluation
        config.checkpoint.count = 4
        if chosen["model"] != "mlp":
            config.train.epochs = 60
    return base.finished(config, chosen["tiny"])
