"""Conditional Pointer Value Retrieval: how many hops does the pointer make?

Paper:     the task C-PVR of Abnar et al. 2023, "Adaptivity and Modularity for Efficient
           Generalization Over Task Complexity": n = 100 numbers 0 .. 99; the pointer starts at 0
           and moves to the number it points at as long as that is larger than itself. The label is
           the number of moves. Networks and training are those of token PVR, not the paper's.
Command:   ./launch.sh reproduce conditional_pvr --size=small
           ./launch.sh run configs/conditional_pvr.py:size=small
Choices:   model=token_mlp|token_transformer|token_mixer, size=small|paper, tiny.
Time:      small: 5 minutes on two CPU cores that others used too.
Expect:    labels are far from uniform, C(99, h) 100^-h - C(99, h + 1) 100^-(h+1) for h hops: 1 % 0,
           .504 (1), .333 (2), .117 (3); always predicting 1 is right half the time.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import token_pvr

LENGTH = 100


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    models = ("token_mlp",) if size == "small" else tuple(token_pvr.MODELS)
    return [f"model={model},size={size}" for model in models]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network; `arg` holds the choices."""
    chosen = base.choose(arg, model=tuple(token_pvr.MODELS), size=token_pvr.SIZES)
    config = token_pvr.build(chosen["model"], chosen["size"])
    config.task = {"name": "conditional_pvr", "length": 12 if chosen["tiny"] else LENGTH}
    config.data.samples = (1000, 10_000, 100_000)
    if chosen["size"] == "paper":
        config.data.samples = (100_000, 1_000_000)
        config.train.update({"steps": 100_000, "learning_rates": (3e-4,)})
    return token_pvr.finished(config, chosen["tiny"])
