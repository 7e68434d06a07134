"""PVR with majority over truncated windows (f3): MLP, Transformer, Mixer, every bit frozen in turn.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks": 3 pointer bits, window 3,
           n = 11, Adam; the generalization error against the Boolean influence of the frozen bit.
Command:   ./launch.sh reproduce pvr_majority --size=small
           ./launch.sh run configs/pvr_majority.py:model=mixer,size=small
Choices:   model=mlp|transformer|mixer, size=paper|small, tiny. paper: 40 seeds x 11 bits per
           model, the authors' networks. small: 3 seeds, smaller Transformer and Mixer, which fit
           in 40 epochs.
Expect:    influences .46875 .3125 .21875 .0625 .125 .1875 .1875 .1875 .1875 .15625 .21875 for
           bits 0 to 10; the MLP's error on the pointer bits 0 to 2 lies 12 to 18 % below.
"""

import ml_collections

from configs import canonical_holdout as base


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model={model},size={size}" for model in base.PAPER_MODELS]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one model; `arg` holds the choices."""
    chosen = base.choose(arg, model=base.PAPER_MODELS, size=base.SIZES)
    config = base.build("pvr_majority", chosen["model"], chosen["size"])
    if chosen["size"] == "small":
        config.train.seeds = 3
        if chosen["model"] != "mlp":
            config.train.epochs = 40
    return base.finished(config, chosen["tiny"])
