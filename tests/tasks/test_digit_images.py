"""Digit images: real ones, split before anything is composed, and MNIST only where prepared."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pvr_jax.tasks import digit_images

# What a prepared MNIST looks like on disk, apart from its records.
KIND = "tensorflow_datasets.core.features."
FEATURES = {
    "pythonClassName": f"{KIND}features_dict.FeaturesDict",
    "featuresDict": {
        "features": {
            "image": {
                "pythonClassName": f"{KIND}image_feature.Image",
                "image": {"shape": {"dimensions": ["28", "28", "1"]}, "dtype": "uint8"},
            },
            "label": {
                "pythonClassName": f"{KIND}class_label_feature.ClassLabel",
                "classLabel": {"numClasses": "10"},
            },
        }
    },
}


def test_scikit_learns_digits():
    from sklearn.datasets import load_digits

    original = load_digits()
    train, test = digit_images.load()
    assert train.images.shape == (1260, 8, 8) and test.images.shape == (537, 8, 8)
    for split in (train, test):
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int32
        assert split.images.min() == 0 and split.images.max() == 1
        share = np.bincount(split.labels) / np.bincount(original.target)
        np.testing.assert_allclose(share, len(split.labels) / 1797, atol=0.01)

    # Every original is in exactly one of the two, with its label, and none is there twice.
    labels = {
        image.tobytes(): label for image, label in zip(*original_parts(original), strict=True)
    }
    seen = [bytes(image) for split in (train, test) for image in split.images]
    assert len(set(seen)) == len(seen) == len(labels) == 1797
    known = np.array([labels[image] for image in seen])
    assert np.array_equal(known, np.concatenate([train.labels, test.labels]))


def original_parts(original):
    return (original.images / 16).astype(np.float32), original.target


def test_the_split_is_fixed():
    """Of the images of a digit, in scikit-learn's order, every third, sixth and ninth of ten."""
    from sklearn.datasets import load_digits

    original = load_digits()
    threes = original_parts(original)[0][original.target == 3]
    test = digit_images.load().test
    of_test = [index for index in range(len(threes)) if index % 10 in (2, 5, 8)]
    assert np.array_equal(test.images[test.labels == 3], threes[of_test])


def test_the_arrays_are_shared_and_cannot_be_changed():
    train = digit_images.load().train
    assert digit_images.load("digits").train.images is train.images
    with pytest.raises(ValueError, match="read-only"):
        train.images[0, 0, 0] = 1


def test_unknown_source():
    with pytest.raises(ValueError, match=r"^source: given 'letters'; allowed digits, mnist$"):
        digit_images.load("letters")


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write_mnist(directory, splits, file_format="array_record"):
    """Write a stand-in as tensorflow_datasets does: {split: (uint8 [M, 28, 28], labels)}."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    directory.mkdir(parents=True)
    (directory / "features.json").write_text(json.dumps(FEATURES))
    records = []
    for name, (images, labels) in splits.items():
        path = directory / f"mnist-{name}.{file_format}-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for image, label in zip(images, labels, strict=True):
            features = {
                "image": {"bytes_list": {"value": [png(image)]}},
                "label": {"int64_list": {"value": [int(label)]}},
            }
            features = tf_feature_pb2.Features(feature=features)
            writer.write(tf_example_pb2.Example(features=features).SerializeToString())
        writer.close()
        records.append(
            {
                "name": name,
                "shardLengths": [str(len(labels))],
                "numBytes": str(path.stat().st_size),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    info = {
        "name": "mnist",
        "version": directory.name,
        "fileFormat": file_format,
        "moduleName": "tensorflow_datasets.image_classification.mnist",
        "splits": records,
    }
    (directory / "dataset_info.json").write_text(json.dumps(info))


def test_mnist_as_tensorflow_datasets_prepares_it(tmp_path):
    generator = np.random.default_rng(0)

    def some(count):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        return images, generator.integers(0, 10, count)

    splits = {"train": some(20), "test": some(7)}
    write_mnist(tmp_path / "mnist" / "3.0.1", splits)
    write_mnist(tmp_path / "mnist" / "3.0.10", {"train": some(2), "test": some(2)}, "tfrecord")
    write_mnist(tmp_path / "mnist" / "incomplete.F4_3.0.2", {"train": some(2), "test": some(2)})
    loaded = digit_images.load("mnist", str(tmp_path))
    for split, (images, labels) in zip(loaded, splits.values(), strict=True):
        assert np.array_equal(split.images, images.astype(np.float32) / np.float32(255))
        assert np.array_equal(split.labels, labels)
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int32
    assert "tensorflow" not in sys.modules


# Runs the call with every door to the network shut, and says what was imported.
COMPLAINT = """
import socket, sys
def shut(*arguments, **keywords):
    print("network")
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = shut
{before}
from pvr_jax.tasks import digit_images
try:
    digit_images.load("mnist")
except ValueError as error:
    print(error)
print(sorted({{"tensorflow", "tensorflow_datasets", "array_record", "sklearn"}} & set(sys.modules)))
"""
WITHOUT = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == {package!r} else find(name, *more)
"""


@pytest.mark.parametrize("package", [None, "tensorflow_datasets", "array_record"])
def test_mnist_that_is_not_there_is_one_line(package, tmp_path):
    before = WITHOUT.format(package=package) if package else ""
    done = subprocess.run(
        [sys.executable, "-c", COMPLAINT.format(before=before)],
        capture_output=True,
        text=True,
        env={**os.environ, "TFDS_DATA_DIR": str(tmp_path)},
        timeout=600,
        check=True,
    )
    complaint, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert complaint.startswith("source: given 'mnist'; allowed ")
    if package:
        assert f"the package {package}, which ./launch.sh setup tfds installs" in complaint
    else:
        assert "/pip install tensorflow tensorflow-datasets importlib_resources && " in complaint
        made = f"tfds.builder('mnist', file_format='array_record', data_dir='{tmp_path}')"
        assert f"{made}.download_and_prepare()" in complaint
    assert not list(tmp_path.iterdir())
