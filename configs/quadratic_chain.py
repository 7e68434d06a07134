"""Quadratic chain (f1): which of two aliased monomials does training choose, step by step?

Paper:     Abbe et al. 2022: f1 = sum of (i+1) x_i x_(i+1), n = 11, bit 7 frozen (the default of
           the authors' code), Adam; coefficients of the 10 pairs and of x6 and x8 in training.
Command:   ./launch.sh reproduce quadratic_chain --size=small
           ./launch.sh run configs/quadratic_chain.py:model=transformer,size=small
Choices:   model=mlp|transformer|mixer, size=paper|small, tiny. paper: 40 seeds. small: 5 seeds,
           smaller Transformer and Mixer.
Expect:    influence 113; x6 and x8, which are not in the target, rise to 7 and 8; their aliases
           x6x7 and x7x8, which are, stay near 0.
"""

import ml_collections

from configs import canonical_holdout as base


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model={model},size={size}" for model in base.PAPER_MODELS]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one model; `arg` holds the choices."""
    chosen = base.choose(arg, model=base.PAPER_MODELS, size=base.SIZES)
    config = base.build("quadratic_chain", chosen["model"], chosen["size"])
    config.holdout.bits = "7"
    if chosen["size"] == "small":
        config.train.seeds = 5
    return base.finished(config, chosen["tiny"])
