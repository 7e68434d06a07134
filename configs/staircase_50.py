"""A staircase of ten steps hidden in 50 bits: x0 + x0 x1 + ... + x0 ... x9, one bit frozen.

Paper:     Abbe et al. 2022, f2, and the staircases of Abbe, Boix-Adsera, Brennan, Bresler and
           Nagaraj 2021, at a dimension whose cube cannot be enumerated.
Command:   ./launch.sh reproduce staircase_50 --size=small
           ./launch.sh run configs/staircase_50.py:size=small
Choices:   size=paper|small, tiny. paper: 40 seeds of the paper's MLP, five bits. small: 10 seeds
           of a smaller MLP at learning rate 5e-4, four bits. Every step draws fresh samples.
Expect:    influence of bit k: 10 - k for k < 10, the number of steps that contain it, else 0. With
           bit k frozen the steps from k on lose x_k.
"""

import ml_collections

from configs import canonical_holdout as base

STEPS = 10


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"size={size}"]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` holds the choices."""
    chosen = base.choose(arg, size=base.SIZES)
    small = chosen["size"] == "small"
    config = base.build("polynomial", "mlp", chosen["size"])
    terms = ["*".join(f"x{i}" for i in range(last + 1)) for last in range(STEPS)]
    config.task.update({"n": 50, "expression": " + ".join(terms)})
    config.holdout.bits = "1,5,8,30" if small else "0,1,5,8,30"
    config.data.update({"source": "fresh", "samples": 50 * 256, "batch_size": 256})
    config.train.update({"seeds": 10 if small else 40, "epochs": 120, "learning_rates": (5e-4,)})
    if small:
        config.model.widths = (512, 64)
    config.evaluation.update({"every_epochs": 6, "samples": 32768})
    config.checkpoint.count = 6
    return base.finished(config, chosen["tiny"])
