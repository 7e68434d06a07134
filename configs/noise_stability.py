"""Matched setting, no bit frozen: are noise-sensitive targets harder to learn on one budget?

Paper:     Abbe et al. 2022: the lower bound for symmetric networks rests on cross-predictability
           of the target's orbit, which its noise stability at rho = 1/2 bounds. Here variants of
           PVR (3 pointer bits) are trained with one budget, and the error is compared with both.
Command:   ./launch.sh reproduce noise_stability --size=small
           ./launch.sh run configs/noise_stability.py:aggregation=parity,window=3,size=small
Choices:   aggregation=parity|majority|min, window=1|2|3, boundary=cyclic|truncated,
           model=mlp|transformer|mixer, size=paper|small, tiny. The budget: 1,900 samples, 100
           epochs of Adam. paper: 40 seeds, all three models. small: 5 seeds, the MLP.
Expect:    noise stability (cyclic): parity w=1, 2, 3: .2109 .1055 .0527; majority w=2, 3: .1270
           .2378; min w=2, 3: .4033 .6444. A theorem bounds the error from below, with a prefactor
           that is not verified here, so no value is claimed.
"""

import ml_collections

from configs import canonical_holdout as base

AGGREGATIONS = ("parity", "majority", "min")
WINDOWS = ("1", "2", "3")
BOUNDARIES = ("cyclic", "truncated")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size.

    Over a window of one bit all aggregations and boundaries give the same function.
    """
    tasks = [("parity", "1", "cyclic")]
    tasks += [
        (aggregation, window, boundary)
        for boundary in BOUNDARIES
        for window in WINDOWS[1:]
        for aggregation in AGGREGATIONS
    ]
    return [
        f"aggregation={aggregation},window={window},boundary={boundary},model={model},size={size}"
        for aggregation, window, boundary in tasks
        for model in (("mlp",) if size == "small" else base.PAPER_MODELS)
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one target; `arg` holds the choices."""
    chosen = base.choose(
        arg,
        aggregation=AGGREGATIONS,
        window=WINDOWS,
        boundary=BOUNDARIES,
        model=base.PAPER_MODELS,
        size=base.SIZES,
    )
    config = base.build("pvr", chosen["model"], chosen["size"])
    config.task.update(
        {
            "aggregation": chosen["aggregation"],
            "window": int(chosen["window"]),
            "boundary": chosen["boundary"],
        }
    )
    config.holdout.bits = "none"
    if chosen["size"] == "small":
        config.train.seeds = 5
    return base.finished(config, chosen["tiny"])
