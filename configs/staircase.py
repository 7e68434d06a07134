"""Staircase (f2): a chain of monomials, one of whose coordinates training never varies.

Paper:     Abbe et al. 2022: f2 = x0 + x0x1 + ... + x0...x13, n = 14, bit 7 frozen (the default of
           the authors' code), Adam, 10,000 samples, 150 epochs; coefficients of the 14 prefixes,
           and of those of length 8 and more with x7 removed.
Command:   ./launch.sh reproduce staircase --size=small
           ./launch.sh run configs/staircase.py:model=mixer,size=small
Choices:   model=mlp|transformer|mixer, size=paper|small, tiny. paper: 40 seeds. small: 3 seeds,
           smaller Transformer and Mixer; all 150 epochs, as monomials of high degree come late.
Expect:    influence 7 (= 14 - k); prefixes with x7 go to 0, the same without x7 to 1, and
           x0...x6 to 2: its own 1 and that of x0...x7.
"""

import ml_collections

from configs import canonical_holdout as base


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model={model},size={size}" for model in base.PAPER_MODELS]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one model; `arg` holds the choices."""
    chosen = base.choose(arg, model=base.PAPER_MODELS, size=base.SIZES)
    config = base.build("staircase", chosen["model"], chosen["size"])
    config.holdout.bits = "7"
    if chosen["size"] == "small":
        config.train.seeds = 3
    return base.finished(config, chosen["tiny"])
