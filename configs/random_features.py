"""Random features: activations whose low-degree bias is strong, and ReLU, whose is not.

Paper:     Abbe et al. 2023: x0 x1 x2 + x0 x3 x4 x5 on 18 bits, seen where x0 = 1; 8,192 features,
           plain SGD, batches of 256. The min-degree interpolator is x1 x2 + x3 x4 x5. ReLU has no
           odd degree from 3 on, so x3 x4 x5 has nothing to prefer it by; (1 + h)^6 has.
Command:   ./launch.sh reproduce random_features --size=small
           ./launch.sh run configs/random_features.py:kind=polynomial,trained=no,size=small
Choices:   kind=relu|polynomial, trained=no|yes, size=paper|small, tiny. The authors' features are
           trained, as the attribute that should freeze them is misspelt: trained=yes is their code,
           trained=no the paper. paper: 10 seeds, 100 epochs. small: 2 seeds, 30 epochs.
Expect:    once fitted, polynomial: x3 x4 x5 near .9 and x0 x3 x4 x5 near .1, the kernel limit's
           values; relu: equal coefficients for both, .5 in the limit, after far longer training.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import unseen_domain

KINDS = ("relu", "polynomial")
TRAINED = ("no", "yes")
SMALL_EPOCHS = 30


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"kind={kind},trained={trained},size={size}" for kind in KINDS for trained in TRAINED]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one activation; `arg` holds the choices."""
    chosen = base.choose(arg, kind=KINDS, trained=TRAINED, size=base.SIZES)
    choices = ",".join(f"{name}={chosen[name]}" for name in ("kind", "trained", "size"))
    config = unseen_domain.get_config(f"setting=rfexample,model=random_features,{choices}").unlock()
    if chosen["size"] == "small":
        config.train.update({"epochs": SMALL_EPOCHS, "seeds": 2})
        config.evaluation.every_epochs = 10
        config.checkpoint.count = 6
    return unseen_domain.finished(config, chosen["tiny"])
