"""Names say what was computed, and different runs have different ones."""

import itertools

import pytest

from experiments import command_line, reproduce
from pvr_jax.reporting.reading import variants_of
from pvr_jax.reporting.runs import Replica

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
    package = command_line.load_experiment(config.experiment, "problem")
    names = package.assemble(config).names
    assert len(set(names)) == len(names)
    for rate, scale in itertools.product(CLOSE, repeat=2):
        assert any(f"rate{rate}-scale{scale}-" in text for text in names)


def test_variants_of_close_rates_have_names_of_their_own():
    replicas = [Replica(f"r{rate}", 0, 0, None, rate, 1.0) for rate in CLOSE]
    assert [words for words, _ in variants_of(replicas)] == [
        "learning rate 0.001",
        "learning rate 0.0010000001",
    ]
