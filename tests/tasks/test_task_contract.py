"""What every registered task promises; a new registry line is tested here without more work."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import tasks

# Parameters for tasks that cannot be made from their defaults alone, and variants worth a run.
EXAMPLES = {
    "polynomial": [{"expression": "x0*x1 - 1.25*x1*x2 + 3*(x0 + x2)**2 - 1", "n": 4}],
    "truth_table": [{"path": "table.npy"}],
    "pvr": [
        {"pointer_bits": 2, "window": 3, "aggregation": a, "boundary": b, "tie": t}
        for a, b, t in [
            ("parity", "truncated", 0),
            ("majority", "cyclic", 1),
            ("min", "truncated", 0),
            ("max", "cyclic", 0),
        ]
    ],
    "parity": [{"n": 5, "degree": 0}, {"n": 5, "coordinates": (3, 1)}, {"n": 5, "coordinates": ()}],
    "linear": [{"n": 3}, {"coefficients": [0.5, -2], "intercept": 0}],
    "staircase": [{"n": 1}],
    "quadratic_chain": [{"n": 2}],
    "pvr_majority": [{"tie": -1}],
}


def needs_parameters(name):
    try:
        tasks.make(name)
    except ValueError:
        return True
    return False


CASES = [(name, {}) for name in tasks.names() if not needs_parameters(name)]
CASES += [(name, params) for name in EXAMPLES for params in EXAMPLES[name]]
IDENTITIES = [f"{name}-{number}" for number, (name, _) in enumerate(CASES)]


@pytest.fixture(params=CASES, ids=IDENTITIES)
def task(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("table.npy", np.random.default_rng(0).normal(size=8))
    name, params = request.param
    return tasks.make(name, **params)


def inputs(task, *leading, dtype=np.float32):
    rng = np.random.default_rng(1)
    return rng.choice([-1.0, 1.0], size=(*leading, task.n)).astype(dtype)


def test_every_task_is_covered():
    assert {name for name, _ in CASES} == set(tasks.names())


@pytest.mark.parametrize("leading", [(), (2, 3), (0,)])
def test_shape_follows_the_leading_axes(task, leading):
    x = inputs(task, *leading)
    assert jax.eval_shape(task.target, x).shape == leading
    if leading == ():
        assert task.target(x).shape == ()


def test_jit_changes_nothing(task):
    x = inputs(task, 64)
    np.testing.assert_allclose(jax.jit(task.target)(x), task.target(x), rtol=1e-6, atol=1e-6)


def test_vmap_is_a_batch(task):
    x = inputs(task, 5, 4)
    whole, mapped, twice = jax.jit(
        lambda x: (task.target(x), jax.vmap(task.target)(x), jax.vmap(jax.vmap(task.target))(x))
    )(x)
    np.testing.assert_array_equal(mapped, whole)
    np.testing.assert_array_equal(twice, whole)


def test_answers_in_the_type_of_x(task):
    target = jax.jit(task.target)
    assert target(inputs(task, 3)).dtype == np.float32
    assert target(inputs(task, 3, dtype=np.int32)).dtype == np.float32
    with jax.enable_x64(True):
        x = inputs(task, 3, dtype=np.float64)
        y, single = target(x), target(x.astype(np.float32))
        assert (y.dtype, single.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(y, single, rtol=1e-6, atol=1e-6)


def test_whole_number_inputs_are_as_good(task):
    x = inputs(task, 9)
    target = jax.jit(task.target)
    np.testing.assert_array_equal(target(x.astype(np.int32)), target(x))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint32])
def test_inputs_that_cannot_be_minus_one_are_refused(task, dtype):
    x = np.ones((2, task.n), dtype)
    message = rf"^x: given {np.dtype(dtype)}\[2, {task.n}\]; allowed -1 and \+1, for bits"
    for target in (task.target, jax.jit(task.target)):
        with pytest.raises(ValueError, match=message):
            target(x)


def test_truth_table_is_the_target_on_the_cube(task):
    every = np.array(list(itertools.product([-1, 1], repeat=task.n)), np.float32)
    table = tasks.truth_table(task)
    assert table.shape == (2**task.n,)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, jax.jit(task.target)(every), rtol=1e-6, atol=1e-6)


def test_wrong_number_of_coordinates_is_refused(task):
    with pytest.raises(ValueError, match=r"^x: given shape .*; allowed \(\.\.\., \d+\)$"):
        task.target(jnp.ones((2, task.n + 1)))
    with pytest.raises(ValueError, match=r"^x: given shape"):
        task.target(1.0)


def test_parameters_are_full_and_plain(task):
    assert set(task.params) == set(tasks.parameters(task.name))
    again = tasks.make(task.name, **task.params)
    assert again.params == task.params
    from_json = tasks.make(task.name, **json.loads(json.dumps(task.params)))
    x = inputs(task, 16)
    np.testing.assert_array_equal(from_json.target(x), task.target(x))


def test_chunks_of_a_large_table_join_in_order():
    # n = 18 is four chunks; the value is the number of the point, exact in float32.
    coefficients = tuple(2.0 ** (17 - i) / 2 for i in range(18))
    task = tasks.make("linear", coefficients=coefficients, intercept=(2**18 - 1) / 2)
    np.testing.assert_array_equal(tasks.truth_table(task), np.arange(2**18))


def test_tables_beyond_24_coordinates_are_refused():
    message = r"^n: given 37; allowed 1 to 24 for a truth table$"
    with pytest.raises(ValueError, match=message):
        tasks.truth_table(tasks.make("pvr", pointer_bits=5))


def test_simple_targets_by_hand():
    x = np.array([-1, 1, -1, 1], np.float32)
    assert tasks.make("quadratic_chain", n=4).target(x) == -1 - 2 - 3
    assert tasks.make("staircase", n=4).target(x) == -1 - 1 + 1 + 1
    assert tasks.make("linear", n=4).target(x) == 1 - 2 - 3 - 4 - 5
    assert tasks.make("linear", coefficients=(1, 2, 3, 4), intercept=0.5).target(x) == 2.5
    assert tasks.make("parity", n=4, degree=3).target(x) == 1
    assert tasks.make("parity", n=4, coordinates=(0, 1)).target(x) == -1
