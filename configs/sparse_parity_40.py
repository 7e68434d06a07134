"""Sparse parity: x2 x9 x23 of 40 bits from fresh samples, with a relevant or irrelevant bit frozen.

Paper:     the question of Abbe et al. 2022 for the target of the sparse-parity literature (Barak et
           al. 2022; Edelman et al. 2023), whose cube of 10^12 points nobody enumerates.
Command:   ./launch.sh reproduce sparse_parity_40 --size=small
           ./launch.sh run configs/sparse_parity_40.py:size=small
Choices:   size=paper|small, tiny. paper: 40 seeds of the paper's MLP, three relevant bits and
           three others. small: 10 seeds of a smaller MLP at learning rate 2e-4, two relevant bits
           and two others. Every step draws fresh samples; an epoch is 50 steps.
Expect:    influence 1 of the relevant bits 2, 9, 23 and 0 of the others. With a relevant bit
           frozen training shows a parity of two bits, found sooner, and the error is 1; with an
           irrelevant one the parity of three, and the error is 0.
"""

import ml_collections

from configs import canonical_holdout as base


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"size={size}"]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` holds the choices."""
    chosen = base.choose(arg, size=base.SIZES)
    small = chosen["size"] == "small"
    config = base.build("parity", "mlp", chosen["size"])
    config.task = {"name": "parity", "n": 40, "coordinates": (2, 9, 23)}
    config.holdout.bits = "2,9,0,31" if small else "2,9,23,0,17,31"
    config.data.update({"source": "fresh", "samples": 50 * 256, "batch_size": 256})
    config.train.update({"seeds": 10 if small else 40, "epochs": 60, "learning_rates": (2e-4,)})
    if small:
        config.model.widths = (512, 64)
    config.evaluation.update({"every_epochs": 2, "samples": 32768})
    config.checkpoint.count = 6
    return base.finished(config, chosen["tiny"])
