"""Pointer Value Retrieval on tokens: accuracy by training-set size, complexity and aggregation.

Paper:     Zhang, Raghu, Kleinberg, Bengio 2021, "Pointer Value Retrieval: A new benchmark for
           understanding the limits of neural network generalization". An input is a pointer digit
           and ten value digits; the label is an aggregation of the m + 1 values from the pointer's
           on, m = 0 .. 5. Sizes of training sets and networks are those of published code that
           reproduces the paper's figures; the authors' own is not public.
Command:   ./launch.sh reproduce token_pvr --size=small
           ./launch.sh run configs/token_pvr.py:size=small,model=token_transformer
Choices:   model=token_mlp|token_transformer|token_mixer, size=small|paper, samples=N (one size of
           the training set; of size=paper every size is a run of its own), tiny; task= and
           withheld=my_module:my_function, your own.
           small: networks for two CPU cores, all tasks with 64 to 1,000,000 samples, of the last
           of which training sees 512,000, each once; the study has the MLP, and Transformer and
           Mixer, by model=, begin with mod_sum and m = 0 and 1.
Yours:     task=my_module:my_label, a function of tokens[length], int32 from 0 to alphabet - 1, all
           uniform, that returns a class, 0 to classes - 1; with jax.numpy, in a module of the
           working directory. withheld=my_module:my_predicate is True for the inputs that training
           never shows, in the same way.
           ./launch.sh run configs/token_pvr.py:task=my_module:my_label,size=small \
             --config.task.length=11 --config.task.alphabet=10 --config.task.classes=10
Time:      small: 17 minutes on two CPU cores.
Numbers:   by flags, for example --config.task.aggregations=min,max --config.task.complexities=2,3
           --config.data.samples=1000,30000 --config.train.seeds=10
"""

from typing import Any

import ml_collections

from configs import canonical_holdout as base
from configs import sections

AGGREGATIONS = ("mod_sum", "min", "max", "median", "majority_vote")
SIZES = ("small", "paper")
MODELS = {
    "token_mlp": {"embedding_width": 64, "widths": (512, 1024, 512, 64)},
    "token_transformer": {
        "width": 256,
        "depth": 12,
        "heads": 6,
        "head_width": 64,
        "feed_forward_width": 256,
    },
    "token_mixer": {"width": 256, "depth": 12, "token_expansion": 4, "channel_width": 128},
}
SMALL_MODELS = {
    "token_mlp": {"embedding_width": 16, "widths": (256, 256)},
    "token_transformer": {
        "width": 64,
        "depth": 2,
        "heads": 4,
        "head_width": 16,
        "feed_forward_width": 64,
    },
    "token_mixer": {"width": 64, "depth": 2, "token_expansion": 4, "channel_width": 64},
}
TINY_MODELS = {
    "token_mlp": {"embedding_width": 4, "widths": (16,)},
    "token_transformer": {
        "width": 8,
        "depth": 1,
        "heads": 1,
        "head_width": 8,
        "feed_forward_width": 8,
    },
    "token_mixer": {"width": 8, "depth": 1, "token_expansion": 1, "channel_width": 8},
}
PAPER_SAMPLES = (64, 128, 1024, 10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 10_000_000)


def build(model: str, size: str) -> ml_collections.ConfigDict:
    """Return the configuration of one network on token PVR, unlocked."""
    small = size == "small"
    return ml_collections.ConfigDict(
        {
            "experiment": "pointer_value",
            "size": size,
            "task": {
                "name": "token_pvr",
                "aggregations": AGGREGATIONS,
                "complexities": (0, 1, 2, 3, 4, 5),  # m; the window has m + 1 values
                "withheld": (0,),  # number of first permutations of 0 .. m that are never a window
                # of training
                "boundary": "bounded",  # bounded: the window fits, as in the paper; or cyclic
            },
            "model": {"name": model, **(SMALL_MODELS if small else MODELS)[model]},
            "data": {
                "source": "sampled",  # sampled: fixed training sets; fresh: a stream, no row twice
                "samples": (64, 1000, 10_000, 100_000, 1_000_000),  # sizes; () for a stream
                "batch_size": 256 if small else 1024,
            },
            "train": sections.train(
                # replicas = tasks x sizes x learning rates x init scales x seeds, in one program
                seeds=3 if small else 10,
                steps=2000,  # of the optimizer, the same for every size
                learning_rates=(1e-3,),
                decay="cosine",
            ),
            "evaluation": {
                "count": 8,  # approximate number of evaluations, at log-spaced steps
                "test_samples": 8192 if small else 100_000,  # of each test set
                "training_samples": 2048 if small else 16_384,  # evaluated, of the training set
                "chunk": 2048,  # examples evaluated at once
                "noise": 0.1,  # delta of the noise sensitivity
                "examples": 12,  # shown with predictions in the report
            },
            "checkpoint": sections.checkpoint(2),
        }
    )


def with_authors_training(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Give an unlocked configuration of ONE training-set size the settings of published code.

    SGD with momentum .9, rate .05, weight decay 1e-5, batches of 1,024 or of the whole set, 200
    epochs but at least 800 steps, ten of them warm-up; a cosine down to 0 is our reading of its
    decay. It stops early; here every run goes to its end.
    """
    (samples,) = config.data.samples
    batch = min(1024, samples)
    per_epoch = -(-samples // batch)
    steps = max(800, 200 * per_epoch)
    config.data.batch_size = batch
    config.train.update(
        {
            "optimizer": "sgd",
            "learning_rates": (0.05,),
            "weight_decay": 1e-5,
            "steps": steps,
            "warmup_steps": min(10 * per_epoch, steps // 2),
        }
    )
    config.evaluation.count = 20
    return config


def finished(config: ml_collections.ConfigDict, tiny: bool) -> ml_collections.ConfigDict:
    """Return the configuration, locked; shrunk to seconds if it is to be tiny."""
    if tiny:
        if len(config.task.get("complexities", ())) > 2:
            config.task.update({"aggregations": ("mod_sum", "max"), "complexities": (0, 2)})
        if config.data.source == "sampled":
            config.data.samples = (20, 100)
        config.data.batch_size = 32
        config.train.update({"seeds": 2, "steps": 30, "warmup_steps": 0})
        config.evaluation.update(
            {
                "count": 3,
                "test_samples": 64,
                "training_samples": 64,
                "chunk": 64,
                "examples": 4,
            }
        )
        config.model.update(TINY_MODELS.get(config.model.name, {}))
    return config.lock()


def sample_count(text: str) -> int:
    """Return the number of samples that follows the colon; ValueError, one line, for others."""
    if not text.isdigit() or int(text) < 1:
        raise ValueError(
            f"samples after the colon: given {text!r}; allowed a whole number such as 100000"
        )
    return int(text)


def own_task(name: str, withheld: str) -> dict[str, Any]:
    """Return the task of the user's own label; ValueError, one line, for another name."""
    if not name:
        raise ValueError(
            f"withheld after the colon: given {withheld!r} without a task; allowed with "
            "task=my_module:my_label"
        )
    if ":" not in name:
        raise ValueError(
            f"task after the colon: given {name!r}; allowed your own my_module:my_label, also with "
            "withheld=my_module:my_predicate; without task= it is that of this file"
        )
    return {
        "name": name,
        "length": 11,  # of a sequence of tokens
        "alphabet": 10,  # tokens are 0 to alphabet - 1
        "classes": 10,  # labels are 0 to classes - 1
        "withheld": withheld,  # my_module:my_predicate; "": nothing
    }


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    if size == "small":
        return ["model=token_mlp,size=small"]
    return [
        f"model={model},size=paper,samples={samples}"
        for model in MODELS
        for samples in PAPER_SAMPLES
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network; `arg` holds the choices."""
    chosen = base.choose(
        arg, model=tuple(MODELS), size=SIZES, samples=None, task=None, withheld=None
    )
    config = build(chosen["model"], chosen["size"])
    small = chosen["size"] == "small"
    if small and chosen["model"] != "token_mlp":
        config.task.update({"aggregations": ("mod_sum",), "complexities": (0, 1)})
        config.data.samples = (10_000, 100_000)
    if "task" in chosen or "withheld" in chosen:
        config.task = own_task(chosen.get("task", ""), chosen.get("withheld", ""))
        config.data.samples = (1000, 10_000, 100_000)
    if "samples" in chosen or not small:
        config.data.samples = (sample_count(chosen.get("samples", "100000")),)
    if not small:
        with_authors_training(config)
    return finished(config, chosen["tiny"])
