"""The result contract: what a dataset is, on disk and back, and what is refused."""

import math

import numpy as np
import pytest
import toy_study
import xarray as xr

from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure
from pvr_jax.results.contract import MEASURES_FILE


def test_dimensions_coordinates_and_attributes():
    found = toy_study.run()
    assert found["generalization_error"].dims == ("step", "replica")
    assert found["degree_profile"].dims == ("step", "replica", "degree")
    assert found["influence"].dims == ("replica",) and found["constant_error"].dims == ()
    assert found["frozen_bit"].dims == ("replica",)
    assert found["degree_profile"].coords["degree"].values.tolist() == [0, 1]
    assert found["accuracy"].attrs["bounds"] == "0,1"
    assert results.check(found) == []


def test_a_diverged_replica_has_no_measures_from_there_on():
    found = toy_study.run(diverged={(0, 2)})
    lost = found.isel(replica=2)
    assert np.isfinite(lost["generalization_error"][0])
    assert np.isnan(lost["generalization_error"][1:]).all()
    assert np.isnan(lost["degree_profile"][1:]).all()
    assert lost["influence"] == 0.25, "a fact about the target stays"


def test_a_file_holds_what_was_written(tmp_path):
    found = toy_study.run(diverged={(1, 0)})
    results.write(tmp_path / MEASURES_FILE, found)
    xr.testing.assert_identical(results.read(tmp_path / MEASURES_FILE), found)
    assert [path.name for path in tmp_path.iterdir()] == [MEASURES_FILE]


@pytest.mark.parametrize(
    ("bounds", "scale"),
    [
        ((-math.inf, math.inf), "real"),
        ((0, math.inf), "positive"),
        ((0, 1), "unit"),
        ((-1, 1), "signed"),
        ((-2, 2), "real"),
    ],
)
def test_bounds_decide_the_scale_of_intervals(bounds, scale):
    measure = Measure("m", "d", bounds=bounds, dims=("degree",))
    assert measure.scale == scale
    variable = xr.DataArray(np.zeros((2, 3)), dims=("replica", "degree"), attrs=measure.attributes)
    assert Measure.of(variable) == measure


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.drop_attrs().assign_attrs(schema="x"), "attribute experiment: missing"),
        (lambda d: d.drop_vars("seed"), "coordinate seed: missing"),
        (lambda d: d.transpose("replica", "step", ...), "expected step, replica"),
        (lambda d: d.drop_vars("degree"), "dimension degree has no coordinate"),
        (lambda d: d.rename(accuracy="<accuracy>"), "'<accuracy>': not a name in netCDF"),
        (lambda d: d.assign(bare=d["accuracy"].drop_attrs()), "bare: no description"),
    ],
)
def test_what_breaks_the_contract_is_named_and_not_written(tmp_path, change, complaint):
    broken = change(toy_study.run())
    assert any(complaint in line for line in results.check(broken))
    with pytest.raises(TypeError, match=complaint):
        results.write(tmp_path / "x.nc", broken)
    assert not list(tmp_path.iterdir())


def damaged(tmp_path, content):
    path = tmp_path / "w" / "toy" / "run" / MEASURES_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("part", ["nothing", "text", "half"])
def test_a_damaged_file_is_named_in_one_line(tmp_path, part):
    results.write(tmp_path / "whole.nc", toy_study.run())
    whole = (tmp_path / "whole.nc").read_bytes()
    content = {"nothing": b"", "text": b"{}", "half": whole[: len(whole) // 2]}[part]
    path = damaged(tmp_path, content)
    with pytest.raises(Refusal, match="damaged file") as caught:
        results.open(path.parent)
    message = str(caught.value)
    assert str(path) in message and "--stage=analyse" in message and "\n" not in message
    # What the library says, not the system: its numbers are no system's.
    assert "NetCDF: " in message and "Unknown error" not in message
