"""Quickstart: the paper's central experiment at a small count, in minutes on a laptop.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks: Generalization, Unseen Data
           and Boolean Measures": Pointer Value Retrieval with 3 pointer bits, window 3, majority,
           truncated (their f3), their MLP, Adam and training set; one bit frozen to +1.
Command:   ./launch.sh run
Time:      about 2 minutes on 2 CPU cores for 12 replicas (4 frozen bits x 3 seeds).
Expect:    in-distribution error below 0.01 for every replica. The influences, which the paper's
           hypothesis predicts as generalization error, are .46875, .0625, .1875 and .21875 for
           bits 0, 3, 7 and 10; bit 0, a pointer bit, comes out well below its influence.
"""

import ml_collections


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` "tiny" makes it end in seconds, for tests."""
    if arg not in (None, "", "tiny"):
        raise ValueError(f"choice after the colon: given {arg}; allowed tiny")
    config = ml_collections.ConfigDict(
        {
            "experiment": "canonical_holdout",
            "task": {
                "name": "pvr",
                "pointer_bits": 3,  # n = 3 + 2^3 = 11 bits
                "window": 3,
                "aggregation": "majority",  # parity, majority, min, max
                "boundary": "truncated",  # windows end at the last bit; or cyclic
                "tie": 0,  # majority of an even window: 0 (the authors' sign), 1 or -1
            },
            "model": {
                "name": "mlp",
                "widths": (512, 1024, 512, 64),
                "initialisation": "pytorch",  # weights and biases uniform in +-1/sqrt(fan_in)
            },
            "holdout": {
                "bits": "0,3,7,10",  # the frozen bits k: "all" or a list
                "value": 1,  # x_k = value in training
            },
            "data": {
                "source": "sampled",  # uniform draws with replacement, then frozen
                "samples": 1900,
                "batch_size": 64,
                "order": "fixed",  # the authors' loader does not shuffle
                "drop_remainder": False,
            },
            "train": {
                "seeds": 3,
                "first_seed": 0,
                "epochs": 100,
                "optimizer": "adam",
                "learning_rate": 5e-5,
                "momentum": 0.9,  # of sgd
                "matmul_precision": "highest",  # float32 on every device
                "execution": "auto",
                "group_size": 4,  # of execution=chunked
            },
            "evaluation": {"every_epochs": 5, "tracked_pairs": 16, "spectra": "last"},
            "checkpoint": {"count": 11, "save_every_seconds": 60.0},
        }
    )
    if arg == "tiny":
        config.model.widths = (16, 8)
        config.data.samples = 100
        config.holdout.bits = "0,2"
        config.train.update({"seeds": 2, "epochs": 4})
        config.evaluation.update({"every_epochs": 2, "tracked_pairs": 4})
        config.checkpoint.count = 3
    return config.lock()
