"""Write a data set to disk: python -m pvr_jax.builders prepare token_pvr --config=NAME."""

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence

import tensorflow_datasets as tfds
from absl import logging

from pvr_jax import on_disk
from pvr_jax.builders import TokenPvr, VisualPvr
from pvr_jax.refusal import Refusal

BUILDERS = {builder.name: builder for builder in (TokenPvr, VisualPvr)}

READING = """{name}: {sizes}
{directory}

To read it, with tensorflow_datasets and array_record alone:

  import tensorflow_datasets as tfds
  source = tfds.builder_from_directory("{directory}").as_data_source(split="train")
  source[0]["x"], source[0]["y"]                             # a NumPy array, an int
  torch.utils.data.DataLoader(source, batch_size=256, shuffle=True)  # PyTorch

Workers that read it so have to be spawned: multiprocessing_context="spawn". Where pvr_jax is
installed, they may be forked, too: import pvr_jax.builders, tfds.data_source("{name}").
"""


def main(arguments: Sequence[str]) -> int:
    """Prepare a data set and print its directory; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pvr_jax.builders")
    prepare = parser.add_subparsers(required=True).add_parser(
        "prepare", help="write a data set to disk, without network and without TensorFlow"
    )
    prepare.add_argument("dataset", choices=sorted(BUILDERS))
    prepare.add_argument("--config", help="its name, such as mod_sum-m1-withheld1-train50000")
    prepare.add_argument("--data_dir", help="TFDS_DATA_DIR or ~/tensorflow_datasets if not given")
    given = parser.parse_args(arguments)
    tfds.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        if given.data_dir is not None:
            given.data_dir = on_disk.directory_for_results("--data_dir", given.data_dir)
        builder = BUILDERS[given.dataset](config=given.config, data_dir=given.data_dir)
        with contextlib.redirect_stdout(io.StringIO()):  # it claims to download
            builder.download_and_prepare()
    except Refusal as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes = [f"{split} {info.num_examples}" for split, info in builder.info.splits.items()]
    name = f"{builder.name}/{builder.builder_config.name}"
    print(READING.format(name=name, sizes=", ".join(sizes), directory=builder.data_dir), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
