"""Sections of a configuration that studies share, with what their fields mean."""

from typing import Any


def train(**given: Any) -> dict[str, Any]:
    """Return how replicas are trained, all in one program; `given` is what a study says of it.

    `epochs` or `steps`, `seeds` and `learning_rates` are the study's own.
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
        "weight_decay": 0.0,  # PyTorch's: times the parameters, added to the gradients
        "warmup_steps": 0,  # the learning rate grows linearly for so many steps
        "decay": "constant",  # constant, or cosine: down to 0 at the last step
        "init_scales": (1.0,),  # multiply every initial parameter
        "start": "",  # a run whose last parameters training starts from; "": from random ones
        "freeze": "",  # parameters that stay as they start, by the beginnings of their names:
        # "Dense_0,Dense_1/bias"
        "dtype": "float32",  # of parameters and training: float32, float64, or bfloat16, where
        # parameters are float32 and the network computes in bfloat16
        "matmul_precision": "highest",  # highest is float32; a GPU's default is TF32
        "execution": "auto",  # how replicas share a device: auto, vmap, map, chunked
        "group_size": 4,  # replicas at once, for chunked
        "batch_devices": 1,  # that share the rows of a batch, for large models
        **given,
    }


def checkpoint(count: int) -> dict[str, Any]:
    """Return what is saved: `count` checkpoints for good, step 0 and log-spaced to the end."""
    return {
        "count": count,
        "save_every_seconds": 60.0,  # the most work that a crash can cost
    }
