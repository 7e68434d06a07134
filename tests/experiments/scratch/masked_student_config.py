"""A linear student that misses a coordinate; choices: none."""

import ml_collections


def runs(size):
    return [""]


def get_config(arg=None):
    return ml_collections.ConfigDict(
        {
            "experiment": "masked_student",
            "size": "",
            "task": {"name": "polynomial", "n": 4, "expression": "x0 + 0.5*x1 + 0.25*x2*x3"},
            "model": {"name": "linear_student"},
            "data": {"masked": (0, 1, 2), "batch_size": 8},
            "train": {
                "seeds": 3, "first_seed": 0, "epochs": 400, "optimizer": "sgd", "momentum": 0.0,
                "learning_rates": (0.01,), "init_scales": (1.0,), "dtype": "float32",
                "matmul_precision": "highest", "execution": "vmap", "group_size": 1,
            },
            "evaluation": {"every_epochs": 100},
            "checkpoint": {"count": 2, "save_every_seconds": 60.0},
        }
    ).lock()  # fmt: skip
