"""Targets from outside: a table in a file, a function of the user's own."""

import sys

import jax
import numpy as np
import pytest

from pvr_jax import tasks


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


def refusal(name, **params):
    with pytest.raises(ValueError) as raised:
        tasks.make(name, **params)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_table_comes_back(workplace):
    values = np.random.default_rng(0).normal(size=2**6)
    np.save("table.npy", values)
    task = tasks.make("truth_table", path="table.npy")
    assert (task.n, task.params) == (6, {"path": "table.npy"})
    np.testing.assert_array_equal(tasks.truth_table(task), values.astype(np.float32))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(tasks.truth_table(task), values)
    (workplace / "table.npy").unlink()
    np.testing.assert_array_equal(tasks.truth_table(task), values.astype(np.float32))


def test_a_table_written_from_a_task_is_that_task(workplace):
    f3 = tasks.make("pvr_majority")
    np.save("f3.npy", np.asarray(tasks.truth_table(f3)).astype(np.int8))
    again = tasks.make("truth_table", path=workplace / "f3.npy")
    assert again.params == {"path": str(workplace / "f3.npy")}
    np.testing.assert_array_equal(tasks.truth_table(again), tasks.truth_table(f3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(7), "one axis of length 2**n, n from 1 to 24"),
        (np.zeros(1), "one axis of length 2**n, n from 1 to 24"),
        (np.zeros(0), "one axis of length 2**n, n from 1 to 24"),
        (np.zeros((2, 2)), "one axis of length 2**n, n from 1 to 24"),
        (np.array([1.0, np.nan]), "finite numbers that float32 can hold"),
        (np.array([1.0, np.inf]), "finite numbers that float32 can hold"),
        (np.array([1.0, 1e300]), "finite numbers that float32 can hold"),
        (np.array([1j, 1]), "an array of real numbers"),
        (np.array([True, False]), "an array of real numbers"),
        (np.array(["a", "b"]), "an array of real numbers"),
        (np.array([{}, {}], dtype=object), "a .npy file of numbers, nothing pickled"),
    ],
    ids=str,
)
def test_bad_tables(values, message):
    np.save("bad.npy", values, allow_pickle=True)
    text = refusal("truth_table", path="bad.npy")
    assert text.startswith("path: given 'bad.npy")
    assert text.endswith(f"; allowed {message}")


def test_files_that_are_no_table(workplace):
    assert refusal("truth_table", path="missing.npy") == (
        "path: given 'missing.npy'; allowed the path of a .npy file that exists"
    )
    assert "that exists" in refusal("truth_table", path=str(workplace))
    assert "that exists" in refusal("truth_table", path="long" * 100)
    assert "that exists" in refusal("truth_table", path="nul\0.npy")
    np.savez("several.npz", a=np.zeros(2))
    (workplace / "text.npy").write_text("1, 2\n")
    (workplace / "empty.npy").write_bytes(b"")
    np.save("cut.npy", np.zeros(8))
    (workplace / "cut.npy").write_bytes((workplace / "cut.npy").read_bytes()[:-9])
    for shape in ((2**45,), (2**24,), (2**70,), (-8,)):  # promised, and not there
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        with (workplace / f"promise{shape[0]}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
    promises = [path.name for path in workplace.glob("promise*.npy")]
    for name in ("several.npz", "text.npy", "empty.npy", "cut.npy", *promises):
        assert refusal("truth_table", path=name).startswith(f"path: given '{name}'; allowed a .npy")


GOOD = """
import jax.numpy as jnp

def product(x):
    return jnp.prod(x, axis=-1)

def count(x):
    return jnp.sum(x > 0, axis=-1)

def scalar(x):
    return jnp.prod(x)

def same(x):
    return x

def pair(x):
    return x[..., 0], x[..., 1]

def complex_values(x):
    return x[..., 0] * 1j

def boolean(x):
    return x[..., 0] > 0

def branching(x):
    return 1.0 if x[0] > 0 else 2.0

def no_argument():
    return 1.0

number = 3
"""


def test_own_function_of_the_working_directory(workplace):
    (workplace / "own_tasks.py").write_text(GOOD)
    path_before = list(sys.path)
    task = tasks.make("own_tasks:product", n=5)
    assert sys.path == path_before
    assert (task.name, task.n, task.params) == ("own_tasks:product", 5, {"n": 5})
    parity = tasks.make("parity", n=5)
    np.testing.assert_array_equal(tasks.truth_table(task), tasks.truth_table(parity))
    x = np.ones((2, 3, 5), np.float32)
    assert jax.jit(task.target)(x).shape == (2, 3)


def test_whole_number_results_become_floats(workplace):
    (workplace / "own_count.py").write_text(GOOD)
    y = tasks.make("own_count:count", n=4).target(np.ones((2, 4), np.float32))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [4, 4])


def test_own_function_of_a_package(workplace):
    (workplace / "own_package").mkdir()
    (workplace / "own_package" / "inner.py").write_text(GOOD)
    assert tasks.make("own_package.inner:product", n=2).n == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("scalar", "it returns float32[] for x[3, 5]"),
        ("same", "it returns float32[5] for x[5]"),
        ("pair", "it returns tuple"),
        ("complex_values", "it returns complex64[] for x[5]"),
        ("boolean", "it returns bool[] for x[5]"),
        ("branching", "TracerBoolConversionError"),
        ("no_argument", "TypeError: no_argument() takes 0 positional arguments"),
        ("number", "'number' is not a function"),
        ("absent", "'absent' is not there"),
    ],
)
def test_functions_that_are_no_target(workplace, function, message):
    (workplace / "own_bad.py").write_text(GOOD)
    text = refusal(f"own_bad:{function}", n=5)
    assert text.startswith(f"name: given 'own_bad:{function}'; allowed a function of ")
    assert message in text


def test_modules_that_do_not_import(workplace):
    assert refusal("own_absent:f", n=2) == (
        "name: given 'own_absent:f'; allowed a module that is installed or lies in the working "
        "directory (no module named 'own_absent')"
    )
    (workplace / "own_missing.py").write_text("import own_never_written\n")
    assert "a module that imports (ModuleNotFoundError" in refusal("own_missing:f", n=2)
    (workplace / "own_syntax.py").write_text("def f(x:\n")
    assert "a module that imports (SyntaxError" in refusal("own_syntax:f", n=2)
    (workplace / "own_raising.py").write_text("raise RuntimeError('a\\nb')\n")
    assert "a module that imports (RuntimeError: a)" in refusal("own_raising:f", n=2)


@pytest.mark.parametrize("name", [":f", "own:", "own:f:g", "own.:f", "o wn:f", "own:f()", ":"])
def test_malformed_names(name):
    assert refusal(name, n=2) == (
        f"name: given {name!r}; allowed 'module:function' with a module and a function of Python"
    )


def test_n_is_required_and_alone():
    assert refusal("own_tasks:f") == (
        "n: given None; allowed 1 to 4096 (the number of bits of own_tasks:f)"
    )
    assert refusal("own_tasks:f", n=2, m=3) == (
        "m: given 3; allowed parameters of own_tasks:f are n"
    )
