"""Samples until 95 % accuracy against the noise sensitivity of the task, on a stream of samples.

Paper:     Zhang, Raghu, Kleinberg, Bengio 2021 conjecture that the noise sensitivity of a function
           governs how hard it is to learn; Abbe et al. 2022 prove it in their setting. Here tasks
           are the aggregations of token PVR with m = 0 .. 5, no sample is shown twice, and the
           samples until a replica is right on 95 % of the test inputs are counted.
Command:   ./launch.sh reproduce token_noise_sensitivity --size=small
           ./launch.sh run configs/token_noise_sensitivity.py:size=small
Choices:   model=token_mlp|token_transformer|token_mixer, size=small|paper, tiny.
Time:      small: 8 minutes on two CPU cores that others used too.
Expect:    a task that does not get there counts as harder than all that do; the noise sensitivity
           is exact, every token being drawn anew with probability evaluation.noise.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import token_pvr

STEPS = {"small": 3000, "paper": 100_000}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    models = ("token_mlp",) if size == "small" else tuple(token_pvr.MODELS)
    return [f"model={model},size={size}" for model in models]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network; `arg` holds the choices."""
    chosen = base.choose(arg, model=tuple(token_pvr.MODELS), size=token_pvr.SIZES)
    size = chosen["size"]
    config = token_pvr.build(chosen["model"], size)
    config.data.update({"source": "fresh", "samples": ()})
    # A constant rate: how far training would have got with fewer samples is read off on the way.
    config.train.update({"steps": STEPS[size], "decay": "constant"})
    config.evaluation.update({"count": 48, "test_samples": 4096 if size == "small" else 32_768})
    if size == "paper":
        config.train.learning_rates = (3e-4,)
    return token_pvr.finished(config, chosen["tiny"])
