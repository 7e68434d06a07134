"""A run on an accelerator and the same run on a CPU agree within the stated tolerance."""

from pathlib import Path

import pandas as pd
import pytest

from pvr_jax.reporting.agreement import REPLICAS_FILE, agreement, compare_files

ROOT = Path(__file__).parents[2]
# What a GPU or a TPU looks like to a process of this machine.
DEVICES = ("dev/nvidia0", "dev/kfd", "dev/accel0", "dev/vfio/0")


@pytest.mark.gpu
@pytest.mark.skipif(
    not any((Path("/") / device).exists() for device in DEVICES),
    reason="needs an accelerator, and this machine has none",
)
def test_the_quickstart_on_an_accelerator_agrees_with_the_one_on_a_cpu(run, tmp_path):
    config = f"--config={ROOT / 'configs' / 'quickstart.py'}"
    tables = {}
    for platform in ("cpu", ""):  # "": whatever JAX finds first
        workdir = tmp_path / (platform or "accelerator")
        run(config, f"--workdir={workdir}", JAX_PLATFORMS=platform)
        tables[platform] = workdir / "canonical_holdout" / "report" / REPLICAS_FILE
    assert '"platform": "cpu"' not in record_of(tmp_path / "accelerator")
    found = agreement(pd.read_csv(tables[""]), pd.read_csv(tables["cpu"]))
    assert found.holds, compare_files(tables[""], tables["cpu"])


def record_of(workdir):
    (path,) = workdir.glob("*/*/run.json")
    return path.read_text(encoding="utf-8")
