"""Runs on rows of the user's own, with label noise or biased bits, by configuration and command."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import canonical_holdout, unseen_domain
from experiments import main
from experiments.canonical_holdout.experiment import EXPERIMENT as CANONICAL
from experiments.unseen_domain.experiment import EXPERIMENT as UNSEEN
from pvr_jax import results
from pvr_jax.building import build
from pvr_jax.experiment import is_plain_training
from pvr_jax.tasks import datasets
from pvr_jax.training import run_log

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
# The multiplexer of six bits: the first two are the address of one of the other four.
CUBE = np.array(list(itertools.product([0, 1], repeat=6)))
LABELS = CUBE[np.arange(64), 2 + 2 * CUBE[:, 0] + CUBE[:, 1]]
CHOSEN = RNG.permutation(64)[:40]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = np.c_[CUBE, LABELS][CHOSEN]
    lines = ["a1,a2,d0,d1,d2,d3,y", *(",".join(map(str, row)) for row in table)]
    Path("mux6.csv").write_text("\n".join(lines))
    np.savez("mux6.npz", x=2 * table[:, :6] - 1, y=2 * table[:, 6] - 1)
    np.save("truth.npy", LABELS)


def command(config, *flags):
    return main.main(["main", f"--config={ROOT}/configs/{config}", "--workdir=runs", *flags])


CANONICAL_TINY = "canonical_holdout.py:task=truth_table,tiny"
TABLE = ("--config.task.path=truth.npy", "--config.task.encoding=bit")
ROWS = ("--config.data.source=rows", "--config.data.file=mux6.csv", "--config.data.encoding=bit")
DROP = "--config.data.unseen_rows=drop"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            (*ROWS,),
            ["config.data.file: given 'mux6.csv', of whose 40 rows", "are unseen (seen: x0"],
        ),
        (ROWS[:2], ["config.data.encoding: None of the config", "for a table of 0 and 1: bit"]),
        (ROWS[:1], ["config.data.file: '' of the config", "give --config.data.file too"]),
        (ROWS[1:2], ["config.data.file: given 'mux6.csv'; allowed nothing with source sampled"]),
        (("--config.data.bias=1.5",), ["config.data.bias: given 1.5; allowed a number above 0"]),
        (("--config.data.label_noise=2.0",), ["config.data.label_noise: given 2.0; allowed a num"]),
    ],
)
def test_mistakes_of_the_command_are_one_line_and_leave_nothing(flags, words, capsys):
    assert command(CANONICAL_TINY, *TABLE, *flags, "--stage=train") == 2
    text = capsys.readouterr().err
    assert all(word in text for word in words), text
    assert text.startswith("error: ") and text.count("\n") == 1
    assert not Path("runs").exists()


def test_fields_of_rows_that_are_not_used_are_in_no_name():
    for experiment, config in (
        (CANONICAL, canonical_holdout.get_config("task=parity,tiny")),
        (UNSEEN, unseen_domain.get_config("setting=2parity,tiny")),
    ):
        name = experiment.run_name(config)
        old = config.copy_and_resolve_references()
        with old.unlocked():
            for field in datasets.DEFAULTS:
                del old.data[field.removeprefix("data.")]
        experiment.validate(old)
        assert experiment.run_name(old) == name
        names = {name}
        for field, value in (("label_noise", 0.05), ("bias", 0.9), ("file", "a.npz")):
            other = config.copy_and_resolve_references()
            other.data[field] = value
            names.add(experiment.run_name(other))
        assert len(names) == 4
    # Where networks are evaluated is in the name, as the number of points always was.
    names = {UNSEEN.run_name(config)}
    for field, value in (("points", "sampled"), ("samples", 300)):
        other = config.copy_and_resolve_references()
        other.evaluation[field] = value
        names.add(UNSEEN.run_name(other))
    assert len(names) == 3


def test_lazy_theories_are_of_the_targets_labels():
    config = canonical_holdout.get_config("task=parity,tiny")
    assert is_plain_training(config)[0]
    for field, value in (("label_noise", 0.05), ("source", "rows")):
        other = config.copy_and_resolve_references()
        other.data[field] = value
        plain, why = is_plain_training(other)
        assert not plain and why.startswith(f"{field}: given")


def test_noise_is_on_the_labels_of_every_target_of_a_pack():
    """Targets that train in one program are conditions of their replicas."""
    configs = [canonical_holdout.get_config(f"task={name},tiny") for name in ("parity", "pvr")]
    for config in configs:
        config.data.label_noise = 0.3
        config.task.update({"n": 11} if config.task.name == "parity" else {"tie": -1})
    built = build(CANONICAL, configs)
    replicas = np.array([0, built.slices[1].start])
    conditions = jax.tree.map(lambda leaf: jnp.asarray(leaf)[replicas], built.replicas.conditions)
    batch = jax.vmap(lambda key, own: built.programs[0].batch(key, 0, **own))
    rows = batch(built.replicas.data_key[replicas], conditions)
    flipped = []
    for own, program in enumerate(built.programs):
        x, truth = np.asarray(rows["x"][own]), program.packed["truth"][0]
        flipped.append(rows["y"][own] != truth[(x > 0) @ (1 << np.arange(10, -1, -1))])
        assert 5 < flipped[-1].sum() < 40
    np.testing.assert_array_equal(*flipped)


@pytest.mark.slow
def test_rows_of_a_file_are_trained_on_and_compared_with_the_target():
    flags = (*TABLE, *ROWS, DROP, "--config.holdout.bits=0,3")
    assert command(CANONICAL_TINY, *flags) == 0
    (found,) = results.open("runs/canonical_holdout").runs
    assert found.sizes["replica"] == 4
    assert np.isfinite(found["generalization_error"].isel(step=-1)).all()
    # Lazy theories are silent on labels that need not be the target's.
    reasons = dict(zip(found["theory"].values, found["not_defined"].values, strict=True))
    assert "source: given 'rows'" in reasons["wide_ntk"] and reasons["influence"] == ""
    (directory,) = Path("runs/canonical_holdout").glob("truth_table-*")
    assert run_log.read_json(directory / "run.json")["training_rows"]["unseen"] == 0


@pytest.mark.slow
def test_a_file_that_was_edited_between_stages_is_refused(capsys):
    flags = (*TABLE, "--config.data.source=rows", "--config.data.file=mux6.npz", DROP)
    assert command(CANONICAL_TINY, *flags, "--stage=train") == 0
    with np.load("mux6.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez("mux6.npz", x=x.astype(np.int32), y=y)  # the same rows
    assert command(CANONICAL_TINY, *flags, "--stage=analyse") == 0
    np.savez("mux6.npz", x=x, y=np.where(np.arange(len(y)) == 3, -y, y))
    capsys.readouterr()
    assert command(CANONICAL_TINY, *flags, "--stage=predict") == 1
    assert "config.data.file: what mux6.npz holds has changed since" in capsys.readouterr().err
    # Nor does another run in the same work directory begin with other rows of that name.
    assert command(CANONICAL_TINY, *flags, "--config.train.epochs=2", "--stage=train") == 1


@pytest.mark.slow
def test_rows_of_a_file_in_an_unseen_domain():
    flags = ("--config.task.n=6", "--config.task.expression=x2*x3", *ROWS, DROP)
    config = "unseen_domain.py:setting=user,model=mlp,tiny"
    assert command(config, *flags) == 0
    (found,) = results.open("runs/unseen_domain").runs
    assert found["training_rows"].item() == "mux6.csv (40 rows of 0 and 1, labels of 0 and 1)"
    seen = (CUBE[CHOSEN, 0] == 1) | (CUBE[CHOSEN, 1] == 1)
    assert found["training_samples"].item() == seen.sum()
    assert "mux6.csv" in Path("runs/unseen_domain/report/tasks.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--config.data.label_noise=0.05", "--config.data.bias=0.9"])
@pytest.mark.parametrize(
    "config",
    ["canonical_holdout.py:task=parity,tiny", "unseen_domain.py:setting=user,model=mlp,tiny"],
)
def test_noise_and_bias_by_command(config, flag):
    extra = ("--config.data.source=sampled",) if "unseen" in config else ()
    assert command(config, flag, *extra) == 0
    (found,) = results.open("runs").runs
    assert np.isfinite(found["generalization_error"].isel(step=-1)).all()
