"""Canonical holdout: any task, any frozen bits, the paper's MLP and training settings.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks: Generalization, Unseen Data
           and Boolean Measures"; settings of the authors' code.
Command:   ./launch.sh run configs/canonical_holdout.py:task=quadratic_chain
Choices:   after the colon, separated by commas: task=NAME (a registered task or your own
           module:function), model=NAME, and tiny (seconds instead of minutes, for tests).
Numbers:   by flags, for example --config.train.seeds=5 --config.holdout.bits=all
Time:      0.05 to 0.1 s per replica and epoch on 2 CPU cores: 44 replicas x 100 epochs take 4 to
           7 minutes.
Expect:    quadratic_chain, bit 7: generalization error near the influence 113, coefficients of
           x6 and x8 near 7 and 8, those of x6x7 and x7x8 near 0.
"""

import ml_collections
from ml_collections.config_dict import placeholder

PVR = {"pointer_bits": 3, "window": 3, "aggregation": "majority", "boundary": "cyclic", "tie": 0}

# Task name -> (its parameters, samples, epochs): the authors' settings where they have any.
TASKS = {
    "pvr": (PVR, 1900, 100),
    "pvr_majority": ({}, 1900, 100),
    "quadratic_chain": ({"n": 11}, 1900, 100),
    "staircase": ({"n": 14}, 10_000, 150),
    "linear": ({"n": 11}, 1900, 100),
    "parity": ({"n": 11, "degree": 3}, 1900, 100),
    "polynomial": ({"n": 11, "expression": "x0*x1 - 1.25*x1*x2 + 1.5*x2*x0"}, 1900, 100),
    "truth_table": ({"path": placeholder(str)}, 1900, 100),
}
USER_TASK = ({"n": 11}, 1900, 100)  # module:function

MODELS = {"mlp": {"widths": (512, 1024, 512, 64), "initialisation": "pytorch"}}


def parse(arg: str | None) -> dict[str, str]:
    """Split "task=staircase,tiny" into {"task": "staircase", "tiny": ""}."""
    choices = dict(part.partition("=")[::2] for part in (arg or "").split(",") if part)
    for name, value in choices.items():
        if name not in ("task", "model", "tiny") or (name == "tiny" and value):
            given = f"{name}={value}" if value else name
            raise ValueError(
                f"choice after the colon: given {given}; allowed task=…, model=…, tiny"
            )
    return choices


def choose(choices: dict[str, str], name: str, table: dict, default: str) -> str:
    """Return the chosen entry of `table`, or raise with the allowed ones."""
    given = choices.get(name, default)
    if given not in table and not (name == "task" and ":" in given):
        allowed = ", ".join(table) + (", or your own module:function" if name == "task" else "")
        raise ValueError(f"{name} after the colon: given {given!r}; allowed {allowed}")
    return given


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` is what follows the colon on the command line."""
    choices = parse(arg)
    task = choose(choices, "task", TASKS, "pvr_majority")
    model = choose(choices, "model", MODELS, "mlp")
    task_parameters, samples, epochs = TASKS.get(task, USER_TASK)
    config = ml_collections.ConfigDict(
        {
            "experiment": "canonical_holdout",
            "task": {"name": task, **task_parameters},
            "model": {"name": model, **MODELS[model]},
            "holdout": {
                "bits": "all",  # the frozen bits k, one ensemble for all: "all" or "0,3,7"
                "value": 1,  # x_k = value in training; the authors freeze to +1
            },
            "data": {
                "source": "sampled",  # sampled: with replacement, then frozen; whole: the seen
                # half, each point once; fresh: new draws at every step
                "samples": samples,  # rows of the training set (not for source=whole)
                "batch_size": 64,
                "order": "fixed",  # fixed: the authors' loader does not shuffle; or shuffled
                "drop_remainder": False,  # leave out the last, smaller batch of an epoch
            },
            "train": {
                "seeds": 4,  # replicas = seeds x bits, trained in one program
                "first_seed": 0,  # seeds are first_seed, first_seed + 1, …
                "epochs": epochs,
                "optimizer": "adam",  # adam (betas .9, .999, eps 1e-8) or sgd
                "learning_rate": 5e-5,
                "momentum": 0.9,  # of sgd
                "matmul_precision": "highest",  # highest is float32; a GPU's default is TF32
                "execution": "auto",  # how replicas share a device: auto, vmap, map, chunked
                "group_size": 4,  # replicas at once, for chunked
            },
            "evaluation": {
                "every_epochs": 5,  # on the whole cube; also at every kept checkpoint
                "tracked_pairs": 16,  # aliased pairs of monomials to follow, per frozen bit
                "spectra": "last",  # full spectra to keep: last, or all (at every kept checkpoint)
            },
            "checkpoint": {
                "count": 11,  # kept for good: step 0 and log-spaced from one epoch to the end
                "save_every_seconds": 60.0,  # the most work that a crash can cost
            },
        }
    )
    if "tiny" in choices:
        config.data.samples = 100
        config.train.update({"seeds": 2, "epochs": 4})
        config.holdout.bits = "0,2"
        config.evaluation.update({"every_epochs": 2, "tracked_pairs": 4})
        config.checkpoint.count = 3
        if model == "mlp":
            config.model.widths = (16, 8)
    return config.lock()
