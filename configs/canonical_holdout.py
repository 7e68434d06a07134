"""Canonical holdout: any task, any model, any frozen bits, with the paper's training settings.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks: Generalization, Unseen Data
           and Boolean Measures"; settings of the authors' code.
Command:   ./launch.sh run configs/canonical_holdout.py:task=quadratic_chain
Choices:   after the colon, separated by commas: task=NAME (a registered task or your own
           module:function), model=NAME, optimizer=adam|sgd, size=small|paper, and tiny (seconds
           instead of minutes, for tests). size=paper has the authors' 40 seeds; size=small has
           fewer, and a Transformer and Mixer that two CPU cores can train.
Numbers:   by flags, for example --config.train.seeds=5 --config.holdout.bits=0,3 (freezes each bit
           alone; for both at once see configs/unseen_domain.py)
Sweeps:    --sweep=NAME,… trains the product of the functions sweep_NAME below, cells of one shape
           in one program; --shard=0/8 is the first of eight parts. The paper's question for 8
           tasks on 11 bits x 3 models x 11 bits x 4 rates, 1,056 cells of 4 seeds:
           ./launch.sh run configs/canonical_holdout.py:size=small --sweep=tasks,models,bits,rates
           Its table, with error and influence of every replica, is table.parquet and .csv
           in runs/sweeps/tables/; --config.checkpoint.count=2 keeps only first and last parameters.
Time:      the MLP takes 0.05 to 0.1 s per replica and epoch of 1,900 samples on 2 CPU cores:
           44 replicas x 100 epochs take 4 to 7 minutes.
Expect:    quadratic_chain, bit 7: generalization error near the influence 113, coefficients of
           x6 and x8 near 7 and 8, those of x6x7 and x7x8 near 0.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from configs import sections

PVR = {"pointer_bits": 3, "window": 3, "aggregation": "majority", "boundary": "cyclic", "tie": 0}

# Task name -> (parameters, samples, epochs): the authors' settings, if any.
TASKS = {
    "pvr_majority": ({}, 1900, 100),
    "pvr": (PVR, 1900, 100),
    "quadratic_chain": ({"n": 11}, 1900, 100),
    "staircase": ({"n": 14}, 10_000, 150),
    "linear": ({"n": 11}, 1500, 100),
    "parity": ({"n": 11, "degree": 3}, 1900, 100),
    "polynomial": ({"n": 11, "expression": "x0*x1 - 1.25*x1*x2 + 1.5*x2*x0"}, 1900, 100),
    # encoding: bit, sign or real; order: msb_first or lsb_first (docstring of targets.from_file)
    "truth_table": (
        {"path": placeholder(str), "encoding": placeholder(str), "order": "msb_first"},
        1900,
        100,
    ),
}
USER_TASK = ({"n": 11}, 1900, 100)  # module:function

MLP = {"widths": (512, 1024, 512, 64), "initialisation": "pytorch", "alpha": 0.5}
TRANSFORMER = {
    "width": 256,
    "depth": 12,
    "heads": 6,
    "head_width": 64,
    "feed_forward_width": 256,
}
MIXER = {"width": 256, "depth": 12, "token_expansion": 4, "channel_width": 128}
MODELS = {
    "mlp": MLP,
    "transformer": TRANSFORMER,
    "mixer": MIXER,
    "linear_regression": {"initialisation": "pytorch"},
    "deep_linear": {"depth": 3, "width": 256, "alpha": 0.5},
    "random_features": {
        "features": 8192,
        "kind": "relu",
        "trainable": False,
        "scale": "none",
    },
    "mean_field": {"width": 65536, "alpha": 0.0},
}
PAPER_MODELS = ("mlp", "transformer", "mixer")
SIZES = ("small", "paper")

# What two CPU cores can train in the time of size=small. Adam's rates are larger for these smaller
# networks; they were chosen by the in-distribution error alone: of 5e-4, 1e-3 and 2e-3, the
# smallest that brings it below .01 within 40 epochs of pvr_majority with bit 1 or 7 frozen.
SMALL_MODELS = {
    "transformer": {
        "width": 64,
        "depth": 2,
        "heads": 4,
        "head_width": 16,
        "feed_forward_width": 64,
    },
    "mixer": {"width": 64, "depth": 2, "token_expansion": 4, "channel_width": 64},
}
SMALL_RATES = {"transformer": 1e-3, "mixer": 2e-3}

TINY_MODELS = {
    "mlp": {"widths": (16, 8)},
    "transformer": {
        "width": 16,
        "depth": 2,
        "heads": 2,
        "head_width": 8,
        "feed_forward_width": 16,
    },
    "mixer": {"width": 16, "depth": 2, "channel_width": 8},
    "deep_linear": {"width": 16},
    "random_features": {"features": 64},
    "mean_field": {"width": 64},
}

# Learning rates where 5e-5, the authors' rate for Adam, is not the one: (optimizer, task, model),
# None standing for any. Those of SGD are in a comment of the authors' code.
RATES = {
    ("sgd", "quadratic_chain", None): 1e-4,
    ("sgd", "staircase", "mlp"): 2.5e-3,
    ("sgd", "staircase", None): 5e-4,
    ("sgd", None, None): 1e-3,
}


def choose(arg: str | None, **allowed: tuple[str, ...] | None) -> dict[str, Any]:
    """Split "model=mixer,tiny" into {"model": "mixer", …, "tiny": True}.

    `allowed` names the choices and their values (None: any text); one that is not given has the
    first value. "tiny" is always allowed.
    """
    chosen: dict[str, Any] = {name: values[0] for name, values in allowed.items() if values}
    chosen["tiny"] = False
    for part in (part for part in (arg or "").split(",") if part):
        name, _, value = part.partition("=")
        if part == "tiny":
            chosen["tiny"] = True
        elif name not in allowed:
            options = ", ".join([f"{known}=…" for known in allowed] + ["tiny"])
            raise ValueError(f"choice after the colon: given {part}; allowed {options}")
        elif allowed[name] is not None and value not in allowed[name]:
            options = ", ".join(option for option in allowed[name] if option)
            raise ValueError(f"{name} after the colon: given {value!r}; allowed {options}")
        else:
            chosen[name] = value
    return chosen


def learning_rate(optimizer: str, task: str, model: str, size: str) -> float:
    """Return the authors' learning rate, or the one of a model of size=small."""
    if optimizer == "adam":
        return SMALL_RATES.get(model, 5e-5) if size == "small" else 5e-5
    for key in ((optimizer, task, model), (optimizer, task, None), (optimizer, None, None)):
        if key in RATES:
            return RATES[key]
    raise ValueError(f"optimizer after the colon: given {optimizer!r}; allowed adam, sgd")


def build(
    task: str, model: str, size: str = "", optimizer: str = "adam"
) -> ml_collections.ConfigDict:
    """Return the configuration of a task and model, unlocked."""
    task_parameters, samples, epochs = TASKS.get(task, USER_TASK)
    small = SMALL_MODELS.get(model, {}) if size == "small" else {}
    return ml_collections.ConfigDict(
        {
            "experiment": "canonical_holdout",
            "size": size,  # size of the reproduction it belongs to: paper, small, or none
            "task": {"name": task, **task_parameters},
            "model": {"name": model, **MODELS[model], **small},
            "holdout": {
                "bits": "all",  # the frozen bits k: "all", "0,3,7" or "none", the matched setting:
                # training draws from the whole cube. Bits are frozen ONE AT A TIME, with networks
                # of its own; several at once are a subcube of configs/unseen_domain.py
                "value": 1,  # x_k = value in training; the authors freeze to +1
            },
            "data": sections.data(
                source="sampled",  # sampled: with replacement, then frozen; whole: the seen
                # half, each point once; fresh: new draws at every step; rows: those of data.file
                samples=samples,  # rows of the training set (not for source=whole and rows)
                batch_size=64,
                order="fixed",  # fixed: the authors' loader does not shuffle; or shuffled
                drop_remainder=False,  # drop the last, smaller batch of an epoch
            ),
            "train": sections.train(
                # replicas = bits x learning rates x init scales x seeds, trained in one program
                seeds=40 if size == "paper" else 4,
                epochs=epochs,
                optimizer=optimizer,
                learning_rates=(learning_rate(optimizer, task, model, size),),
            ),
            "evaluation": {
                "every_epochs": 1 if size == "paper" else 5,  # on the whole cube; also at every
                # kept checkpoint
                "tracked_pairs": 16,  # aliased pairs of monomials to track, per frozen bit
                "margin": 0.1,  # an error within this share of the influence is equal to it
                "spectra": "last",  # spectra to keep: last, or all (at every kept checkpoint)
                "points": "auto",  # where errors are measured: enumerated, on the whole cube (n up
                # to 24); sampled, at random pairs of points; auto: enumerated up to n = 20
                "samples": 65536,  # pairs of points, where they are sampled
            },
            "checkpoint": sections.checkpoint(11),
        }
    )


def finished(config: ml_collections.ConfigDict, tiny: bool) -> ml_collections.ConfigDict:
    """Return the locked configuration; if tiny, reduced to seconds."""
    if tiny:
        config.data.samples = 100
        config.train.update({"seeds": 2, "epochs": 4})
        if config.holdout.bits != "none":
            config.holdout.bits = "0,2"
        config.evaluation.update({"every_epochs": 2, "tracked_pairs": 4})
        config.checkpoint.count = 3
        config.model.update(TINY_MODELS.get(config.model.name, {}))
    return config.lock()


def sweep_tasks() -> list[dict[str, Any]]:
    """Targets on 11 bits with the same training settings, so that they share programs."""
    aggregations = ("majority", "parity", "min", "max")
    return [
        {"task": "pvr_majority"},
        *({"task": "pvr", "task.aggregation": name} for name in aggregations),
        {"task": "quadratic_chain"},
        {"task": "parity"},
        {"task": "polynomial"},
    ]


def sweep_models() -> list[dict[str, Any]]:
    """The paper's networks."""
    return [{"model": model} for model in PAPER_MODELS]


def sweep_bits() -> list[dict[str, Any]]:
    """Each of 11 bits frozen in turn; all bits of one configuration are holdout.bits=all."""
    return [{"holdout.bits": str(bit)} for bit in range(11)]


def sweep_rates() -> list[dict[str, Any]]:
    """Learning rates around the authors' 5e-5 for Adam."""
    return [{"train.learning_rates": (rate,)} for rate in (2e-5, 5e-5, 2e-4, 1e-3)]


def sweep_scales() -> list[dict[str, Any]]:
    """Sizes of the initialization: every initial parameter times the scale."""
    return [{"train.init_scales": (scale,)} for scale in (0.25, 0.5, 1.0, 2.0)]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` is what follows the colon on the command line."""
    chosen = choose(
        arg,
        task=None,
        model=tuple(MODELS),
        optimizer=("adam", "sgd"),
        size=("", *SIZES),
    )
    task = chosen.get("task", "pvr_majority")
    if task not in TASKS and ":" not in task:
        allowed = ", ".join(TASKS)
        raise ValueError(
            f"task after the colon: given {task!r}; allowed {allowed}, or your own module:function"
        )
    config = build(task, chosen["model"], chosen["size"], chosen["optimizer"])
    return finished(config, chosen["tiny"])
