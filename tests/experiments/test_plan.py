"""Plans: what a run takes, before it begins; and whether it fits a TPU slice."""

import importlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import plan, registry
from experiments.canonical_holdout.experiment import EXPERIMENT
from pvr_jax import planning
from pvr_jax.analysis import learned
from pvr_jax.building import build
from pvr_jax.training import cost, topology
from pvr_jax.training.replicas import Mode, device_mesh

ROOT = Path(__file__).parents[2]
TINY = f"{ROOT}/configs/quickstart.py:tiny"
needs_libtpu = pytest.mark.skipif(
    find_spec("libtpu") is None, reason="libtpu is not installed (extra: tpu)"
)


def planned(*arguments):
    return plan.main(["plan", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--config: given nothing; allowed a file such as configs/quickstart.py"),
        ([f"--config={TINY}", "--sweep=bits"], "--sweep: given to plan; allowed the flags of one"),
        ([f"--config={TINY}", "--stage=train"], "--stage: given to plan; allowed the flags"),
        ([f"--config={TINY}", "--topologie=v5e:4x4"], "--topologie: no such flag; allowed"),
        ([f"--config={TINY}", "--config.train.seeds=0"], "config.train.seeds: given 0; allowed"),
    ],
)
def test_mistakes_are_one_line(arguments, said, capsys):
    assert planned(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_missing_compiler_is_one_line_that_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
    assert planned(f"--config={TINY}", "--topology=v5e:4x4") == 2
    error = capsys.readouterr().err
    assert "--topology: given v5e:4x4" in error and "./launch.sh setup tpu" in error
    assert error.count("\n") == 1


@needs_libtpu
@pytest.mark.parametrize("name", ["nonsense", "v5e", "v5e:3x5", "v9:2x2", "v5e:0x4"])
def test_an_unknown_slice_is_one_line_with_what_is_allowed(name, capsys):
    assert planned(f"--config={TINY}", f"--topology={name}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: --topology: given {name!r}; allowed KIND:LAYOUT of chips")


def test_counts_are_those_of_the_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("configs.quickstart")
    config = module.get_config("tiny")
    experiment = registry.experiment_of(config)
    built = build(experiment, (config,))
    lines = dict(plan._counts(experiment, config, built))
    assert lines["replicas"] == str(len(built.tables[0]))
    assert lines["steps"].startswith(f"{built.schedule.total} steps, ")
    widths = (built.programs[0].attributes["n"], *config.model.widths, 1)
    parameters = sum(a * b + b for a, b in itertools.pairwise(widths))
    assert lines["parameters"].startswith(f"{parameters} of each replica")
    assert f"{len(built.schedule.kept)} kept steps" in lines["checkpoints"]
    assert list(tmp_path.iterdir()) == []


def test_trained_as_if_on_another_platform():
    assert learned.chunk_size() == learned.CHUNK_ON_CPU
    with learned.for_platform("tpu"):
        assert learned.chunk_size() == learned.CHUNK
    assert learned.chunk_size() == learned.CHUNK_ON_CPU


def test_theories_that_take_long_are_not_timed(monkeypatch):
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    slow = replace(EXPERIMENT, predict={"slow": lambda config, table, learned: time.sleep(60)})
    built = build(EXPERIMENT, (config,))
    monkeypatch.setattr(planning, "LONGEST_THEORY_SECONDS", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    assert planning._predicting(slow, config, built, np.zeros(1)) is None
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    fast = replace(EXPERIMENT, predict={"fast": lambda config, table, learned: None})
    assert planning._predicting(fast, config, built, np.zeros(1)) < 0.1


@pytest.mark.parametrize(("scale", "longest"), [(1, 1.0), (50, 0.2), (1000, 0)])
def test_a_rehearsed_dispatch_is_no_longer_than_that_of_the_run(scale, longest, monkeypatch):
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    ensemble = build(EXPERIMENT, (config,)).ensemble
    taken = []

    def advance_timed(some, state, first, steps):
        taken.append(steps)
        return state, first + steps, steps * 0.01

    monkeypatch.setattr(planning.probe, "advance_timed", advance_timed)
    _, step, _ = planning._training(ensemble, ensemble.start(), scale)
    assert step == pytest.approx(0.01)
    assert set(taken[2:]) == {max(1, round(longest / 0.01))}


def words(text, name):
    """Return what the line `name` of a plan says."""
    return next(line for line in text.splitlines() if line.startswith(name))


@pytest.mark.slow
def test_the_quickstart_takes_the_memory_that_was_planned(tmp_path):
    # Of its 80 epochs two take the same memory as all. Both are a user's processes.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "2"}
    config = f"--config={ROOT}/configs/quickstart.py"

    def start(module, *arguments):
        command = [sys.executable, "-m", f"experiments.{module}", config, *arguments]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        unit = 1 if sys.platform == "darwin" else 2**10
        return text, usage.ru_maxrss * unit

    text, _ = start("plan")
    assert list(tmp_path.iterdir()) == [], "a plan writes nothing"
    (gib,) = re.findall(r"process ([\d.]+) GiB, fits", text)
    _, peak = start("main", "--config.train.epochs=2", "--workdir=runs")
    assert 1 / 1.3 < float(gib) * 2**30 / peak < 1.3, (gib, peak)


FAMILIES = [
    ("pvr_majority", "model=mlp,size=paper"),
    ("pvr_majority", "model=transformer,size=paper"),
    ("pvr_majority", "model=mixer,size=paper"),
    ("token_pvr", "model=token_transformer,size=small"),
    ("visual_pvr", "model=resnet,size=small"),
    ("random_features", "kind=relu,trained=no,size=paper"),
]


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize(("study", "choices"), FAMILIES)
def test_every_family_compiles_for_a_tpu_slice(study, choices, stand_in_for_mnist):
    config = importlib.import_module(f"configs.{study}").get_config(choices)
    with learned.for_platform("tpu"):
        ensemble = build(registry.experiment_of(config), (config,)).ensemble
        devices = topology.devices_of("v5e:4x4")
        mesh = device_mesh(devices)
        programs = cost.compiled(ensemble.planned(mesh, Mode("vmap"), ensemble.count))
    assert programs.collectives == ()
    usable = topology.usable_bytes(devices[0])
    assert 15 * 2**30 < usable < 16 * 2**30  # a chip has 16 GiB, of which the runtime takes some
    state = ensemble.planned(mesh, Mode("vmap"), ensemble.count).shapes(padded=True)
    held = cost.bytes_of(state) / mesh.size
    # No less than the states; that they fit is what the compiler says by accepting them.
    assert held <= max(programs.memory) <= usable


@needs_libtpu
@pytest.mark.slow
def test_what_a_slice_cannot_hold_does_not_fit():
    config = importlib.import_module("configs.quickstart").get_config("tiny")
    config.model.widths = (2048, 2048)
    with learned.for_platform("tpu"):
        ensemble = build(registry.experiment_of(config), (config,)).ensemble
        devices = topology.devices_of("v5e:2x2")
        usable = topology.usable_bytes(devices[0])
        many = ensemble.planned(device_mesh(devices), Mode("vmap"), 4 * 1000)
        found = topology.fit(many, usable)
        assert not found.fits
        assert max(found.memory) > usable
        assert 0 < found.largest < 4 * 1000
        fewer = ensemble.planned(device_mesh(devices), Mode("vmap"), found.largest * 9 // 10)
        assert max(cost.compiled(fewer).memory) <= usable
    assert jax.default_backend() == "cpu"
