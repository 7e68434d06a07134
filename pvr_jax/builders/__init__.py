"""PVR data sets for other frameworks: builders for tensorflow_datasets, without TensorFlow.

Importing this registers "token_pvr" and "visual_pvr" with tensorflow_datasets. Their rows equal
those of the library bit for bit: split `train` of seed s is the training set of replicas with seed
s; `test_iid` and, if something is withheld, `test_withheld` are their test sets.

    import pvr_jax.builders
    import tensorflow_datasets as tfds

    train = tfds.data_source("token_pvr/mod_sum-m1-withheld1", split="train")
    unseen = tfds.data_source("visual_pvr", split="test_withheld")
    print(len(train), train[0]["x"], train[0]["y"], unseen[0]["x"].shape)

A data source is a random-access sequence of NumPy arrays, and so also a data set for PyTorch:
torch.utils.data.DataLoader(train, batch_size=256, shuffle=True, num_workers=2). Workers may be
forked or spawned, and threads may share it.

The first use writes the data set to `data_dir` (TFDS_DATA_DIR, or ~/tensorflow_datasets), in
seconds and without a network. To write it in advance or in another size, and to see how to read it
without pvr_jax and JAX:

    python -m pvr_jax.builders prepare token_pvr --config=mod_sum-m2-withheld3-train50000

The name of a configuration is aggregation, complexity and withheld permutations (token_pvr), or
withheld0 and withheld1 (visual_pvr; 1 is the positional holdout; -mnist for images of MNIST),
followed by what is not the default: -train50000, -test5000, -seed1.

Raises:
    ImportError: the extra tfds is missing; the message names the command.
"""

import importlib.util
import sys

for _package in ("tensorflow_datasets", "array_record", "importlib_resources"):
    if importlib.util.find_spec(_package) is None:
        _complaint = f"the package {_package} is missing; ./launch.sh setup tfds installs it"
        if sys.argv[:1] == ["-m"]:  # `python -m pvr_jax.builders` on its way to the command
            print(f"error: {_complaint}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(_complaint)

from pvr_jax.builders.token_pvr import TokenConfig, TokenPvr  # noqa: E402
from pvr_jax.builders.visual_pvr import VisualConfig, VisualPvr  # noqa: E402

__all__ = ["TokenConfig", "TokenPvr", "VisualConfig", "VisualPvr"]
