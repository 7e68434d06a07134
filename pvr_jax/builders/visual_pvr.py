"""Visual PVR for tensorflow_datasets."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from pvr_jax import checks
from pvr_jax.builders.drawn import DrawnBuilder, DrawnConfig
from pvr_jax.tasks import classification, digit_images, visual_pvr
from pvr_jax.tasks.classification import Classification


@dataclasses.dataclass(kw_only=True)
class VisualConfig(DrawnConfig):
    """Visual PVR in block style; withheld 1 is the positional holdout.

    source "mnist" needs MNIST prepared in the same data_dir, see
    `pvr_jax.tasks.digit_images.load`.
    """

    withheld: int = 1
    source: str = "digits"

    SUBTASK = r"withheld(?P<withheld>\d+)(-(?P<source>mnist))?"
    EXAMPLE = "withheld1"

    def subtask_name(self) -> str:
        """Return a name such as "withheld1"; scikit-learn's digits are the default."""
        checks.one_of(0, 1).check("withheld", self.withheld)
        source = checks.one_of(*digit_images.SOURCES).check("source", self.source)
        return f"withheld{self.withheld}" + (f"-{source}" if source != "digits" else "")

    def task(self, data_dir: str | None = None) -> Classification:
        """Return the task with this one subtask; `data_dir` has MNIST."""
        return classification.make(
            "visual_pvr", withheld=(self.withheld,), source=self.source, data_dir=data_dir
        )


class VisualPvr(DrawnBuilder):
    """Pointer Value Retrieval on images of handwritten digits.

    x: a grid of two by two digits. y: the digit that the one at the top left selects: 0 to 3 the
    top right, 4 to 6 the bottom left, 7 to 9 the bottom right. With the positional holdout,
    training never shows 1, 2, 3 top right, 4, 5, 6 bottom left and 7, 8, 9, 0 bottom right;
    test_withheld shows only these there. Training and test images are disjoint.
    """

    name = "visual_pvr"
    CONFIG = VisualConfig
    BUILDER_CONFIGS = [VisualConfig(withheld=0), VisualConfig(withheld=1)]  # noqa: RUF012
    DEFAULT_BUILDER_CONFIG_NAME = VisualConfig.EXAMPLE
    SOURCE = "Zhang, Raghu, Kleinberg and Bengio 2021, Pointer Value Retrieval, arXiv 2107.12580"

    def inputs(self) -> tfds.features.Tensor:
        """Return the feature of the inputs: float32 [24, 24] of "digits", [80, 80] of "mnist"."""
        side = 2 * visual_pvr.cell_size(digit_images.SIZES[self.builder_config.source])
        # Compressed, as most of an image is black.
        encoding = tfds.features.Encoding.ZLIB
        return tfds.features.Tensor(shape=(side, side), dtype=np.float32, encoding=encoding)
