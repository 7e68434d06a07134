"""Images of handwritten digits, split into training and test images.

"digits" are the 1,797 digits of 8 x 8 pixels in scikit-learn. "mnist" are 70,000 of 28 x 28 pixels,
read by tensorflow_datasets from a prepared directory; nothing is downloaded, and reading does not
need TensorFlow.
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
    """Gray images [M, h, w], float32 in 0 to 1, and their digits, int32[M]."""

    images: np.ndarray
    labels: np.ndarray


class DigitImages(NamedTuple):
    """The two splits of a source; no image is in both."""

    train: LabeledImages
    test: LabeledImages


def load(source: str = "digits", data_dir: str | None = None) -> DigitImages:
    """Return the images of a source; arrays are shared between calls and read-only.

    Args:
        source: "digits" is split 70 % to 30 % per digit: of every ten images of a digit, in the
            order of scikit-learn's file, the third, sixth and ninth are for tests. "mnist" has its
            published split, 60,000 to 10,000.
        data_dir: directory of tensorflow_datasets, for "mnist"; None: TFDS_DATA_DIR, or
            ~/tensorflow_datasets.

    Raises:
        Refusal: another source, or "mnist" is not prepared or a package that reads it is missing;
            the message says how to fix that.
    """
    source = checks.one_of(*SOURCES).check("source", source)
    if source == "digits":
        return _scikit_learn_digits()
    return _mnist(on_disk.mnist(data_dir))


@functools.cache
def _scikit_learn_digits() -> DigitImages:
    from sklearn.datasets import load_digits  # takes a second; other tasks do not need it

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

    # From its directory alone, so that nothing is downloaded. Images are decoded here, since
    # tensorflow_datasets takes ten times as long.
    undecoded = {"image": tfds.decode.SkipDecoding()}
    splits = tfds.builder_from_directory(str(directory)).as_data_source(decoders=undecoded)
    return DigitImages(_read(splits["train"]), _read(splits["test"]))


def _read(source: Any) -> LabeledImages:
    """Return all images of a split of {"image": bytes of a PNG [h, w], "label"}."""
    records = source.__getitems__(range(len(source)))
    images = [np.asarray(Image.open(io.BytesIO(record["image"]))) for record in records]
    labels = np.asarray([record["label"] for record in records], np.int32)
    return _frozen(np.stack(images).astype(np.float32) / np.float32(255), labels)


def _frozen(images: np.ndarray, labels: np.ndarray) -> LabeledImages:
    images.flags.writeable = labels.flags.writeable = False
    return LabeledImages(images, labels)
