"""Sections of configurations that studies share; comments explain the fields."""

from typing import Any


def train(**given: Any) -> dict[str, Any]:
    """Return the training settings of replicas, all in one program; `given` overrides defaults.

    Studies give `epochs` or `steps`, `seeds` and `learning_rates`.
    """
    return {
        "first_seed": 0,  # seeds are first_seed, first_seed + 1, …
        "optimizer": "adam",  # adam, sgd, or another of optax with its parameters, such as
        # "adamw(b2=0.95, weight_decay=1e-4)"; adam has betas .9, .999 and eps 1e-8
        "loss": "",  # of training; "": the experiment's own, squared_error of numbers and
        # cross_entropy of classes. Or absolute_error, hinge, logistic (of labels -1 and +1), or
        # your own my_module:my_loss, which maps one prediction and its label to a number with
        # jax.numpy. Errors are measured as before
        "momentum": 0.9,  # of sgd
        "weight_decay": 0.0,  # PyTorch's: added to the gradients, times the parameters
        "warmup_steps": 0,  # steps in which the learning rate grows linearly
        "decay": "constant",  # constant, or cosine: down to 0 at the last step
        "init_scales": (1.0,),  # multiply every initial parameter
        "start": "",  # run whose last parameters are the initial ones; "": random initialization
        "freeze": "",  # parameters that are not trained, by prefixes of their names:
        # "Dense_0,Dense_1/bias"
        "dtype": "float32",  # of parameters and training: float32, float64, or bfloat16, where
        # parameters are float32 and the network computes in bfloat16
        "matmul_precision": "highest",  # highest is float32; a GPU's default is TF32
        "execution": "auto",  # how replicas share a device: auto, vmap, map, chunked
        "group_size": 4,  # replicas at once, for chunked
        "batch_devices": 1,  # devices that share the rows of a batch, for large models
        **given,
    }


def data(**given: Any) -> dict[str, Any]:
    """Return the settings of training rows; `given` overrides defaults.

    Studies give `source`, `samples`, `batch_size` and `order`.
    """
    return {
        "file": "",  # of source=rows: a .npz file with x [N, n] (-1 and +1, or 0 and 1 for them)
        # and y [N], or a .csv file with n columns and y; without y, the target labels the rows
        "encoding": "",  # of y in the file: real, sign, or bit (0 and 1 for -1 and +1)
        "unseen_rows": "refuse",  # rows of the file that are no seen inputs: refuse, or drop them
        "label_noise": 0.0,  # probability that a training label, -1 or +1, is flipped: once per
        # row; for source=fresh at every step
        "bias": 0.5,  # probability of +1 of every coordinate of drawn rows. Errors and influences
        # are those of uniform inputs all the same
        **given,
    }


def checkpoint(count: int) -> dict[str, Any]:
    """Return the checkpoint settings: `count` are kept, at step 0 and log-spaced to the end."""
    return {
        "count": count,
        "save_every_seconds": 60.0,  # largest loss of work in a crash
    }
