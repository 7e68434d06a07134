"""spectra.npz written piece by piece is what NumPy reads, and appears whole or not at all."""

import zipfile

import jax
import numpy as np
import pytest

from pvr_jax.outputs_file import OutputsFile, Writer
from pvr_jax.training.environment import arithmetic

SPECTRA = OutputsFile("spectra.npz", "coefficients")


def test_pieces_are_read_back_as_one_array(tmp_path):
    spectra = np.random.default_rng(0).standard_normal((2, 3, 2**4))
    beside = {"target": np.arange(16.0), "bit": np.array([1, 1, 7])}
    with Writer(SPECTRA, tmp_path, 3, beside) as file:
        for step, of_step in zip((0, 30), spectra, strict=True):
            file.append(step, of_step[:2])
            file.append(step, of_step[2:].T.copy().T)  # an order in memory that is not C's
        assert not (tmp_path / "spectra.npz").exists()
        file.finish()
    with np.load(tmp_path / "spectra.npz", allow_pickle=False) as read:
        assert set(read.files) == {"step", "coefficients", "target", "bit"}
        np.testing.assert_array_equal(read["step"], [0, 30])
        assert read["coefficients"].dtype == np.float32
        np.testing.assert_array_equal(read["coefficients"], spectra.astype(np.float32))
        np.testing.assert_array_equal(read["target"], np.arange(16.0))
    assert [path.name for path in tmp_path.iterdir()] == ["spectra.npz"]


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])  # the second is of earlier versions
def test_the_last_spectra_of_either_format_are_read_one_by_one(tmp_path, version):
    spectra = np.random.default_rng(0).standard_normal((2, 3, 2**4)).astype(np.float32)
    with (
        zipfile.ZipFile(tmp_path / "spectra.npz", "w") as archive,
        archive.open("coefficients.npy", "w") as member,
    ):
        np.lib.format.write_array(member, spectra, version)
    read = list(SPECTRA.read_last(tmp_path))
    assert [each.dtype for each in read] == [np.float64] * 3
    np.testing.assert_array_equal(read, spectra[-1])


def test_what_fails_leaves_no_file(tmp_path):
    with (
        pytest.raises(RuntimeError, match="damaged"),
        Writer(SPECTRA, tmp_path, 1, {}) as file,
    ):
        file.append(0, np.zeros((1, 16)))
        raise RuntimeError("damaged")
    assert list(tmp_path.iterdir()) == []


def test_float64_lasts_as_long_as_its_run():
    for dtype in ("float32", "float64"):
        with arithmetic(dtype):
            assert jax.numpy.zeros(1, dtype).dtype == dtype
            assert jax.config.jax_enable_x64 == (dtype == "float64")
        assert not jax.config.jax_enable_x64
    with pytest.raises(RuntimeError), arithmetic("float64"):
        raise RuntimeError
    assert not jax.config.jax_enable_x64
