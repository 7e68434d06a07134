"""A control that must fail: networks that cannot represent the low-degree prediction.

Paper:     the hypothesis is that of Abbe et al. 2022; the control is not in the paper. ReLU is the
           sum of a linear and an even function, so a network with one hidden layer and no biases is
           linear plus even, and orthogonal to x1 x2 x3. With x0 frozen the influence is 0, the
           min-degree interpolator being the target itself. A network that fits the seen inputs must
           then be -x1 x2 x3 + 2 (its linear part) on the other half: error 1 or more.
Command:   ./launch.sh reproduce control --size=small
           ./launch.sh run configs/control.py:biases=no,size=small
Choices:   biases=no|yes (yes: the same networks with biases, which can represent the target),
           size=small|paper, tiny. The sizes differ only in the seeds: 10 and 40. Target x1 x2 x3
           on 11 bits, 512 hidden units, Adam at 1e-3, all 1,024 seen inputs in shuffled batches of
           64, 200 epochs; bits 0 (not in the target) and 1 (in it) are frozen.
Expect:    without biases, bit 0: influence 0, wide and empirical kernel 1, measured 1 or a little
           more. Bit 1: 1 from all three. A report that finds error = influence for bit 0 is broken.
"""

import ml_collections

from configs import canonical_holdout as base

BIASES = ("no", "yes")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"biases={biases},size={size}" for biases in BIASES]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` holds the choices."""
    chosen = base.choose(arg, biases=BIASES, size=base.SIZES)
    config = base.build("polynomial", "mlp", chosen["size"])
    config.task.expression = "x1*x2*x3"
    config.model.update({"widths": (512,), "biases": chosen["biases"] == "yes"})
    config.holdout.bits = "0,1"
    config.data.update({"source": "whole", "order": "shuffled"})
    config.train.update(
        {
            "seeds": 40 if chosen["size"] == "paper" else 10,
            "epochs": 200,
            "learning_rates": (1e-3,),
        }
    )
    return base.finished(config, chosen["tiny"])
