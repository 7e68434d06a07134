"""A linear target: linear regression, and deep linear networks by depth and initialization.

Paper:     Abbe et al. 2022: n = 11, f = 1 + 2 x0 - 3 x1 + ... + 12 x10, 1,500 samples, plain SGD.
           Linear regression ends exactly at a quarter of (f^(0) - f^(k) - b + w_k)^2, which is not
           the influence; the deep network's error moves toward the influence as the initialization
           gets smaller.
Command:   ./launch.sh reproduce linear_networks --size=small
           ./launch.sh run configs/linear_networks.py:model=deep_linear,depth=3,alpha=1.5,size=small
Choices:   model=linear_regression|deep_linear, depth=3|2|4, alpha=0.5|1.0|1.5|2.0|2.5 (weights and
           biases initially uniform in +-fan_in^-alpha), size=paper|small, tiny. paper: 20 seeds x
           11 bits, width 256, learning rate 1e-5, 10,000 epochs. small: 10 seeds x bits 1 and 7,
           width 64, learning rate 2e-4, 2,000 epochs.
Note:      the authors stop a run at a training loss of 1e-8; here it continues, with gradients too
           small to change the error. Linear regression has learning rate 1e-2, since 1e-5 does not
           fit in 10,000 epochs, and computes in float64; its exact value holds at any rate.
Expect:    bit 7: influence 81, linear regression 25 from zero; bit 1: 9 and 4. Depth 3 goes from
           about 25 at alpha .5 to about 81 at alpha 2.5.
"""

import ml_collections

from configs import canonical_holdout as base

MODELS = ("deep_linear", "linear_regression")
DEPTHS = ("3", "2", "4")
ALPHAS = ("0.5", "1.0", "1.5", "2.0", "2.5")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model=linear_regression,size={size}"] + [
        f"model=deep_linear,depth={depth},alpha={alpha},size={size}"
        for depth in sorted(DEPTHS)
        for alpha in ALPHAS
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network; `arg` holds the choices."""
    chosen = base.choose(arg, model=MODELS, depth=DEPTHS, alpha=ALPHAS, size=base.SIZES)
    small = chosen["size"] == "small"
    config = base.build("linear", chosen["model"], chosen["size"])
    config.train.update({"optimizer": "sgd", "momentum": 0.0, "seeds": 10 if small else 20})
    config.evaluation.every_epochs = 100
    if small:
        config.holdout.bits = "1,7"
    if chosen["model"] == "linear_regression":
        config.train.update({"learning_rates": (1e-2,), "epochs": 200, "dtype": "float64"})
    else:
        config.model.update(
            {
                "depth": int(chosen["depth"]),
                "width": 64 if small else 256,
                "alpha": float(chosen["alpha"]),
            }
        )
        config.train.update(
            {
                "learning_rates": (2e-4 if small else 1e-5,),
                "epochs": 2000 if small else 10_000,
            }
        )
    return base.finished(config, chosen["tiny"])
