"""The contract of every registered classification task, and its data sets."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.tasks import classification, drawn_sets, token_holdouts

TASKS = {
    "token_pvr": {
        "aggregations": ("mod_sum", "median"),
        "complexities": (1, 2),
        "withheld": (0, 2),
    },
    "picture_strip": {"complexities": (1,), "withheld": (1,)},
    "visual_pvr": {"withheld": (0, 1)},
    "conditional_pvr": {"length": 12},
}


@pytest.fixture(scope="module", params=slow_but(["conditional_pvr"], classification.names()))
def task(request):
    # A KeyError here: a new task needs a line above.
    return classification.make(request.param, **TASKS[request.param])


def conditions_of(subtask):
    return jax.tree.map(jnp.int32, subtask.conditions)


def rows_of(task, subtask, count=40, seed=0):
    key, numbers = jax.random.key(seed), jnp.arange(count)
    return drawn_sets.training_rows(task.draw, key, numbers, conditions_of(subtask))


def test_examples_have_the_shape_and_the_labels_that_the_task_tells(task):
    for subtask in task.subtasks:
        rows = rows_of(task, subtask)
        assert rows["x"].shape == (40, *task.inputs.shape)
        if task.inputs.alphabet is None:
            assert rows["x"].dtype == jnp.float32
            assert rows["x"].min() >= 0 and 0.5 < rows["x"].max() <= 1
        else:
            assert rows["x"].dtype == jnp.int32
            assert rows["x"].min() >= 0 and rows["x"].max() < task.inputs.alphabet
        assert rows["y"].dtype == jnp.int32
        assert rows["y"].min() >= 0 and rows["y"].max() < task.classes


def test_a_row_depends_on_its_number_alone_and_jit_changes_nothing(task):
    subtask = task.subtasks[-1]
    rows = rows_of(task, subtask)
    few = jax.jit(
        lambda numbers: drawn_sets.training_rows(
            task.draw, jax.random.key(0), numbers, conditions_of(subtask)
        )
    )(jnp.array([7, 3]))
    for name in ("x", "y"):
        assert np.array_equal(few[name], rows[name][jnp.array([7, 3])])
    other = rows_of(task, subtask, seed=1)
    assert not np.array_equal(other["x"], rows["x"])


@pytest.mark.slow
def test_labels_are_distributed_as_the_facts_say(task):
    draw = jax.jit(
        jax.vmap(
            lambda key, conditions: task.draw(key, "train", conditions)["y"], in_axes=(0, None)
        )
    )
    keys = jax.random.split(jax.random.key(2), 4000)
    for subtask in task.subtasks:
        facts = task.facts(subtask, 0.1)
        assert facts.label_distribution.shares.shape == (task.classes,)
        assert abs(facts.label_distribution.shares.sum() - 1) < 1e-12
        labels = np.asarray(draw(keys, conditions_of(subtask)))
        found = np.bincount(labels, minlength=task.classes) / 4000
        # Repaired windows move labels by no more than the share removed of token tasks.
        moved = facts.share_removed if task.name != "visual_pvr" else 0.0
        assert np.abs(found - facts.label_distribution.shares).max() < 5 * 0.5 / 4000**0.5 + moved
        assert (facts.description == "") == (subtask.withheld == 0) == (facts.share_removed == 0)
        if facts.noise_sensitivity is not None:
            assert facts.noise_sensitivity.low <= facts.noise_sensitivity.value < 1


@pytest.mark.slow
def test_no_subtask_is_there_twice_and_equal_functions_are_one():
    task = classification.make(
        "token_pvr",
        aggregations=("mod_sum", "min", "max", "median", "majority_vote"),
        complexities=(0, 1, 2),
    )
    counted = Counter(subtask.complexity for subtask in task.subtasks)
    assert counted == {0: 1, 1: 3, 2: 5}
    tokens = rows_of(task, task.subtasks[0], 500)["x"]
    # Why: with two digits the lower median and the smallest of the most frequent are the minimum.
    labels = {
        name: classification.token_pvr.label(tokens, number, 1).tolist()
        for number, name in enumerate(classification.token_pvr.AGGREGATIONS)
    }
    assert labels["min"] == labels["median"] == labels["majority_vote"] != labels["max"]


@pytest.mark.slow
@pytest.mark.parametrize("samples, batch_size", [(10, 4), (3, 8), (8, 8)])
def test_an_epoch_of_a_fixed_set_shows_every_row_once(samples, batch_size):
    task = classification.make("token_pvr", complexities=(1,))
    conditions = conditions_of(task.subtasks[0])
    batch = jax.jit(drawn_sets.drawn_batches(task.draw, batch_size=batch_size))
    key = jax.random.key(3)
    rows = drawn_sets.training_rows(task.draw, key, jnp.arange(samples), conditions)
    expected = sorted(map(tuple, rows["x"].tolist()))
    steps = -(-samples // batch_size)
    orders = []
    for epoch in range(2):
        shown = []
        for step in range(epoch * steps, (epoch + 1) * steps):
            found = batch(key, step, samples=jnp.int32(samples), **conditions)
            kept = np.asarray(found["weight"]) == 1
            shown += map(tuple, np.asarray(found["x"])[kept].tolist())
        assert sorted(shown) == expected
        orders.append(shown)
    if samples > 3:
        assert orders[0] != orders[1]


@pytest.mark.slow
def test_a_stream_never_shows_a_row_again_and_test_rows_are_others():
    task = classification.make("token_pvr", complexities=(1,), withheld=(1,))
    conditions = conditions_of(task.subtasks[0])
    batch = jax.jit(drawn_sets.drawn_batches(task.draw, source="fresh", batch_size=64))
    key = jax.random.key(0)
    shown = [
        tuple(row)
        for step in range(40)
        for row in batch(key, step, samples=0, **conditions)["x"].tolist()
    ]
    fixed = drawn_sets.training_rows(task.draw, key, jnp.arange(2000), conditions)["x"]
    test = drawn_sets.test_rows(task.draw, "iid", jnp.arange(2000), conditions)["x"]
    everything = shown + [tuple(row) for row in [*fixed.tolist(), *test.tolist()]]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize(
    "name, params, message",
    [
        ("token_pvx", {}, "name: given 'token_pvx'; allowed conditional_pvr, "),
        ("token_pvr", {"m": 1}, "m: given 1; allowed parameters of token_pvr: aggregations, "),
        ("token_pvr", {"complexities": (10,)}, "complexities: given 10; allowed 0 to 9"),
        ("token_pvr", {"complexities": (1,), "withheld": (3,)}, "withheld: given 3; allowed 0 to "),
        ("token_pvr", {"aggregations": ("mean",)}, "aggregation: given 'mean'; allowed mod_sum"),
        ("visual_pvr", {"withheld": (2,)}, "withheld: given 2; allowed 0, 1"),
        ("visual_pvr", {"source": "cifar"}, "source: given 'cifar'; allowed digits, mnist"),
        ("conditional_pvr", {"length": 1}, "length: given 1; allowed 2 to 1000"),
    ],
)
def test_mistakes_are_named_in_one_line(name, params, message):
    with pytest.raises(ValueError) as caught:
        classification.make(name, **params)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token_pvr", "picture_strip"])
def test_training_examples_that_were_not_repaired_are_found(name, monkeypatch):
    """Holdout-1 with complexity 1: one example in a hundred has the window (0, 1)."""
    task = classification.make(name, complexities=(1,), withheld=(1,))
    conditions = task.subtasks[0].conditions
    keys = jax.random.split(jax.random.key(0), 2000)

    def found():
        return int(jax.jit(jax.vmap(lambda key: task.is_withheld(key, conditions)))(keys).sum())

    assert found() == 0
    monkeypatch.setattr(token_holdouts, "repair", lambda tokens, withheld, complexity: tokens)
    assert 5 < found() < 40
