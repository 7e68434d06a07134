"""Quickstart: the paper's central experiment at a small count, in minutes on a laptop.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks: Generalization, Unseen Data
           and Boolean Measures": Pointer Value Retrieval with 3 pointer bits, window 3, majority,
           truncated (their f3), their MLP, Adam and training set; one bit frozen to +1. 80 of
           their 100 epochs: in the last 20, mean errors move by about 1 % at most.
Command:   ./launch.sh run
Numbers:   every field is in configs/canonical_holdout.py with a comment; set one by its flag, for
           example --config.train.seeds=5
Time:      3 to 4 minutes on 2 CPU cores for 12 replicas (4 frozen bits x 3 seeds).
Expect:    in-distribution error below 0.01 for every replica. The influences, which the paper's
           hypothesis predicts as generalization error, are .46875, .0625, .1875 and .21875 for
           bits 0, 3, 7 and 10; bit 0, a pointer bit, comes out well below its influence.
"""

import ml_collections

from configs import canonical_holdout as base


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` "tiny" makes it small, for tests."""
    chosen = base.choose(arg)
    config = base.build("pvr", "mlp")
    config.task.boundary = "truncated"  # windows end at the last bit; or cyclic
    config.holdout.bits = "0,3,7,10"  # the frozen bits
    config.train.seeds = 3
    config.train.epochs = 80
    config.evaluation.every_epochs = 10
    return base.finished(config, chosen["tiny"])
