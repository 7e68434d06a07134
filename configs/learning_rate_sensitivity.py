"""Does the leak of the min-degree interpolator grow with the learning rate?

Paper:     Abbe et al. 2023: x0 x1 on 15 bits, seen where x0 = 1 or x1 = 1, the MLP with plain SGD,
           batches of 64. The min-degree interpolator drops x0 x1; its coefficient in the learned
           function is the leak.
Command:   ./launch.sh reproduce learning_rate_sensitivity --size=small
           ./launch.sh run configs/learning_rate_sensitivity.py:rate=0.01,size=small
Choices:   rate=0.003|0.15|0.1|0.03|0.01|0.001|3e-4|1e-4|3e-5, size=paper|small, tiny. paper: 10
           seeds and the authors' epochs, 4 to 250. small: 5 seeds, the rates from .1 to .001, and
           epochs that fit (in-distribution error below 1 % of that of the zero function).
Expect:    the leak falls with the learning rate, and not to 0.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import unseen_domain

# Learning rate -> epochs of the authors' script, and of size=small.
EPOCHS = {
    "0.003": (50, 10),
    "0.15": (4, 4),
    "0.1": (4, 4),
    "0.03": (40, 5),
    "0.01": (50, 6),
    "0.001": (50, 12),
    "3e-4": (60, 28),
    "1e-4": (100, 100),
    "3e-5": (250, 250),
}
SMALL_RATES = ("0.1", "0.03", "0.01", "0.003", "0.001")


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    rates = SMALL_RATES if size == "small" else tuple(EPOCHS)
    return [f"rate={rate},size={size}" for rate in sorted(rates, key=float)]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one learning rate; `arg` holds the choices."""
    chosen = base.choose(arg, rate=tuple(EPOCHS), size=base.SIZES)
    small = chosen["size"] == "small"
    config = unseen_domain.get_config(f"setting=2parity,model=mlp,size={chosen['size']}").unlock()
    epochs = EPOCHS[chosen["rate"]][small]
    config.train.update(
        {
            "learning_rates": (float(chosen["rate"]),),
            "epochs": epochs,
            "seeds": 5 if small else 10,
        }
    )
    config.evaluation.every_epochs = max(1, epochs // 4)
    config.checkpoint.count = 6
    return unseen_domain.finished(config, chosen["tiny"])
