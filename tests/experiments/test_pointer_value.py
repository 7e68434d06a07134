"""The experiment pointer_value from the command line: trained, killed, resumed, reported."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from run_directories import only_run, wait_for_checkpoint

import pvr_jax
from experiments import main
from pvr_jax import results

ROOT = Path(__file__).parents[2]
TOKENS = "configs/token_pvr.py:tiny"
TINY = {
    "holdout": "configs/token_holdout.py:tiny",
    "stream": "configs/token_noise_sensitivity.py:tiny",
    "block": "configs/visual_pvr.py:tiny,model=vit",
}


def measures_of(workdir):
    """Return the measures of the one run below a work directory at the last step."""
    return results.open(workdir).runs[0].isel(step=-1)


def logged(workdir):
    """Return the evaluations of the one run below a work directory, without their times."""
    lines = (only_run(workdir) / "metrics.jsonl").read_text().splitlines()
    return [
        {name: values for name, values in json.loads(line).items() if name != "seconds"}
        for line in lines
    ]


@pytest.fixture(scope="module", params=TINY)
def finished(request, run, tmp_path_factory):
    """One configuration of each kind, through all stages: (its name, work directory, output)."""
    workdir = tmp_path_factory.mktemp(request.param)
    config = f"--config={ROOT / TINY[request.param]}"
    done = run(config, "--config.train.execution=vmap", f"--workdir={workdir}")
    return request.param, workdir, done.stdout


@pytest.mark.slow
def test_every_kind_of_task_goes_through_all_stages(finished):
    kind, workdir, output = finished
    directory = only_run(workdir)
    measures = results.open(workdir).runs[0]
    found = measures.isel(step=-1)
    replicas = found.sizes["replica"]
    accuracy = measures["iid_accuracy"].values
    assert accuracy.shape == (measures.sizes["step"], replicas)
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    assert np.isfinite(measures["iid_loss"]).all()
    classes = int(found["classes"])
    assert found["iid_confusion"].shape == (replicas, classes, classes)
    assert (found["iid_confusion"].sum(["true_class", "predicted_class"]) == 64).all()
    # The last logged accuracy and the confusion of the checkpoint are one network's.
    traces = np.trace(found["iid_confusion"], axis1=1, axis2=2) / int(found["test_samples"])
    np.testing.assert_allclose(accuracy[-1], traces, atol=1e-6)
    withheld = found["withheld"].values > 0
    given = [np.isfinite(found[n].values) for n in ("withheld_accuracy",) if n in found]
    assert (given[0] == withheld).all() if given else not withheld.any()
    inputs, said = found["iid_example_input"], found["iid_example_probability"]
    assert inputs.sizes["shown"] == len({*zip(*_subtasks(found), strict=True)})
    np.testing.assert_allclose(said.sum("predicted_class"), 1, rtol=1e-5)
    report = workdir / "pointer_value" / "report"
    page = (report / "report.html").read_text()
    assert page.index('id="examples"') < page.index("data-chart=")
    assert (report / "table.csv").is_file() and str(report / "report.html") in output
    rows = json.loads((directory / "run.json").read_text())["training_rows"]
    assert (rows is not None) == any(withheld)
    assert rows is None or (rows["checked"] > 100 and rows["unseen"] == 0)
    is_stream = kind == "stream"
    assert is_stream == ("train_accuracy" not in found) == ("samples" not in found.coords)
    assert is_stream == ("samples_to_95" in found)
    lines = logged(workdir)
    assert found["batch_loss"].values.tolist() == lines[-1]["batch_loss"]
    assert ("train_loss" in lines[-1]) != is_stream
    trained = pvr_jax.load_params(directory)
    assert list(trained.names) == found["replica"].values.tolist()
    assert {len(leaf) for leaf in jax.tree.leaves(trained.params)} == {replicas}


def _subtasks(found):
    names = [name for name in ("aggregation", "complexity", "withheld") if name in found.coords]
    return [found[name].values.tolist() for name in names]


@pytest.mark.slow
def test_retrieval_is_learned_from_many_samples_and_not_from_few(run, tmp_path):
    # The network and batches of size=small. With 1,000 samples it learns them by heart.
    flags = ["--config.task.complexities=0", "--config.data.samples=1000,100000"]
    flags += ["--config.train.seeds=1", "--config.train.steps=750"]
    config = f"--config={ROOT / 'configs' / 'token_pvr.py'}:size=small"
    for stage in ("train", "analyse"):
        run(config, f"--workdir={tmp_path}", f"--stage={stage}", *flags)
    found = measures_of(tmp_path)
    few, many = found["iid_accuracy"].values
    assert found["samples"].values.tolist() == [1000, 100_000]
    assert many >= 0.99 and few <= 0.6
    assert found["train_accuracy"][0] == 1


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(run, start, tmp_path):
    config = f"--config={ROOT / TINY['holdout']}"
    flags = ["--config.train.steps=1500", "--config.checkpoint.save_every_seconds=0.2"]
    # One mode: a probe may find another for the second process, which rounds otherwise.
    flags += ["--config.evaluation.count=12", "--config.train.execution=map", "--stage=train"]
    run(config, f"--workdir={tmp_path / 'whole'}", *flags)
    process = start(config, f"--workdir={tmp_path / 'killed'}", *flags)
    wait_for_checkpoint(tmp_path / "killed", 1, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(config, f"--workdir={tmp_path / 'killed'}", *flags)
    whole, killed = (logged(tmp_path / name) for name in ("whole", "killed"))
    assert len(whole) > 5 and killed == whole


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--config.data.samples=()"], "config.data.samples: given (); allowed different values"),
        (
            ["--config.data.source=fresh"],
            "config.data.samples: (20, 100) of the configuration does not go with "
            "--config.data.source=fresh; allowed none, ()",
        ),
        (["--config.task.complexities=(10,)"], "config.task.complexities: given 10; allowed 0 to"),
        (["--config.task.withheld=(7,)"], "config.task.withheld: given 7; allowed 0 to"),
        (["--config.task.boundary=open"], "config.task.boundary: given 'open'; allowed bounded"),
        (["--config.model.widths=(0,)"], "config.model.widths: given (0,); allowed whole numbers"),
        (["--config.train.decay=linear"], "config.train.decay: given 'linear'; allowed constant"),
        (["--config.train.warmup_steps=31"], "config.train.warmup_steps: given 31; allowed 0 to"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_written(tmp_path, capsys, flags, message):
    arguments = ["main", f"--config={ROOT / TOKENS}", f"--workdir={tmp_path}", *flags]
    assert main.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


OWN = """
from pvr_jax.tasks import conditional_pvr


def hops(tokens):
    return conditional_pvr.label(tokens)


def rising(tokens):
    return tokens[0] < tokens[1]


def everything(tokens):
    return tokens[0] >= 0
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Choices and flags of a label of the user's own that is the built-in conditional PVR."""
    monkeypatch.chdir(tmp_path)
    Path("own_hops.py").write_text(OWN)
    yield [f"{TOKENS},task=own_hops:hops", *(f"--config.task.{name}=6" for name in SIZES)]
    sys.modules.pop("own_hops", None)


SIZES = ("length", "alphabet", "classes")


def command(capsys, choices, *flags, status=0):
    arguments = ["main", f"--config={ROOT}/{choices}", "--workdir=runs", *flags]
    assert main.main(arguments) == status
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "choice, flag, message",
    [
        (",withheld=own_hops:everything", "", "withheld: given 'own_hops:everything'; allowed a f"),
        (
            "",
            "--config.task.withheld=own_hops:none",
            "withheld: given 'own_hops:none'; allowed a f",
        ),
        ("", "--config.task.classes=1", "classes: given 1; allowed 2 to 1000"),
        ("", "--config.task.boundary=cyclic", ""),
    ],
)
def test_mistakes_with_a_label_of_ones_own_end_in_one_line(own, capsys, choice, flag, message):
    choices, *flags = own
    error = command(capsys, f"{choices}{choice}", *flags, *filter(None, [flag]), status=2)
    assert error.startswith(f"error: config.task.{message}" if message else "error: ")
    assert error.count("\n") == 1 and not Path("runs").exists()


@pytest.mark.slow
def test_a_label_of_ones_own_trains_as_the_built_in_task_that_it_is(own, capsys):
    choices, *flags = own
    command(capsys, choices, *flags, "--stage=train", "--workdir=own")
    choices, flag = "configs/conditional_pvr.py:tiny", flags[0]
    command(capsys, choices, flag, "--stage=train", "--workdir=built_in")
    assert only_run("own").name.startswith("own_hops_hops-token_mlp-")
    assert len(logged("own")) == 2 and logged("own") == logged("built_in")


@pytest.mark.slow
def test_what_is_withheld_by_a_predicate_is_reported_and_never_edited_unseen(own, capsys):
    choices, *flags = own
    choices += ",withheld=own_hops:rising"
    command(capsys, choices, *flags)
    found = measures_of("runs")
    assert found["share_removed"].values.tolist() == [15 / 36] * 4
    assert np.isfinite(found["withheld_accuracy"]).all()
    rows = json.loads((only_run("runs") / "run.json").read_text())["training_rows"]
    assert rows["checked"] > 100 and rows["unseen"] == 0
    page = Path("runs/pointer_value/report/report.html").read_text()
    assert "where own_hops:rising is True" in page
    Path("own_hops.py").write_text(OWN.replace("<", ">"))
    sys.modules.pop("own_hops")
    error = command(capsys, choices, *flags, "--stage=analyse", status=1)
    assert "config.task.withheld: own_hops:rising has other values, and its source" in error


def test_data_that_are_not_prepared_are_told_before_jax_is_imported(tmp_path):
    # An import of JAX takes about a second: what is told before it is told in less.
    code = (
        "import sys\n"
        "from experiments import main\n"
        f"status = main.main(['main', '--config={ROOT}/configs/visual_pvr.py:source=mnist'])\n"
        "sys.exit(100 if 'jax' in sys.modules else status)"
    )
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: config.task.source: given 'mnist'; allowed where it is")
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_training_knows_no_kind_of_task():
    # Classification and regression, pictures and bits: training is handed functions.
    kinds = ("classif", "regress", "picture", "image", "token", "label", "boolean", "pvr_jax.tasks")
    for path in sorted((ROOT / "pvr_jax" / "training").glob("*.py")):
        if path.name == "losses.py":
            continue  # plain functions, of which a run is given one
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [getattr(node, field, None) for field in ("id", "attr", "arg", "module")]
            for name in filter(lambda text: isinstance(text, str), names):
                assert not any(kind in name.lower() for kind in kinds), (path.name, name)
