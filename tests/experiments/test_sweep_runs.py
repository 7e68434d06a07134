"""Small sweeps trained to their end: equal to single runs, resumed, failing in part, in shards."""

import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import xarray as xr

import pvr_jax
from experiments import main
from experiments.canonical_holdout import experiment
from pvr_jax import results
from pvr_jax.training import run_log

ROOT = Path(__file__).parents[2]
CONFIG = """
from configs import canonical_holdout as base


def sweep_targets():
    return [{"task.expression": text} for text in ("x0*x1 + x2", "x3 - 2*x1*x4", "0.1*x0*x3")]


def sweep_bits():
    return [{"holdout.bits": "0"}, {"holdout.bits": "3,1"}]


def sweep_rates():
    return [{"train.learning_rates": (1e-3,)}, {"train.learning_rates": (1e-2, 2e-2)}]


def sweep_more_rates():
    return [*sweep_rates(), {"train.learning_rates": (5e-3,)}]


def sweep_shapes():
    return [{"model.widths": (6,)}, {"holdout.bits": "none"}]


def sweep_some_impossible():
    return [{"holdout.bits": "4"}, {"holdout.bits": "5"}]


def sweep_functions():
    return [{"task.name": f"sweep_functions:{name}"} for name in ("first", "broken", "second")]


def get_config(arg=None):
    base.choose(arg)
    config = base.build("polynomial", "mlp")
    config.task.update({"n": 5, "expression": "x0*x1"})
    config.model.widths = (8,)
    config.data.update({"samples": 40, "batch_size": 16})
    config.train.update({"seeds": 2, "epochs": 4})
    config.evaluation.update({"every_epochs": 2, "tracked_pairs": 3})
    config.checkpoint.count = 3
    return config.lock()
"""
FUNCTIONS = """
from pathlib import Path

import jax.numpy as jnp


def first(x):
    return x[..., 0] * x[..., 1]


def second(x):
    return x[..., 2]


def broken(x):
    # The checks of a configuration call it in single precision: only its runs meet this.
    if x.dtype == jnp.float64 and Path(__file__).with_name("flag").exists():
        raise RuntimeError("the third\\nof them is broken")
    return x[..., 3]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.py"
    path.write_text(CONFIG)
    return path


def invoke(config, workdir, sweep, *flags, status=0):
    arguments = ["main", f"--config={config}", f"--workdir={workdir}", f"--sweep={sweep}", *flags]
    assert main.main(arguments) == status
    return pd.read_parquet(newest_table(workdir, sweep) / "table.parquet")


def newest_table(workdir, sweep):
    """Return the directory; tables of a config that is not in configs/ have digits in its name."""
    paths = Path(workdir).glob(f"sweeps/tables/small-{sweep}-????????/table.parquet")
    return max(paths, key=lambda path: path.stat().st_mtime_ns).parent


def times(workdir):
    """When each result was written; locks and tables apart."""
    return {
        path: path.stat().st_mtime_ns
        for path in Path(workdir).glob("sweeps/[!t]*/**/*")
        if path.is_file() and path.name != "lock"
    }


def cells_of(workdir):
    return sorted(Path(workdir).glob("sweeps/canonical_holdout/*"))


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A sweep of 3 targets x 2 sets of bits x 2 sets of rates, done: (work directory, table)."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, invoke(config, workdir, "targets,bits,rates")


@pytest.mark.slow
def test_cells_of_one_shape_are_one_program(finished):
    workdir, table = finished
    (pack,) = (workdir / "sweeps" / "packs").iterdir()
    record = json.loads((pack / "run.json").read_text())
    assert len(record["replicas"]) == len(table) == 3 * (1 + 2) * (1 + 2) * 2
    assert len(set(record["replicas"])) == len(table)
    assert len(cells_of(workdir)) == table["cell"].nunique() == 12


@pytest.mark.slow
def test_the_table_holds_settings_and_measures_of_every_replica(finished):
    workdir, table = finished
    assert set(table["status"]) == {"done"} and table["reason"].isna().all()
    assert set(table["task.expression"]) == {"x0*x1 + x2", "x3 - 2*x1*x4", "0.1*x0*x3"}
    assert set(table["train.learning_rates"]) == {"0.001", "0.01, 0.02"}
    assert set(table["learning_rate"]) == {1e-3, 1e-2, 2e-2}
    assert table["diverged_at"].isna().all()
    for directory in cells_of(workdir):
        measures = results.read(directory / "measures.nc").isel(step=-1)
        rows = table[table["cell"] == directory.name]
        assert rows["replica"].tolist() == measures["replica"].values.tolist()
        assert rows["frozen_bit"].tolist() == measures["frozen_bit"].values.tolist()
        for name, column in measures.data_vars.items():
            if column.dims == ("replica",):
                np.testing.assert_array_equal(rows[name], column, err_msg=name)
    row = table[(table["task.expression"] == "x3 - 2*x1*x4") & (table["frozen_bit"] == 1)]
    assert set(row["influence"]) == {4.0}


@pytest.mark.slow
def test_parquet_and_csv_are_the_same_and_what_lacks_is_null(finished):
    workdir, table = finished
    directory = newest_table(workdir, "targets,bits,rates")
    stored = pyarrow.parquet.read_table(directory / "table.parquet")
    assert stored.column("diverged_at").null_count == len(table)
    assert stored.column("leak").null_count == np.isnan(table["leak"].astype(float)).sum()
    text = pd.read_csv(directory / "table.csv")
    assert text.columns.tolist() == table.columns.tolist()
    for name in ("generalization_error", "learning_rate", "projection"):
        np.testing.assert_array_equal(text[name].astype(float), table[name].astype(float))
    assert {path.name for path in directory.iterdir()} == {"table.parquet", "table.csv"}


@pytest.mark.slow
def test_a_replica_of_a_pack_equals_the_one_trained_alone(finished, config, tmp_path):
    workdir, _ = finished
    flags = (
        "--config.task.expression=x3 - 2*x1*x4",
        "--config.holdout.bits=3,1",
        "--config.train.learning_rates=0.01,0.02",
    )
    for stage in ("train", "analyse"):
        arguments = [f"--config={config}", f"--workdir={tmp_path}", f"--stage={stage}", *flags]
        assert main.main(["main", *arguments]) == 0
    (alone,) = (tmp_path / "canonical_holdout").iterdir()
    packed = workdir / "sweeps" / "canonical_holdout" / alone.name
    assert (packed / "config.json").read_bytes() == (alone / "config.json").read_bytes()
    ours, theirs = (results.read(directory / "measures.nc") for directory in (packed, alone))
    xr.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-5)
    assert ours.attrs == theirs.attrs
    with np.load(packed / "spectra.npz") as mine, np.load(alone / "spectra.npz") as yours:
        assert sorted(mine) == sorted(yours)
        np.testing.assert_array_equal(mine["target"], yours["target"])
        np.testing.assert_allclose(mine["coefficients"], yours["coefficients"], atol=1e-5)
    record = json.loads((packed / "run.json").read_text())
    assert record["replicas"] == theirs["replica"].values.tolist()
    mine, yours = pvr_jax.load_params(packed), pvr_jax.load_params(alone)
    assert (mine.names, mine.step) == (yours.names, yours.step)
    for name in yours.names:
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), mine.of(name), yours.of(name))


@pytest.mark.slow
def test_a_pack_is_traced_as_often_as_a_single_run(config, tmp_path, monkeypatch):
    traced = []
    make = experiment.training_set

    def counted(*arguments):
        made = make(*arguments)

        def traced_batch(*inputs):
            traced.append(inputs)
            return made.batch(*inputs)

        return replace(made, batch=traced_batch)

    monkeypatch.setattr(experiment, "training_set", counted)
    flags = [f"--config={config}", f"--workdir={tmp_path}", "--stage=train"]
    assert main.main(["main", *flags, "--config.train.seeds=1"]) == 0
    alone = len(traced)
    invoke(config, tmp_path, "targets,bits,rates", "--stage=train")
    assert len(traced) == 2 * alone > 0


@pytest.mark.slow
def test_done_cells_are_left_alone_and_an_enlarged_sweep_trains_the_rest(
    finished, config, tmp_path
):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    before = times(tmp_path)
    invoke(config, tmp_path, "targets,bits,rates")
    assert times(tmp_path) == before
    table = invoke(config, tmp_path, "targets,bits,more_rates")
    after = times(tmp_path)
    assert {path: after[path] for path in before} == before
    assert len(cells_of(tmp_path)) == 18 and set(table["status"]) == {"done"}
    fresh = {path for path in set(after) - set(before) if path.name == "config.json"}
    packs_of_fresh = [path for path in fresh if path.parent.parent.name == "packs"]
    assert sum(len(json.loads(path.read_text())["cells"]) for path in packs_of_fresh) == 6


@pytest.mark.slow
def test_results_that_were_taken_away_come_back_without_training(
    finished, config, tmp_path, capsys
):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    lost = cells_of(tmp_path)[3]
    measures = (lost / "measures.nc").read_bytes()
    shutil.rmtree(lost)
    table = invoke(config, tmp_path, "targets,bits,rates", "--stage=report")
    assert table[table["cell"] == lost.name]["status"].tolist() == ["missing"]
    assert not lost.exists()
    capsys.readouterr()
    table = invoke(config, tmp_path, "targets,bits,rates")
    assert "compiled in" not in capsys.readouterr().out
    assert (lost / "measures.nc").read_bytes() == measures
    assert set(table["status"]) == {"done"} and len(table) == len(finished[1])


@pytest.mark.slow
def test_shards_together_do_everything_once(config, tmp_path, capsys):
    sweep = "shapes,targets"
    tables = [invoke(config, tmp_path, sweep, f"--shard={i}/2") for i in (0, 1)]
    assert set(tables[0]["status"]) == {"done", "missing"}
    missing = tables[0][tables[0]["status"] == "missing"]
    assert missing["generalization_error"].isna().all() and missing["replica"].isna().all()
    assert set(missing["task"]) == {"polynomial"}
    assert set(tables[1]["status"]) == {"done"} and tables[1]["cell"].nunique() == 6
    matched = tables[1][tables[1]["holdout.bits"] == "none"]
    assert matched["frozen_bit"].isna().all() and matched["leak"].isna().all()
    names = []
    for pack in (tmp_path / "sweeps" / "packs").iterdir():
        names += json.loads((pack / "config.json").read_text())["names"]
    assert sorted(names) == sorted(set(tables[1]["cell"]))
    output = capsys.readouterr().out
    assert "shard 0/2" in output and "shard 1/2" in output


@pytest.mark.slow
def test_an_impossible_cell_is_reported_and_the_others_go_on(config, tmp_path, capsys):
    table = invoke(config, tmp_path, "some_impossible", status=1)
    assert table["status"].value_counts().to_dict() == {"done": 2, "failed": 1}
    (reason,) = table[table["status"] == "failed"]["reason"]
    assert reason.startswith("config.holdout.bits: given 5; allowed all, none")
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == f"failed: holdout.bits=5: {reason}"
    assert errors[-1].startswith("error: 1 of 2 cells failed; the others went on")


@pytest.mark.slow
def test_a_program_that_raises_fails_its_own_cell_alone(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "sweep_functions.py").write_text(FUNCTIONS)
    (tmp_path / "flag").touch()
    monkeypatch.chdir(tmp_path)
    text = config.read_text().replace('"expression": "x0*x1"}', '"expression": None}')
    own = tmp_path / "small.py"
    own.write_text(text)
    table = invoke(own, tmp_path / "w", "functions", status=1)
    statuses = set(table[["task", "status"]].itertuples(index=False, name=None))
    assert statuses == {
        ("sweep_functions:first", "done"),
        ("sweep_functions:broken", "failed"),
        ("sweep_functions:second", "done"),
    }
    reason = "RuntimeError: the third of them is broken"
    assert table[table["status"] == "failed"]["reason"].tolist() == [reason]
    captured = capsys.readouterr()
    assert "a pack of 3 cells failed, now one by one" in captured.out
    assert reason in captured.err
    # Its cause mended, the same command does this one cell.
    (tmp_path / "flag").unlink()
    done = {path: t for path, t in times(tmp_path / "w").items() if "broken" not in str(path)}
    table = invoke(own, tmp_path / "w", "functions")
    assert set(table["status"]) == {"done"} and table["reason"].isna().all()
    assert done.items() <= times(tmp_path / "w").items()


@pytest.mark.slow
def test_a_diverged_replica_is_marked_and_no_failure(config, tmp_path):
    flags = ("--config.train.optimizer=sgd", "--config.train.init_scales=1,1e18")
    table = invoke(config, tmp_path, "bits", *flags)
    assert set(table["status"]) == {"done"}
    lost = table["diverged_at"].notna()
    assert lost.tolist() == (table["init_scale"] == 1e18).tolist() and lost.any()
    assert table[lost]["generalization_error"].isna().all()
    assert table[~lost]["generalization_error"].notna().all()


@pytest.mark.slow
def test_a_pack_that_another_process_works_in_is_skipped(config, tmp_path, capsys):
    invoke(config, tmp_path, "bits", "--stage=train")
    (pack,) = (tmp_path / "sweeps" / "packs").iterdir()
    with run_log.exclusive(pack):
        table = invoke(config, tmp_path, "bits")
    assert set(table["status"]) == {"missing"}
    assert table["reason"].str.contains("is in use by process").all()
    assert "skipped: " in capsys.readouterr().out
    assert set(invoke(config, tmp_path, "bits")["status"]) == {"done"}


@pytest.mark.slow
def test_the_reports_take_a_sweep_for_what_it_is(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    # Every cell is a run, for a report on the sweeps and for one on the work directory above them.
    report = tmp_path / "sweeps" / "canonical_holdout" / "report"
    for workdir in (tmp_path / "sweeps", tmp_path):
        assert main.main(["main", "--stage=report", f"--workdir={workdir}"]) == 0
        runs = set(pd.read_csv(report / "replicas.csv")["run"].str.partition(",")[0])
        assert runs == {path.name for path in cells_of(finished[0])}
        shutil.rmtree(report)


@pytest.mark.slow
def test_an_experiment_that_knows_no_packing_is_swept_run_by_run(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(
        "from configs import unseen_domain as base\n\n\n"
        "def sweep_tasks():\n    return [{'task.expression': e} for e in ('x0*x1', 'x1*x2')]\n\n\n"
        "def get_config(arg=None):\n    return base.get_config('setting=2parity,tiny')\n"
    )
    flags = ("--config.train.seeds=1", "--config.train.epochs=2")
    table = invoke(path, tmp_path, "tasks", *flags)
    assert set(table["status"]) == {"done"} and len(table) == 2
    assert table["generalization_error"].notna().all() and table["n"].tolist() == [6, 6]
    assert not (tmp_path / "sweeps" / "packs").exists()


def test_the_same_sweep_with_other_flags_has_a_table_of_its_own(config, tmp_path):
    look = partial(invoke, config, tmp_path, "bits", "--stage=report")  # trains nothing
    plain, first = look(), newest_table(tmp_path, "bits")
    one = look("--config.train.seeds=1")
    again = look("--config.train.seeds=1", "--config.train.epochs=2")
    assert len(list(tmp_path.glob("sweeps/tables/*/table.csv"))) == 3
    assert "train.seeds" not in plain and set(one["train.seeds"]) == {1}
    assert (set(again["train.seeds"]), set(again["train.epochs"])) == ({1}, {2})
    pd.testing.assert_frame_equal(pd.read_parquet(first / "table.parquet"), plain)
    # The fields in another order are the same sweep.
    look("--config.train.epochs=2", "--config.train.seeds=1")
    assert len(list(tmp_path.glob("sweeps/tables/*"))) == 3


@pytest.mark.slow
def test_a_signal_stops_the_whole_sweep_and_the_same_command_goes_on(
    config, tmp_path, start, run, capsys
):
    arguments = (
        f"--config={config}",
        f"--workdir={tmp_path}",
        "--sweep=shapes,targets",
        "--config.train.epochs=2000",
        "--config.evaluation.every_epochs=1000",
        "--config.checkpoint.save_every_seconds=0.2",
    )
    process = start(*arguments)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("sweeps/packs/*/checkpoints/*/commit_success.txt")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "error: stopped by SIGTERM: saved at step" in output.splitlines()[-1]
    assert len(list((tmp_path / "sweeps" / "packs").iterdir())) == 1
    assert not list(tmp_path.glob("sweeps/**/failed.json"))
    done = run(*arguments)
    assert "continuing from the checkpoint at step" in done.stdout
    table = pd.read_parquet(newest_table(tmp_path, "shapes,targets") / "table.parquet")
    assert set(table["status"]) == {"done"} and table["cell"].nunique() == 6


@pytest.mark.slow
def test_a_sweep_does_not_go_on_beside_cells_of_another_function(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = CONFIG.replace('"expression": "x0*x1"}', '"expression": None}')
    text += "\n\ndef sweep_own():\n    return [{'task.name': 'own_edited:target'}]\n"
    (tmp_path / "edited.py").write_text(text)
    target = tmp_path / "own_edited.py"
    target.write_text("def target(x):\n    return x[..., 0]\n")

    def sweep(status=0):
        sys.modules.pop("own_edited", None)
        flags = ["--sweep=own,rates", "--workdir=runs"]
        assert main.main(["main", "--config=edited.py", *flags]) == status

    sweep()
    kept = times("runs")
    assert len(list(Path("runs/sweeps").glob("*/*/contents.json"))) == 3  # two cells, their pack
    sweep()
    target.write_text("def target(x):\n    return 5 * x[..., 1]\n")
    capsys.readouterr()
    sweep(status=1)
    assert "own_edited:target has other values" in capsys.readouterr().err
    assert times("runs") == kept
    # Results taken away, the networks of before are still there.
    for directory in cells_of("runs"):
        shutil.rmtree(directory)
    sweep(status=1)
    assert "own_edited:target has other values" in capsys.readouterr().err


@pytest.mark.slow
def test_shards_of_a_sweep_are_of_one_function(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = CONFIG.replace('"expression": "x0*x1"}', '"expression": None}')
    text += "\n\ndef sweep_sizes():\n"
    text += "    return [{'task.name': 'own_sharded:target', 'task.n': n} for n in (4, 5)]\n"
    (tmp_path / "sharded.py").write_text(text)
    target = tmp_path / "own_sharded.py"

    def sweep(values, shard, status=0):
        target.write_text(f"def target(x):\n    return {values}\n")
        sys.modules.pop("own_sharded", None)
        flags = ["--sweep=sizes", "--workdir=runs", f"--shard={shard}"]
        assert main.main(["main", "--config=sharded.py", *flags]) == status

    sweep("x[..., 0]", "0/2")
    kept = times("runs")
    capsys.readouterr()
    sweep("3 * x[..., 0]", "1/2", status=1)
    assert "own_sharded:target has other values" in capsys.readouterr().err
    assert times("runs") == kept
    sweep("x[..., 0]", "1/2")
