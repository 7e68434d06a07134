"""Pointer Value Retrieval with windows withheld: i.i.d. against adversarial accuracy.

Paper:     Zhang, Raghu, Kleinberg, Bengio 2021. Holdout-i: the first i permutations of 0 .. m, in
           lexicographic order, are in no window of training; a training sample with one of them has
           1 added modulo 10 to all its values. The adversarial test set has those windows alone. A
           network that has learned the rule does not notice.
Command:   ./launch.sh reproduce token_holdout --size=small
           ./launch.sh run configs/token_holdout.py:size=small,complexity=1
Choices:   model=token_mlp|token_transformer|token_mixer, complexity=1|2, size=small|paper,
           samples=N (of the training set; 100000), tiny.
           small: m = 1 with all three networks, m = 2 with the MLP alone.
Time:      small: 26 minutes on two CPU cores.
Expect:    with m = 1 and one permutation, (0, 1), 1.00 % of all inputs are withheld; with two 2 %;
           with m = 2, i permutations are i/10 %. All withheld windows have the same label.
"""

import ml_collections

from configs import canonical_holdout as base
from configs import token_pvr

COMPLEXITIES = ("1", "2")
WITHHELD = {1: (0, 1, 2), 2: (0, 1, 2, 3, 4, 5, 6)}
# The sum of three digits is hard to learn from 10^5 samples; the others are not.
AGGREGATIONS = {1: ("mod_sum",), 2: ("mod_sum", "max", "median")}
SAMPLES = 100_000


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [
        f"model={model},complexity={complexity},size={size}"
        for complexity in COMPLEXITIES
        for model in token_pvr.MODELS
        if size == "paper" or complexity == "1" or model == "token_mlp"
    ]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network and complexity; `arg` holds the choices."""
    chosen = base.choose(
        arg,
        model=tuple(token_pvr.MODELS),
        complexity=COMPLEXITIES,
        size=token_pvr.SIZES,
        samples=None,
    )
    complexity = int(chosen["complexity"])
    config = token_pvr.build(chosen["model"], chosen["size"])
    config.task.update(
        {
            "aggregations": AGGREGATIONS[complexity],
            "complexities": (complexity,),
            "withheld": WITHHELD[complexity],
        }
    )
    config.data.samples = (token_pvr.sample_count(chosen.get("samples", str(SAMPLES))),)
    if chosen["size"] == "paper":
        token_pvr.with_authors_training(config)
    else:
        # 2,000 steps leave the sum of two digits at four fifths of the i.i.d. test inputs.
        config.train.steps = 3000
        config.train.seeds = 3
        if complexity == 1:
            config.train.seeds = 10 if chosen["model"] == "token_mlp" else 4
    if chosen["tiny"]:
        config.task.withheld = (0, 2)
    return token_pvr.finished(config, chosen["tiny"])
