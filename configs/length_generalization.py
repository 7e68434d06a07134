"""Length generalization: the full parity, seen on the inputs with at most r entries -1.

Paper:     Abbe et al. 2023: the product of all 15 bits, seen on a Hamming ball around all ones of
           radius 6 to 10, the MLP with Adam at 1e-5, 100 epochs, batches of 64. The min-degree
           interpolator is the polynomial of degree r through the seen values, which is
           astronomically large off the ball (full squares of 1e8): no network gets there. For
           networks, the low-degree bias predicts that mass above degree r is learned last, or
           never.
Command:   ./launch.sh reproduce length_generalization --size=small
           ./launch.sh run configs/length_generalization.py:radius=8,size=small
Choices:   radius=6|7|8|9|10, size=paper|small, tiny. paper: 10 seeds, the authors' rate and epochs.
           small: 2 seeds, radii 6, 8 and 10, Adam at 1e-4 for fewer epochs.
Expect:    min-degree interpolator, full squared error over the cube: 7.499e7, 1.952e8, 3.256e8,
           3.450e8 and 2.258e8 for r = 6 to 10. The networks' error is of order 1.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import unseen_domain

RADII = ("6", "7", "8", "9", "10")
SMALL_EPOCHS = {"6": 100, "7": 40, "8": 30, "9": 24, "10": 20}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    radii = ("6", "8", "10") if size == "small" else RADII
    return [f"radius={radius},size={size}" for radius in radii]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one radius; `arg` holds the choices."""
    chosen = base.choose(arg, radius=RADII, size=base.SIZES)
    small = chosen["size"] == "small"
    config = unseen_domain.get_config(f"setting=user,model=mlp,size={chosen['size']}").unlock()
    config.setting = f"lengthgen{chosen['radius']}"
    n = 6 if chosen["tiny"] else 15
    config.task = {"name": "parity", "n": n, "degree": n}
    config.holdout = {
        "name": "hamming_ball",
        "radius": 3 if chosen["tiny"] else int(chosen["radius"]),
    }
    config.train.update(
        {
            "optimizer": "adam",
            "learning_rates": (1e-4 if small else 1e-5,),
            "epochs": SMALL_EPOCHS[chosen["radius"]] if small else 100,
            "seeds": 2 if small else 10,
        }
    )
    config.evaluation.every_epochs = 10
    config.checkpoint.count = 11
    return unseen_domain.finished(config, chosen["tiny"])
