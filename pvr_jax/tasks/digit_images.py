"""Images of handwritten digits, those for training apart from those for tests.

"digits" are the 1,797 real digits of 8 x 8 pixels that scikit-learn brings along. "mnist" are
70,000 of 28 x 28 pixels, read with tensorflow_datasets from where they have been prepared; nothing
is ever downloaded, and TensorFlow is not needed to read them.
"""

import functools
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pvr_jax import checks, on_disk

# Source -> height and width of its images, in pixels.
SIZES = {"digits": 8, "mnist": 28}
SOURCES = tuple(SIZES)
TEST_PLACES = (2, 5, 8)


class LabeledImages(NamedTuple):
    """Gray images [M, h, w], float32 in 0 to 1, and which digits they show, int32[M]."""

    images: np.ndarray
    labels: np.ndarray


class DigitImages(NamedTuple):
    """The two splits of a source; no image is in both."""

    train: LabeledImages
    test: LabeledImages


def load(source: str = "digits", data_dir: str | None = None) -> DigitImages:
    """Return the images of a source; the arrays are shared between calls and read-only.

    Args:
        source: "digits" splits 70 % to 30 %, digit by digit: of every ten images of one digit, in
            the order of scikit-learn's file, the third, sixth and ninth are for tests. "mnist" has
            the split that it is published with, 60,000 to 10,000.
        data_dir: where tensorflow_datasets keeps "mnist"; None: TFDS_DATA_DIR, or
            ~/tensorflow_datasets. It plays no part in "digits".

    Raises ValueError for another source, and for "mnist" where it is not prepared or where the
    packages that read it are not installed; the line says how to mend that.
    """
    source = checks.one_of(*SOURCES).check("source", source)
    if source == "digits":
        return _scikit_learn_digits()
    return _mnist(on_disk.mnist(data_dir))


@functools.cache
def _scikit_learn_digits() -> DigitImages:
    from sklearn.datasets import load_digits  # takes a second, which other tasks need not wait

    digits = load_digits()
    labels = digits.target.astype(np.int32)
    place_in_class = np.zeros(len(labels), np.int64)
    for digit in range(10):
        here = labels == digit
        place_in_class[here] = np.arange(here.sum())
    is_test = np.isin(place_in_class % 10, TEST_PLACES)
    images = (digits.images / 16).astype(np.float32)
    return DigitImages(
        _frozen(images[~is_test], labels[~is_test]), _frozen(images[is_test], labels[is_test])
    )


@functools.cache
def _mnist(directory: Path) -> DigitImages:
    """Read MNIST from the directory of its version."""
    import tensorflow_datasets as tfds

    # From its directory alone: what is not prepared can then not be asked for. The images are
    # decoded here, as tensorflow_datasets takes ten times as long.
    undecoded = {"image": tfds.decode.SkipDecoding()}
    splits = tfds.builder_from_directory(str(directory)).as_data_source(decoders=undecoded)
    return DigitImages(_read(splits["train"]), _read(splits["test"]))


def _read(source: Any) -> LabeledImages:
    """Return all of a split of {"image": the bytes of a PNG [h, w], "label"}."""
    records = source.__getitems__(range(len(source)))
    images = [np.asarray(Image.open(io.BytesIO(record["image"]))) for record in records]
    labels = np.asarray([record["label"] for record in records], np.int32)
    return _frozen(np.stack(images).astype(np.float32) / np.float32(255), labels)


def _frozen(images: np.ndarray, labels: np.ndarray) -> LabeledImages:
    images.flags.writeable = labels.flags.writeable = False
    return LabeledImages(images, labels)
