"""Adam against SGD with momentum: does the preference for low degree depend on the optimizer?

Paper:     Abbe et al. 2022: f1, f2 and f3, each with Adam and with SGD (momentum .9); the learning
           rates of SGD are those of a comment in the authors' code, its epochs those of Adam.
Command:   ./launch.sh reproduce optimizers --size=small
           ./launch.sh run configs/optimizers.py:task=staircase,optimizer=sgd,size=small
Choices:   task=quadratic_chain|staircase|pvr_majority, optimizer=adam|sgd,
           model=mlp|transformer|mixer, size=paper|small, tiny. paper: 40 seeds, all three models.
           small: the MLP, 5 seeds, a third of the epochs for staircase, bits 0 and 7 of
           pvr_majority.
Expect:    influences: quadratic_chain, bit 7: 113; staircase, bit 7: 7; pvr_majority, bits 0, 3, 7
           and 10: .46875, .0625, .1875 and .21875.
"""

import ml_collections

from configs import canonical_holdout as base

TASKS = ("quadratic_chain", "staircase", "pvr_majority")
OPTIMIZERS = ("adam", "sgd")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [
        f"task={task},optimizer={optimizer},model={model},size={size}"
        for task in TASKS
        for model in (("mlp",) if size == "small" else base.PAPER_MODELS)
        for optimizer in OPTIMIZERS
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one task and optimizer; `arg` holds the choices."""
    chosen = base.choose(
        arg, task=TASKS, optimizer=OPTIMIZERS, model=base.PAPER_MODELS, size=base.SIZES
    )
    config = base.build(chosen["task"], chosen["model"], chosen["size"], chosen["optimizer"])
    config.holdout.bits = "0,3,7,10" if chosen["task"] == "pvr_majority" else "7"
    if chosen["size"] == "small":
        config.train.seeds = 5
        if chosen["task"] == "staircase":
            config.train.epochs = 50
        elif chosen["task"] == "pvr_majority":
            config.holdout.bits = "0,7"
    return base.finished(config, chosen["tiny"])
