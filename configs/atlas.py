"""An atlas: every Boolean function of 4 and 5 bits with every bit frozen.

With one bit frozen, what is learned depends on the seen half alone, a function of one bit less. So
networks are trained on every function of 3 and of 4 bits up to symmetry, with the frozen bit as one
further input; the errors of all functions with that seen half follow by arithmetic.

Paper:     Abbe et al. 2022, "Learning to Reason with Neural Networks: Generalization, Unseen Data
           and Boolean Measures", asks the question of three functions; here it is asked of all.
Command:   ./launch.sh reproduce atlas --size=small
           ./launch.sh run configs/atlas.py:model=mlp,bits=4
Choices:   model=mlp|transformer, bits=4|5 (the frozen one among them), size=small|paper, tiny.
           small: 16 seeds, an MLP 64-64 and a Transformer of two layers of width 32; of 5 bits, the
           Transformer has 24 of the 222 classes, drawn at random. paper: the same networks, 40
           seeds, and of 5 bits the Transformer on all classes of its own symmetries, for an
           accelerator.
Numbers:   by flags, for example --config.train.seeds=4
Time:      small: 35 minutes on two CPU cores while other work ran on them; alone they should take
           about half of that.
Expect:    no class prefers the high-degree member of an aliased pair. The share of the low-degree
           one is nearly a function of the degree alone: for the MLP from 1 at degree 0 to .6 at
           degree 4, for the Transformer to .75.
"""

from typing import Any

import ml_collections

from configs import canonical_holdout as base
from configs import sections

SIZES = ("small", "paper")
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {**base.MLP, "widths": (64, 64)},
    "transformer": {
        "width": 32,
        "depth": 2,
        "heads": 2,
        "head_width": 16,
        "feed_forward_width": 32,
    },
}
STEPS = {"mlp": 2000, "transformer": 400}  # every replica tried had fitted the seen half by then
# (model, bits, size) -> (symmetries, who stands for a class, classes (0: all), seeds), where it is
# not the first.
# An MLP's weights are drawn symmetrically, so each input may be negated; a Transformer's tokens
# share one embedding, so that none may while the frozen one stays.
FUNCTIONS = {
    (): ("each", "representative", 0, 16),
    ("transformer", "4", "small"): ("none", "representative", 0, 16),
    ("transformer", "5", "small"): ("each", "drawn", 24, 16),
    ("mlp", "4", "paper"): ("each", "representative", 0, 40),
    ("mlp", "5", "paper"): ("each", "representative", 0, 40),
    ("transformer", "4", "paper"): ("none", "representative", 0, 40),
    ("transformer", "5", "paper"): ("none", "representative", 0, 40),
}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model={model},bits={bits},size={size}" for model in MODELS for bits in (4, 5)]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of all classes, in one program; `arg` has the choices."""
    chosen = base.choose(arg, model=tuple(MODELS), bits=("4", "5"), size=("", *SIZES))
    model, bits, size = chosen["model"], chosen["bits"], chosen["size"]
    negations, member, sample, seeds = FUNCTIONS.get((model, bits, size or "small"), FUNCTIONS[()])
    config = ml_collections.ConfigDict(
        {
            "experiment": "atlas",
            "size": size,  # size of the reproduction it belongs to: paper, small, or none
            "task": {
                "name": "all_functions",
                "n": int(bits),  # bits, of which the last is frozen to +1 in training
            },
            "model": {"name": model, **MODELS[model]},
            "classes": {
                "negations": negations,  # each: seen halves up to permutation, negation of each
                # input, and the sign of the output; none: no input is negated
                "member": member,  # representative: of each class, one function; drawn: each seed
                # draws a function of the class
                "sample": sample,  # classes to draw, uniformly; 0: all
            },
            "train": sections.train(
                # replicas = classes x rates x init scales x seeds, trained in one program
                seeds=seeds,
                steps=STEPS[model],  # of full batches: the seen half, each point once
                learning_rates=(1e-3,),
            ),
            "evaluation": {"count": 3},  # about so many log-spaced steps, on the whole cube
            "checkpoint": sections.checkpoint(2),
        }
    )
    if chosen["tiny"]:
        config.task.n = 3
        config.classes.sample = 0
        config.train.update({"seeds": 2, "steps": 40, "learning_rates": (1e-2,)})
        config.model.update({**base.TINY_MODELS[model]})
    return config.lock()
