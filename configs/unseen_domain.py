"""Generalization on the unseen: five tasks, four kinds of networks, the min-degree interpolator.

Paper:     Abbe, Bengio, Lotfi, Rizk 2023, "Generalization on the Unseen, Logic Reasoning and Degree
           Curriculum"; tasks and settings of the authors' code. Training shows part of the cube,
           all inputs of it in shuffled batches; the low-degree bias predicts the min-degree
           interpolator (MDI) on the rest.
Command:   ./launch.sh reproduce unseen_domain --size=small
           ./launch.sh run configs/unseen_domain.py:setting=2parity,model=mlp,size=small
Choices:   setting=2parity|threesym|cyclic3|maj3|maj3dim40|2parity40|rfexample|user, model=mlp|
           transformer|random_features|mean_field, kind=relu|polynomial and trained=no|yes (of
           random features), size=small|paper, tiny; task=NAME, a registered task or your own
           my_module:my_function, implies setting=user.
Yours:     setting=user: --config.task.expression="x0*x1*x2" --config.task.n=10, and the seen set
           by --config.holdout.condition="x0 = 1 or x1*x2 = -1"; or another kind of seen set,
           holdout=parity|subcube|hamming_ball|random after the colon, or your own predicate,
           holdout=my_module:my_function (x[..., n] -> bool[...], with jax.numpy).
           Two bits frozen at once, x0 = x3 = 1, are a subcube:
           ./launch.sh run configs/unseen_domain.py:setting=user,task=pvr,holdout=subcube \
             --config.holdout.coordinates=0,3 --config.holdout.values=1,1
Readings:  the authors' setting maj3dim40freeze2 has 15 coordinates in their code and 40 in its
           name: maj3 is the code, maj3dim40 the name. Their "random" features are trained, as the
           attribute that should freeze them is misspelt: trained=yes is the code, trained=no the
           paper. The comment on threesym has coefficients 1, 1, 1; here as in code and paper.
Sizes:     paper: 10 seeds (1 to 10) and the networks, rates and epochs of the authors' scripts.
           small: 3 seeds; the authors' random features; their MLP for fewer epochs (SMALL_EPOCHS);
           8,192 units for the mean-field network, with the learning rate that belongs to them; a
           Transformer of 2 layers and width 64 with Adam at 5e-4.
Expect:    MDI of 2parity: x0 + x1 - 1, half squared unseen error 8; threesym: x2 - 1.25 x0 +
           1.5 x1, 9.625; cyclic3: x0x1x2 becomes 1 - x0 - x1 - x2 + x0x1 + x0x2 + x1x2, 32; maj3:
           (x0 + x1)/2 + x2 - x2(x0 + x1)/2, 2; rfexample: x1x2 + x3x4x5, 4. (The authors print
           full squares.)
"""

from typing import Any

import ml_collections

from configs import canonical_holdout as base
from configs import sections

EITHER = {"name": "where", "condition": "x0 = 1 or x1 = 1"}
MAJORITY = "0.5*x0 + 0.5*x1 + 0.5*x2 - 0.5*x0*x1*x2"  # sign(x0 + x1 + x2)
CYCLIC = " + ".join(f"x{i}*x{(i + 1) % 15}*x{(i + 2) % 15}" for i in range(15))

# Setting -> (n, target, seen set, coordinates that both depend on if not all).
SETTINGS: dict[str, tuple[int, str, dict[str, Any], int]] = {
    "2parity": (15, "x0*x1", EITHER, 0),
    "threesym": (
        15,
        "x0*x1 - 1.25*x1*x2 + 1.5*x2*x0",
        {"name": "parity", "coordinates": (0, 1, 2), "value": 1},
        0,
    ),
    "cyclic3": (
        15,
        CYCLIC,
        {"name": "where", "condition": "x0 = 1 or x1 = 1 or x2 = 1"},
        0,
    ),
    "maj3": (15, MAJORITY, EITHER, 0),
    "maj3dim40": (40, MAJORITY, EITHER, 3),
    "2parity40": (40, "x0*x1", EITHER, 2),
    "rfexample": (
        18,
        "x0*x1*x2 + x0*x3*x4*x5",
        {"name": "subcube", "coordinates": (0,), "values": (1,)},
        0,
    ),
    "user": (10, "x0*x1", EITHER, 0),
}
MODELS = ("mlp", "transformer", "random_features", "mean_field")

# (learning rate, epochs, batch size) of the authors' scripts; plain SGD, but Adam with an L2 term
# of 1e-3 for the Transformer.
TRAINING: dict[tuple[str, str], tuple[float, int, int]] = {
    ("threesym", "mlp"): (3e-3, 40, 64),
    ("threesym", "transformer"): (2e-5, 40, 256),
    ("threesym", "random_features"): (1e-5, 40, 256),
    ("threesym", "mean_field"): (1e3, 40, 64),
    ("2parity", "mlp"): (3e-3, 50, 64),
    ("2parity", "transformer"): (1e-5, 20, 256),
    ("2parity", "random_features"): (1e-5, 40, 256),
    ("2parity", "mean_field"): (1e3, 50, 64),
    ("cyclic3", "mlp"): (3e-3, 100, 64),
    ("cyclic3", "transformer"): (2e-5, 80, 256),
    ("cyclic3", "random_features"): (3e-4, 50, 256),
    ("cyclic3", "mean_field"): (1e3, 100, 64),
    ("maj3", "mlp"): (3e-3, 40, 64),
    ("maj3", "transformer"): (1e-5, 30, 256),
    ("maj3", "random_features"): (1e-4, 80, 256),
    ("maj3", "mean_field"): (1e3, 40, 64),
    ("2parity40", "mlp"): (3e-3, 50, 64),
    ("2parity40", "transformer"): (1e-5, 20, 256),
    ("2parity40", "random_features"): (1e-5, 100, 256),
    ("2parity40", "mean_field"): (1e3, 50, 64),
    ("rfexample", "random_features"): (3e-4, 100, 256),
}
LIKE = {"maj3dim40": "maj3", "user": "2parity", "rfexample": "threesym"}
MEAN_FIELD_WIDTH = 65_536
SMALL_WIDTH = 8_192
SMALL_RATE = 5e-4  # of the small Transformer
# Where networks have fitted and change little any more; the others have the authors' epochs.
SMALL_EPOCHS: dict[tuple[str, str], int] = {
    ("2parity", "mlp"): 12,
    ("threesym", "mlp"): 15,
    ("cyclic3", "mlp"): 20,
    ("maj3", "mlp"): 12,
    ("2parity40", "mlp"): 10,
    ("2parity", "transformer"): 5,
    ("threesym", "transformer"): 6,
    ("cyclic3", "transformer"): 12,
    ("maj3", "transformer"): 6,
    ("2parity", "mean_field"): 20,
    ("threesym", "mean_field"): 20,
    ("cyclic3", "mean_field"): 30,
    ("maj3", "mean_field"): 20,
}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    cells = [
        (setting, model)
        for setting in ("2parity", "threesym", "cyclic3", "maj3")
        for model in MODELS
    ]
    cells += [(setting, "mlp") for setting in ("2parity40", "maj3dim40")]
    chosen = [f"setting={setting},model={model}" for setting, model in cells]
    # Both readings of the published random features.
    chosen += [f"{choice},trained=yes" for choice in chosen if "random_features" in choice]
    return [f"{choice},size={size}" for choice in chosen]


def learning(setting: str, model: str, size: str) -> tuple[float, int, int]:
    """Return learning rate, epochs and batch size."""
    key = (setting, model)
    if key not in TRAINING:
        key = (LIKE.get(setting, setting), model)
    rate, epochs, batch_size = TRAINING[key]
    if size == "small":
        epochs = SMALL_EPOCHS.get(key, epochs)
        if model == "transformer":
            rate = SMALL_RATE
        if model == "mean_field":
            rate *= SMALL_WIDTH / MEAN_FIELD_WIDTH
    return rate, epochs, batch_size


def model_parameters(model: str, size: str, kind: str, trained: bool) -> dict[str, Any]:
    """Return the parameters of a network, with its name."""
    parameters = {"name": model, **base.MODELS[model]}
    if model == "random_features":
        parameters.update({"kind": kind, "trainable": trained})
    if size == "small":
        parameters.update(base.SMALL_MODELS.get(model, {}))
        if model == "mean_field":
            parameters["width"] = SMALL_WIDTH
    return parameters


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration; `arg` is what follows the colon on the command line."""
    chosen = base.choose(
        arg,
        setting=tuple(SETTINGS),
        model=MODELS,
        task=None,
        holdout=None,
        kind=("relu", "polynomial"),
        trained=("no", "yes"),
        size=("", *base.SIZES),
    )
    setting, model, size = chosen["setting"], chosen["model"], chosen["size"]
    if "task" in chosen and "setting=" not in arg:
        setting = "user"
    n, expression, holdout, relevant = SETTINGS[setting]
    task = {"name": "polynomial", "n": n, "expression": expression}
    if "task" in chosen:
        if setting != "user":
            raise ValueError(
                f"task after the colon: given {chosen['task']!r} with setting={setting}; allowed "
                "with setting=user alone"
            )
        task = {"name": chosen["task"], **base.TASKS.get(chosen["task"], base.USER_TASK)[0]}
        n = task.get("n", n)
    rate, epochs, batch_size = learning(setting, model, size)
    sampled = n > 20
    config = ml_collections.ConfigDict(
        {
            "experiment": "unseen_domain",
            "size": size,  # size of the reproduction it belongs to: paper, small, or none
            "setting": "" if setting == "user" else setting,  # the published name of task and
            # holdout; none if a flag changes them
            "task": task,
            "model": model_parameters(model, size, chosen["kind"], chosen["trained"] == "yes"),
            "holdout": seen_set(chosen.get("holdout"), n, holdout),
            "data": sections.data(
                source="sampled" if sampled else "whole",  # whole: every seen input once an
                # epoch; sampled: drawn once, with replacement; fresh: new draws at every step;
                # rows: those of data.file
                samples=2**15,  # not for source=whole and rows
                batch_size=batch_size,
                order="shuffled",  # or fixed
            ),
            "train": sections.train(
                # replicas = learning rates x init scales x seeds, trained in one program
                seeds=10 if size == "paper" else 3,
                first_seed=1,
                epochs=epochs,
                optimizer="adam" if model == "transformer" else "sgd",
                learning_rates=(rate,),
                momentum=0.0,
                weight_decay=1e-3 if model == "transformer" else 0.0,
            ),
            "evaluation": {
                "every_epochs": max(1, epochs // (4 if size == "small" else 10)),
                "monomials": 16,  # number of monomials whose coefficients are tracked
                "relevant": relevant,  # number of first coordinates that matter to functions of
                # your own; 0: those that expression and condition name, else all
                "points": "auto",  # enumerated: on all 2^n inputs; sampled: at random ones; auto:
                # sampled if n is above 20
                "samples": 2**15,  # number of random test points
                "chunk": 512 if model == "mean_field" else 4096,  # points evaluated at once
            },
            "checkpoint": sections.checkpoint(7 if size == "small" else 11),
        }
    )
    return finished(config, chosen["tiny"])


def seen_set(name: str | None, n: int, published: dict[str, Any]) -> dict[str, Any]:
    """Return the seen set of the setting, or one of another kind with numbers to be changed."""
    kinds = {
        "everything": {},
        "where": {"condition": "x0 = 1 or x1 = 1"},
        "parity": {"coordinates": (0, 1), "value": 1},
        "subcube": {"coordinates": (0,), "values": (1,)},
        "hamming_ball": {"radius": n // 2},
        "random": {"fraction": 0.5, "seed": 0},
    }
    if name is None:
        return dict(published)
    if name not in kinds and ":" not in name:
        allowed = ", ".join(kinds)
        raise ValueError(
            f"holdout after the colon: given {name!r}; allowed {allowed}, or your own "
            "module:function"
        )
    return {"name": name, **kinds.get(name, {})}


def finished(config: ml_collections.ConfigDict, tiny: bool) -> ml_collections.ConfigDict:
    """Return the configuration, locked; shrunk to seconds if it is to be tiny."""
    if tiny:
        if config.task.get("n", 21) <= 20:
            config.task.n = 6
            if config.setting == "cyclic3":
                config.task.expression = CYCLIC[: CYCLIC.index(" + x4")]
        config.data.samples = 200
        config.train.update({"seeds": 2, "epochs": 3})
        config.evaluation.update({"every_epochs": 1, "samples": 256})
        config.checkpoint.count = 3
        config.model.update(base.TINY_MODELS.get(config.model.name, {}))
    return config.lock()
