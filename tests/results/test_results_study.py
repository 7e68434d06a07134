"""Studies: one table of replicas, curves, arrays, and the labels that tell runs apart."""

import numpy as np
import pandas as pd
import pytest
import toy_study
import xarray as xr

from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.results.contract import MEASURES_FILE, PREDICTIONS_FILE, Measure
from pvr_jax.results.study import STUDY_FILE, write_study


def test_final_has_a_row_per_replica():
    final = toy_study.study(toy_study.run(), toy_study.run("parity-mixer-2", "mixer")).final()
    assert len(final) == 20 and final["model"].tolist() == ["mlp"] * 10 + ["mixer"] * 10
    row = final.query("model == 'mlp' and frozen_bit == 1 and seed == 3").iloc[0]
    assert row["generalization_error"] == pytest.approx(0.5 * 1.06)
    assert (row["influence"], row["constant_error"], row["step"]) == (0.5, 0.5, 100)
    assert "degree_profile" not in final


def test_curves_have_a_row_per_step_and_own_dimension():
    study = toy_study.study()
    curve = study.curve("degree_profile")
    assert len(curve) == 3 * 10 * 2 and {"step", "seed", "degree", "frozen_bit"} <= {*curve}
    one = curve.query("step == 100 and seed == 0 and frozen_bit == 0").set_index("degree")
    assert one["degree_profile"].tolist() == [0.875, 0.125]
    with pytest.raises(Refusal, match="given loss; allowed accuracy, "):
        study.curve("loss")


def test_an_array_joins_runs_along_replicas():
    found = toy_study.study(toy_study.run(), toy_study.run("b", "mixer")).array("degree_profile")
    assert found.dims == ("step", "replica", "degree") and found.sizes["replica"] == 20
    assert found["run"].values[[0, -1]].tolist() == ["parity-mlp-00000001", "b"]


def labels_of(*configs):
    runs = [toy_study.run(f"r{i}", config=config) for i, config in enumerate(configs)]
    return [tuple(own.values()) for own in results.Study(tuple(runs)).labels.values()]


def test_labels_are_the_shortest_that_differ():
    assert labels_of({}, {"model": {"name": "mlp", "width": 9}}) == [
        ("parity", "mlp (width=–)", ""), ("parity", "mlp (width=9)", ""),
    ]  # fmt: skip
    slow, fast = {"train": {"epochs": 10, "seeds": 2}}, {"train": {"epochs": 20, "seeds": 3}}
    assert labels_of(slow, fast) == [("parity", "mlp", "epochs=10"), ("parity", "mlp", "epochs=20")]
    wide = {"model": {"name": "mlp", "width": 9}, **slow}
    assert [label[2] for label in labels_of(wide, fast)] == ["", ""], "the model differs already"


@pytest.mark.parametrize(
    "field",
    [
        {"train": {"seeds": 2}},
        {"checkpoint": {"count": 9}},
        {"train": {"execution": "map"}},
        {"train": {"loss": ""}},  # a run of before the field has none
    ],
)
def test_fields_that_change_no_number_name_nothing(field):
    assert labels_of({}, field) == [("parity", "mlp", "")] * 2


def test_a_replica_that_two_runs_have_trained_counts_once():
    few, more = toy_study.run("a", seeds=3), toy_study.run("b", seeds=5, diverged={(0, 1)})
    renamed = more.assign_coords(replica=[f"other-{name}" for name in more["replica"].values])
    study = toy_study.study(few, renamed, toy_study.run("c", seeds=2))
    final = study.final()
    assert len(final) == 10 and sorted(final["seed"].unique()) == [0, 1, 2, 3, 4]
    assert final["generalization_error"].notna().all(), "of the first run that has it"
    assert len(study.curve("generalization_error")) == 3 * 10
    assert study.array("generalization_error").sizes["replica"] == 10


def test_runs_that_differ_in_a_field_are_never_merged():
    other = toy_study.run("b", config={"train": {"epochs": 7}})
    final = toy_study.study(toy_study.run(config={"train": {"epochs": 5}}), other).final()
    assert len(final) == 20 and set(final["setting"]) == {"epochs=5", "epochs=7"}


def test_opening_a_work_directory(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "toy" / name).mkdir(parents=True)
        (tmp_path / "toy" / name / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="only unfinished: a, b"):
        results.open(tmp_path / "toy")
    results.write(tmp_path / "toy" / "a" / MEASURES_FILE, toy_study.run("a"))
    for path in (tmp_path, tmp_path / "toy", tmp_path / "toy" / "a"):
        study = results.open(path)
        assert [run.attrs["run"] for run in study.runs] == ["a"]
    assert results.open(tmp_path).unfinished == ("b",)
    with pytest.raises(FileNotFoundError, match=r"make one: \./launch\.sh run"):
        results.open(tmp_path / "nowhere")


def test_predictions_stand_beside_measures_of_the_same_replicas(tmp_path):
    (tmp_path / "a").mkdir()
    found = toy_study.run("a")
    results.write(tmp_path / "a" / MEASURES_FILE, found)
    table = toy_study.replica_table()
    measure = Measure("prediction", "Of a theory.", kind="prediction", dims=())
    predicted = results.dataset(
        table, {"predicted": np.arange(10.0)}, {"predicted": measure},
        **{k: found.attrs[k] for k in ("experiment", "run", "task", "model")},
    )  # fmt: skip
    results.write(tmp_path / "a" / PREDICTIONS_FILE, predicted)
    assert results.open(tmp_path / "a").final()["predicted"].tolist() == list(range(10))
    results.write(tmp_path / "a" / PREDICTIONS_FILE, predicted.isel(replica=slice(0, 9)))
    with pytest.raises(Refusal, match="its replicas are not those of"):
        results.open(tmp_path / "a")


def test_a_kept_study_has_the_same_final_values(tmp_path):
    study = toy_study.study(toy_study.run(factor=1 / 3), toy_study.run("b", "mixer", 1 / 7))
    write_study(tmp_path, study)
    (tmp_path / "run.json").write_text('{"runs": {}}')
    kept = results.open(tmp_path)
    pd.testing.assert_frame_equal(kept.final(), study.final())
    for name in ("generalization_error", "degree_profile"):
        xr.testing.assert_allclose(kept.array(name), study.array(name), rtol=1e-6)
        assert kept.measures[name] == study.measures[name]
    whole = (tmp_path / STUDY_FILE).read_bytes()
    for content in (b"no file", whole[:9000], whole[:9000] + bytes(9000) + whole[18000:]):
        (tmp_path / STUDY_FILE).write_bytes(content)
        with pytest.raises(Refusal, match=r"damaged file .*: NetCDF: [^/]*; take it from"):
            results.open(tmp_path)
