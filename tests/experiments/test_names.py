"""Names say what was computed, and different runs have different ones."""

import itertools

import pytest

from experiments import command_line, main, registry, reproduce
from experiments.sweep import definition
from experiments.unseen_domain.experiment import EXPERIMENT
from pvr_jax.building import replica_table

CLOSE = (0.001, 0.0010000001)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("canonical_holdout", "task=parity,tiny"),
        ("unseen_domain", "setting=2parity,tiny"),
        ("degree_curriculum", "size=small,tiny"),
        ("token_pvr", "size=small,tiny"),
    ],
)
def test_replicas_of_close_rates_and_scales_have_names_of_their_own(name, choice):
    config = reproduce.load(name).get_config(choice)
    with config.unlocked():
        config.train.update({"learning_rates": CLOSE, "init_scales": CLOSE})
    names = replica_table(registry.experiment_of(config), config)["name"].tolist()
    assert len(set(names)) == len(names)
    for rate, scale in itertools.product(CLOSE, repeat=2):
        assert any(f"rate{rate}-scale{scale}-" in text for text in names)


PUBLISHED = "configs/unseen_domain.py:setting=2parity,model=mlp,tiny"


def prepared(config, *fields):
    line = command_line.parse(["main", f"--config={config}", *fields])
    main.prepared(line)
    return line.config


@pytest.mark.parametrize(
    "field",
    [
        "--config.task.expression=x0*x1*x2",
        "--config.task.n=7",
        "--config.holdout.condition=x0 = 1",
    ],
)
def test_a_published_setting_with_another_field_has_not_its_name(field):
    config = prepared(PUBLISHED, field)
    assert config.setting == ""
    user = prepared(PUBLISHED.replace("2parity", "user"), field)
    assert EXPERIMENT.run_name(config) == EXPERIMENT.run_name(user)


def test_a_radius_by_hand_is_not_the_published_one():
    file = "configs/length_generalization.py:radius=6,size=small"
    assert prepared(file).setting == "lengthgen6"
    assert prepared(file, "--config.holdout.radius=5").setting == ""
    assert prepared(file, "--config.holdout.radius=5", "--config.setting=mine").setting == "mine"


def test_other_numbers_leave_a_setting_its_name():
    assert prepared(PUBLISHED, "--config.train.seeds=1").setting == "2parity"


def test_a_sweep_over_expressions_has_not_the_published_name(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from configs import unseen_domain\n"
        "def get_config(arg=None):\n    return unseen_domain.get_config(arg)\n"
        "def sweep_targets():\n    yield {'task.expression': 'x0*x1*x2'}\n"
        "def sweep_settings():\n"
        "    yield {'setting': 'threesym'}\n    yield {'setting': 'maj3'}\n"
    )
    request = command_line.SweepRequest(str(file), "setting=2parity,tiny", ("targets",), {})
    assert [cell.config.setting for cell in definition.expand(request)] == [""]
    request = command_line.SweepRequest(str(file), "tiny", ("settings",), {})
    assert [cell.config.setting for cell in definition.expand(request)] == ["threesym", "maj3"]
    request = request._replace(overrides={"holdout.condition": "x0 = 1"}, names=("settings",))
    assert [cell.config.setting for cell in definition.expand(request) if cell.config] == [""]
