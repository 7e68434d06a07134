"""What experiments can do beside training a network on a fixed task, each on a toy that runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import pvr_jax
from configs import sections
from pvr_jax import building, frame, results
from pvr_jax.boolean import cube
from pvr_jax.experiment import Computed, Experiment, Program
from pvr_jax.refusal import Refusal
from pvr_jax.results import Measure

N = 3
HALF = {"units": "half squared error", "bounds": (0, np.inf)}
MEASURES = {
    "generalization_error": Measure("error", "½E(g − f)².", domain="whole cube", **HALF),
    "batch_loss": Measure("batch loss", "Mean squared error.", bounds=(0, np.inf)),
    "alignment": Measure("alignment", "Of two replicas.", dims=("checkpoint", "other")),
    "spread": Measure("spread", "Running deviation of the inputs."),
    "momentum": Measure("momentum", "What the optimizer remembers.", kind="state"),
}


def config_of(**train):
    given = {"seeds": 2, "epochs": 6, "learning_rates": (0.1,), "optimizer": "sgd"}
    return ConfigDict(
        {
            "experiment": "toy",
            "size": "",
            "task": {"name": "polynomial", "n": N, "expression": "x0 + 0.5*x1"},
            "model": {"name": "linear_student"},
            "train": sections.train(**{**given, "execution": "map", **train}),
            "evaluation": {"every_epochs": 3},
            "checkpoint": sections.checkpoint(2),
        }
    )


def target(x):
    return x[..., 0] + 0.5 * x[..., 1]


def apply(params, x):
    return x @ params["w"] + params["b"]


def batch(key, step):
    x = cube.points(N).astype(jnp.float32)
    return {"x": x, "y": target(x), "weight": jnp.ones(len(x))}


def measure(outputs, drawn):
    x = cube.points(N).astype(outputs.dtype)
    return {"generalization_error": 0.5 * jnp.mean(jnp.square(outputs - target(x)))}


def program(**changes):
    functions = {
        "init": lambda key: {"w": jax.random.normal(key, (N,)), "b": jnp.float32(0.5)},
        "apply": apply,
        "batch": batch,
        "outputs": lambda params, drawn: apply(params, cube.points(N).astype(jnp.float32)),
        "measure": measure,
    }
    return Program(**{**functions, **changes})


def toy(**changes):
    return Experiment("toy", MEASURES, lambda config, replicas: program(**changes))


def errors(experiment, config, workdir=None):
    return pvr_jax.run(experiment, config, workdir).array("generalization_error")


@pytest.fixture(scope="module")
def expected():
    return errors(toy(), config_of())


def test_the_toy_learns(expected):
    assert (expected.isel(step=-1) < expected.isel(step=0)).all()


@pytest.mark.parametrize(("more", "trained"), [({"seeds": 3}, [1, 2]), ({"epochs": 9}, [2, 2])])
def test_more_of_a_run_goes_on_with_what_is_there(more, trained, expected, tmp_path):
    """Of three seeds one is trained, of nine epochs three; the numbers are those of one run."""
    errors(toy(), config_of(), tmp_path)
    found = errors(toy(), config_of(**more), tmp_path).sortby("seed")
    whole = errors(toy(), config_of(**more)).sortby("seed")
    both = [step for step in whole["step"].values if step in found["step"].values]
    # A checkpoint of one may have been only evaluated by the other, in float32.
    np.testing.assert_allclose(found.sel(step=both), whole.sel(step=both), rtol=1e-6)
    np.testing.assert_array_equal(found.isel(step=-1), whole.isel(step=-1))
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/run.json")]
    assert sorted(len(record["replicas"]) for record in records) == trained


def test_an_objective_takes_the_place_of_a_network_and_its_loss(expected):
    def objective(params, batch, carry):
        return jnp.mean(jnp.square(apply(params, batch["x"]) - batch["y"])), carry

    found = errors(toy(apply=None, objective=objective), config_of())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_loss_by_name_takes_the_place_of_the_own_one(tmp_path, monkeypatch):
    (tmp_path / "hooks_of_mine.py").write_text("def fourth(p, y):\n    return (p - y) ** 4\n")
    monkeypatch.chdir(tmp_path)
    given = {}
    with monkeypatch.context() as patched:
        patched.setattr(building.run, "build_ensemble", lambda *_, **functions: functions)
        for name in ("", "absolute_error", "hooks_of_mine:fourth"):
            own = toy(loss=lambda p, batch, axis: p.sum())
            given[name] = building.build(own, (config_of(loss=name),)).ensemble["loss"]
    rows = {"y": jnp.array([1.0, 2.0]), "weight": jnp.array([1.0, 3.0])}
    found = [float(loss(jnp.array([3.0, 3.0]), rows, None)) for loss in given.values()]
    assert found == [6.0, (2 + 3 * 1) / 4, (16 + 3 * 1) / 4]
    with pytest.raises(Refusal, match=r"^config.train.loss: given 'absolute_error'; allowed ''"):
        pvr_jax.run(toy(apply=None, objective=lambda *_: None), config_of(loss="absolute_error"))


@pytest.mark.slow
def test_training_follows_the_loss_that_is_named():
    default, same, other = (
        errors(toy(), config_of(loss=name)) for name in ("", "squared_error", "absolute_error")
    )
    np.testing.assert_array_equal(default, same)
    assert (other.isel(step=-1) < other.isel(step=0)).all()
    assert (other.isel(step=-1).values != default.isel(step=-1).values).all()


def test_a_loss_names_a_run_only_where_it_is_not_the_own_one():
    experiment, without = toy(), config_of()
    with without.unlocked():
        del without.train.loss
    names = [experiment.identity(own) for own in (without, config_of(), config_of(loss="hinge"))]
    assert names[0] == names[1] != names[2]


def test_what_an_objective_carries_is_saved_and_evaluated(tmp_path):
    # Batch normalization in one number: the running deviation of the inputs, half old, half new.
    def objective(params, batch, carry):
        now = jnp.std(2 * batch["x"])
        loss = jnp.mean(jnp.square(apply(params, 2 * batch["x"] / now) - batch["y"]))
        return loss, {"deviation": 0.5 * carry["deviation"] + 0.5 * now}

    def outputs(trained, drawn):
        params, carry = trained
        values = apply(params, 2 * cube.points(N).astype(jnp.float32) / carry["deviation"])
        return {"values": values, "deviation": carry["deviation"]}

    experiment = toy(
        objective=objective,
        carry=lambda params: {"deviation": jnp.float32(0)},
        outputs=outputs,
        measure=lambda outputs, drawn: {
            **measure(outputs["values"], drawn), "spread": outputs["deviation"],
        },
    )  # fmt: skip
    # After no step the deviation is 0, and what is divided by it is not finite.
    study = pvr_jax.run(experiment, config_of(), tmp_path)
    spread = study.array("spread")
    at = {3: 2 * (1 - 0.5**3), 6: 2 * (1 - 0.5**6)}
    for step, expected in at.items():
        np.testing.assert_allclose(spread.sel(step=step), expected, rtol=1e-6)


def test_replicas_are_compared_at_every_kept_checkpoint():
    def at_the_end(end):
        weights = np.stack([params["w"] for _, params in end.kept()])
        unit = weights / np.linalg.norm(weights, axis=-1, keepdims=True)
        assert end.params["w"].shape == (2, N) and len(end.replicas) == 2
        return {"alignment": np.einsum("tri,tsi->rts", unit, unit)}

    alignment = pvr_jax.run(toy(at_the_end=at_the_end), config_of()).array("alignment")
    own = np.array([alignment.values[i, :, i] for i in range(2)])
    np.testing.assert_allclose(own, 1, rtol=1e-6)
    first, last = alignment.values[0, [0, -1], 1]
    assert last > first  # they start apart, and learn one function


@pytest.mark.slow
def test_a_task_begins_with_a_fresh_optimizer():
    def tasks(key, step):
        return {name: jnp.where(step < 3, own, -own) for name, own in batch(key, step).items()}

    def weighted(key, step):
        return {**tasks(key, step), "weight": jnp.ones(2**N)}

    def at_the_end(end):
        trace = jax.tree.leaves(end.state().optimizer)
        return {"momentum": sum(np.abs(leaf).reshape(2, -1).sum(axis=1) for leaf in trace)}

    def momentum(**changes):
        config = config_of(epochs=4, momentum=0.9)
        experiment = toy(batch=weighted, at_the_end=at_the_end, **changes)
        return pvr_jax.run(experiment, config).array("momentum").values

    assert (momentum(fresh_at=(3,)) != momentum()).all()


@pytest.mark.slow
def test_frozen_parameters_stay_as_they_start(tmp_path):
    experiment = toy()
    for freeze, stays in (("w", "w"), ("b", "b")):
        config = config_of(freeze=freeze, optimizer="adamw(weight_decay=0.1)")
        study = pvr_jax.run(experiment, config, tmp_path)
        directory = tmp_path / "toy" / study.final()["run"].iloc[0]
        first, last = (pvr_jax.load_params(directory, step).params for step in (0, 6))
        for name in "wb":
            assert (first[name] == last[name]).all() == (name == stays)
    with pytest.raises(
        Refusal, match=r"^config.train.freeze: given 'z'; allowed beginnings of b, w"
    ):
        pvr_jax.run(experiment, config_of(freeze="z"))


@pytest.mark.slow
def test_a_network_computes_in_bfloat16_with_parameters_in_float32(tmp_path):
    config = config_of(dtype="bfloat16")
    found, expected = errors(toy(), config, tmp_path), errors(toy(), config_of())
    last = found.isel(step=-1).values / expected.isel(step=-1).values
    assert (last != 1).all() and np.all(np.abs(last - 1) < 0.2)  # a bfloat16 has 8 bits
    directory = next(tmp_path.glob("toy/*"))
    assert {leaf.dtype for leaf in pvr_jax.load_params(directory).params.values()} == {
        np.dtype("float32")
    }


@pytest.mark.slow
def test_training_starts_from_another_run(tmp_path):
    experiment = toy()
    source = pvr_jax.run(experiment, config_of(), tmp_path)
    directory = tmp_path / "toy" / source.final()["run"].iloc[0]
    config = config_of(start=str(directory), learning_rates=(0.05,))
    begun = pvr_jax.run(experiment, config, tmp_path)
    first = begun.array("generalization_error").sel(run=begun.final()["run"].iloc[0])
    before = source.array("generalization_error").isel(step=-1).values
    np.testing.assert_allclose(first.isel(step=0).values[-2:], before, rtol=1e-6)
    with pytest.raises(Refusal, match=r"^config.train.start: given 'nowhere'; allowed a finished"):
        pvr_jax.run(experiment, config_of(start="nowhere"))
    with pytest.raises(
        Refusal, match=r"^config.train.start: given a run with 0 replicas for seed2"
    ):
        pvr_jax.run(experiment, config_of(start=str(directory), first_seed=2))
    other = toy(init=lambda key: {"w": jnp.zeros(N + 1), "b": jnp.float32(0)})
    with pytest.raises(Refusal, match=r"^config.train.start: given .* has other parameters"):
        pvr_jax.run(other, config_of(start=str(directory)))


def test_what_trains_nothing_is_computed(tmp_path):
    widths = (1.0, 2.0, 4.0)
    measures = {
        "length": Measure("length", "Squared length of a signal.", dims=("layer", "sigma_w")),
        "critical": Measure("critical deviation", "Where lengths stay.", kind="exact"),
    }

    def compute(config):
        layers = np.arange(config.signal.layers)
        lengths = np.array(config.signal.widths) ** layers[:, None]
        coordinates = {"layer": layers, "sigma_w": config.signal.widths}
        return Computed({"length": lengths, "critical": 1.0}, coordinates)

    experiment = Experiment("toy", measures, compute=compute, check=lambda config: None)
    config = ConfigDict(
        {"experiment": "toy", "size": "", "signal": {"layers": 3, "widths": widths}}
    )
    assert experiment.stages == ("analyse", "report")
    study = pvr_jax.run(experiment, config, tmp_path)
    lengths = study.array("length")
    assert lengths.dims == ("layer", "sigma_w") and float(lengths.sel(layer=2, sigma_w=4)) == 16
    assert study.curve("length")["length"].max() == 16
    assert study.final()["critical"].tolist() == [1.0]
    (path,) = tmp_path.glob("toy/*/measures.nc")
    written = path.stat().st_mtime_ns
    frame.analyse(experiment, config, tmp_path)
    assert path.stat().st_mtime_ns == written and not results.check(results.read(path))
