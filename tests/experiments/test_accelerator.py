"""A run on an accelerator and the same run on a CPU agree within the stated tolerance."""

from pathlib import Path

import pytest

from pvr_jax import results
from pvr_jax.results.agreement import agreement

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
    studies = {}
    for platform in ("cpu", ""):  # "": whatever JAX finds first
        workdir = tmp_path / (platform or "accelerator")
        run(config, f"--workdir={workdir}", JAX_PLATFORMS=platform)
        studies[platform] = results.open(workdir)
    assert '"platform": "cpu"' not in record_of(tmp_path / "accelerator")
    found = agreement(studies[""], studies["cpu"])
    assert found.holds, str(found)


def record_of(workdir):
    (path,) = workdir.glob("*/*/run.json")
    return path.read_text(encoding="utf-8")
