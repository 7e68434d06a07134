"""Files of a run that were damaged since they were written: one line names them, no traceback."""

from pathlib import Path

import numpy as np
import pytest

from experiments import main
from experiments.canonical_holdout.experiment import EXPERIMENT
from pvr_jax.boolean import float64
from pvr_jax.frame import kept_outputs
from pvr_jax.outputs_file import Writer
from pvr_jax.training.run_log import RunError

CONFIGS = Path(__file__).parents[2] / "configs"


def garbled(path):
    content = bytearray(path.read_bytes())
    content[500] ^= 0x10  # among the numbers
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def directory_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garbled, cut, directory_instead])
def test_damaged_spectra_are_named(tmp_path, damage):
    values = np.random.default_rng(0).normal(size=(3, 64))
    with Writer(EXPERIMENT.kept, tmp_path, 3, {"target": values[0]}) as file:
        file.append(5, values)
        file.finish()
    spectra = float64.spectrum(values).astype(np.float32)
    np.testing.assert_array_equal(list(kept_outputs(EXPERIMENT, tmp_path)), spectra)
    damage(tmp_path / "spectra.npz")
    with pytest.raises(RunError, match=f"^damaged file {tmp_path}/spectra.npz: ") as error:
        list(kept_outputs(EXPERIMENT, tmp_path))
    assert str(error.value).endswith("analyse.done, and give the same command again")


@pytest.mark.slow
def test_an_unfinished_run_says_what_its_metrics_lost_and_goes_on(tmp_path, capsys):
    flags = ("--config.holdout.bits=4", "--config.train.execution=vmap", "--stage=train")
    command = ["main", f"--config={CONFIGS / 'quickstart.py'}:tiny", *flags]
    assert main.main([*command, f"--workdir={tmp_path}"]) == 0
    (directory,) = (path.parent for path in tmp_path.glob("*/*/train.done"))
    path = directory / "metrics.jsonl"
    before = path.read_text().splitlines()
    (directory / "train.done").unlink()  # as if it had been stopped just before its end
    path.write_text("\n".join([before[0][:99], *before[1:], ""]))
    capsys.readouterr()
    assert main.main([*command, f"--workdir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    assert f"warning: {path} is damaged: of {len(before) - 1} evaluations 1 are lost" in output
    assert len(path.read_text().splitlines()) == len(before) - 1
    (directory / "train.done").unlink()
    path.unlink()
    path.mkdir()
    assert main.main([*command, f"--workdir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} could not be read") and error.count("\n") == 1
