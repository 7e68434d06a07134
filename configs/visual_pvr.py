"""Pointer Value Retrieval on images: accuracy by training-set size and network, two test sets.

Paper:     Zhang, Raghu, Kleinberg, Bengio 2021, block style: a grid of 2 x 2 digit images, each
           shifted at random. The one at the top left points: 0 to 3 at the top right, 4 to 6 at the
           bottom left, 7 to 9 at the bottom right; the digit there is the label. The positional
           holdout never shows 1, 2, 3 top right, 4, 5, 6 bottom left, 7, 8, 9, 0 bottom right in
           training, and tests on grids with nothing else there.
Command:   ./launch.sh reproduce visual_pvr --size=small
           ./launch.sh run configs/visual_pvr.py:size=small,model=vit
Choices:   model=resnet|vgg|vit|picture_mixer|picture_mlp, form=block|strip (strip: eleven images,
           the token task in images), size=small|paper, source=digits|mnist, tiny.
           small: scikit-learn's 1,797 digits of 8 x 8 pixels, split before anything is composed,
           and networks for two CPU cores. A patch of ViT and Mixer is a whole digit there: with
           patches of 6 pixels the ViT is right on 31 % of inputs after 2,400 steps on a stream,
           with whole digits on 75 % (one seed each).
           paper: MNIST, which has to be prepared once (--config.task.data_dir says where it is),
           and networks of the paper's size; its training settings are not published, these are
           ours.
Time:      small: 24 minutes on two CPU cores.
Numbers:   by flags, for example --config.data.samples=1000,30000 --config.train.seeds=10
"""

import ml_collections

from configs import canonical_holdout as base
from configs import token_pvr

FORMS = ("block", "strip")
SOURCES = ("digits", "mnist")
MODELS = {
    "resnet": {
        "widths": (64, 128, 256, 512),
        "blocks": 2,
        "stem_size": 7,
        "stem_stride": 2,
        "stem_pool": True,
    },
    "vgg": {
        "widths": (64, 128, 256, 512, 512),
        "convolutions": (1, 1, 2, 2, 2),
        "head_widths": (4096, 4096),
    },
    "vit": {"patch": 8, **base.TRANSFORMER},
    "picture_mixer": {"patch": 8, **base.MIXER},
    "picture_mlp": {"widths": (512, 1024, 512, 64)},
}
SMALL_MODELS = {
    "resnet": {
        "widths": (16, 32, 64),
        "blocks": 1,
        "stem_size": 3,
        "stem_pool": False,
    },
    "vgg": {"widths": (8, 16, 32), "convolutions": (1, 1, 1), "head_widths": (128,)},
    "vit": {
        "patch": 12,
        "width": 64,
        "depth": 3,
        "heads": 4,
        "head_width": 16,
        "feed_forward_width": 128,
    },
    "picture_mixer": {"patch": 12, "width": 128, "depth": 2, "channel_width": 256},
    "picture_mlp": {"widths": (512, 256)},
}
# Of 1e-3 and 2e-3, what learns a stream faster: one seed, 1,200 to 3,000 steps.
SMALL_RATES = {
    "resnet": 2e-3,
    "vgg": 1e-3,
    "vit": 1e-3,
    "picture_mixer": 2e-3,
    "picture_mlp": 1e-3,
}
TINY_MODELS = {
    "resnet": {"widths": (4, 4)},
    "vgg": {"widths": (4, 4), "convolutions": (1, 1), "head_widths": (8,)},
    "vit": {
        "patch": 12,
        "width": 8,
        "depth": 1,
        "heads": 1,
        "head_width": 8,
        "feed_forward_width": 8,
    },
    "picture_mixer": {"patch": 12, "width": 8, "depth": 1, "channel_width": 8},
    "picture_mlp": {"widths": (8,)},
}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"model={model},size={size}" for model in MODELS]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of one network; `arg` holds the choices."""
    chosen = base.choose(
        arg, model=tuple(MODELS), form=FORMS, size=token_pvr.SIZES, source=("", *SOURCES)
    )
    model, size = chosen["model"], chosen["size"]
    small = size == "small"
    config = token_pvr.build("token_mlp", size)
    source = chosen["source"] or ("digits" if small else "mnist")
    config.task = {
        "name": "visual_pvr" if chosen["form"] == "block" else "picture_strip",
        "withheld": (0, 1) if chosen["form"] == "block" else (0,),  # 1: the positional holdout
        "source": source,  # digits: scikit-learn's; or mnist
        "data_dir": "",  # of mnist; nothing: TFDS_DATA_DIR, or ~/tensorflow_datasets
    }
    if chosen["form"] == "strip":
        config.task.update(
            {"aggregations": ("mod_sum",), "complexities": (0, 1), "boundary": "bounded"}
        )
    config.model = {"name": model, **MODELS[model], **(SMALL_MODELS[model] if small else {})}
    config.data.samples = (1000, 8000, 64_000) if small else (15_000, 60_000, 240_000)
    config.data.batch_size = 64 if small else 256
    config.train.update(
        {
            "steps": 3000 if small else 40_000,
            "learning_rates": (SMALL_RATES[model] if small else 3e-4,),
        }
    )
    config.evaluation.update(
        {"test_samples": 4096 if small else 20_000, "training_samples": 2048, "chunk": 512}
    )
    if chosen["tiny"]:
        config.model.update(TINY_MODELS[model])
    return token_pvr.finished(config, chosen["tiny"])
