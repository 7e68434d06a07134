"""Targets from outside: a table in a file, a function of the user's own."""

import re
import sys

import jax
import numpy as np
import pytest

from pvr_jax import tasks
from pvr_jax.boolean.fourier import walsh_hadamard
from pvr_jax.boolean.measures import influences


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
    assert (task.n, task.params["path"], task.params["encoding"]) == (6, "table.npy", "real")
    np.testing.assert_array_equal(tasks.truth_table(task), values.astype(np.float32))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(tasks.truth_table(task), values)
    (workplace / "table.npy").unlink()
    np.testing.assert_array_equal(tasks.truth_table(task), values.astype(np.float32))


def test_a_table_written_from_a_task_is_that_task(workplace):
    f3 = tasks.make("pvr_majority")
    np.save("f3.npy", np.asarray(tasks.truth_table(f3)).astype(np.int8))
    again = tasks.make("truth_table", path=workplace / "f3.npy")
    assert again.params == {
        "path": str(workplace / "f3.npy"),
        "encoding": "real",
        "order": "msb_first",
    }
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


def aes_s_box():
    """S-box of AES, from its definition: the inverse in GF(2^8), then an affine map (FIPS 197)."""

    def product(a, b):
        result = 0
        while b:
            result ^= a if b & 1 else 0
            a = (a << 1) ^ (0x11B if a & 0x80 else 0)
            b >>= 1
        return result

    box = []
    for x in range(256):
        inverse = next((y for y in range(256) if product(x, y) == 1), 0)
        rotated = [(inverse << k | inverse >> (8 - k)) & 0xFF for k in range(5)]
        box.append(int(np.bitwise_xor.reduce(rotated)) ^ 0x63)
    return np.array(box)


@pytest.mark.parametrize(
    ("mask", "dtype", "first"),
    [
        (0x01, np.uint8, (0.515625, 0.46875, 0.515625)),
        (0x01, bool, (0.515625, 0.46875, 0.515625)),
        (0xBB, np.uint8, (0.515625, 0.53125, 0.515625)),
        (0xBB, np.float32, (0.515625, 0.53125, 0.515625)),
    ],
)
def test_a_component_of_the_aes_s_box_has_its_influences(mask, dtype, first):
    box = aes_s_box()
    assert (box[0], box[1], box[0x53]) == (0x63, 0x7C, 0xED)  # FIPS 197, section 5.1.1
    component = np.array([int(value & mask).bit_count() % 2 for value in box])
    np.save("component.npy", component.astype(dtype))  # at the place of the byte that goes in
    chosen = {} if dtype is bool else {"encoding": "bit"}
    task = tasks.make("truth_table", path="component.npy", order="lsb_first", **chosen)
    spectrum = np.asarray(walsh_hadamard(tasks.truth_table(task)))
    found = np.asarray(influences(spectrum))
    np.testing.assert_allclose(found[:3], first)
    # Coordinate i is bit i of the byte: flip it in the table itself.
    places = np.arange(256)
    for i in range(8):
        assert found[i] == np.mean(component != component[places ^ (1 << i)])
    assert 128 - 128 * np.abs(spectrum).max() == 112  # nonlinearity of every component
    other = tasks.make("truth_table", path="component.npy", order="msb_first", **chosen)
    reversed_spectrum = np.asarray(walsh_hadamard(tasks.truth_table(other)))
    np.testing.assert_allclose(np.asarray(influences(reversed_spectrum)), found[::-1])


def test_a_digit_of_a_place_is_a_coordinate(workplace):
    # x0 - 2 x2 on three bits, in both orders; digit 0 is -1.
    def table(order):
        digits = [[(place >> i) & 1 for i in range(3)] for place in range(8)]
        bits = digits if order == "lsb_first" else [row[::-1] for row in digits]
        return np.array([(2 * b[0] - 1) - 2 * (2 * b[2] - 1) for b in bits])

    expected = tasks.make("polynomial", n=3, expression="x0 - 2*x2")
    for order in ("msb_first", "lsb_first"):
        np.save(f"{order}.npy", table(order))
        task = tasks.make("truth_table", path=f"{order}.npy", order=order)
        np.testing.assert_array_equal(tasks.truth_table(task), tasks.truth_table(expected))
    default = tasks.make("truth_table", path="msb_first.npy")
    np.testing.assert_array_equal(tasks.truth_table(default), tasks.truth_table(expected))


def test_zeros_and_ones_are_never_taken_without_a_word(workplace):
    np.save("bits.npy", np.array([0, 1, 1, 0], np.uint8))
    message = refusal("truth_table", path="bits.npy")
    assert message.startswith("encoding: given None; allowed for a table of 0 and 1: bit (")
    as_bits = tasks.truth_table(tasks.make("truth_table", path="bits.npy", encoding="bit"))
    np.testing.assert_array_equal(as_bits, [-1, 1, 1, -1])
    as_numbers = tasks.truth_table(tasks.make("truth_table", path="bits.npy", encoding="real"))
    np.testing.assert_array_equal(as_numbers, [0, 1, 1, 0])
    assert refusal("truth_table", path="bits.npy", encoding="").startswith("encoding: given ''")
    np.save("zeros.npy", np.zeros(4, np.uint8))
    assert refusal("truth_table", path="zeros.npy").startswith("encoding: given None")
    np.save("signs.npy", np.array([1, -1, -1, 1]))
    assert tasks.make("truth_table", path="signs.npy", encoding="sign").params["encoding"] == "sign"


@pytest.mark.parametrize(
    ("values", "params", "message"),
    [
        ([0, 1, 1, 0], {"encoding": "sign"}, "sign for a table of -1 and 1 alone, not 0"),
        ([1, -1, -1, 1], {"encoding": "bit"}, "bit for a table of 0 and 1 alone, not -1"),
        ([0.5, 1, 1, 0], {"encoding": "bit"}, "bit for a table of 0 and 1 alone, not 0.5"),
        ([0, 1, 1, 0], {"encoding": "01"}, "real, sign, bit"),
        ([1, -1, -1, 1], {"order": "lsb"}, "msb_first, lsb_first"),
    ],
)
def test_a_table_that_is_not_what_it_is_said_to_be(values, params, message):
    np.save("table.npy", np.array(values))
    (name,) = params
    text = refusal("truth_table", path="table.npy", **params)
    assert text == f"{name}: given {params[name]!r}; allowed {message}"


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


INDEXING = """
import jax
import jax.numpy as jnp
import numpy as np

def last(x):
    return x[..., 4] * x[..., -5]

def one_too_far(x):
    return x[..., 1] * x[..., 5]

def from_the_end(x):
    return x[..., -6]

def in_a_list(x):
    return jnp.prod(x[..., [1, 5]], axis=-1)

def in_an_array(x):
    return jnp.prod(x[..., np.array([1, 5])], axis=-1)

def taken(x):
    return jnp.take(x, 5, axis=-1)

def at(x):
    return x.at[..., 5].get()

def moved(x):
    return jnp.moveaxis(x, -1, 0)[5]

def in_a_loop(x):
    return jax.lax.fori_loop(0, 6, lambda i, product: product * x[..., i], jnp.ones(x.shape[:-1]))

def for_some_inputs(x):  # the place that x0 and x1 point at: 2 to 5
    place = 2 + (x[..., 0] > 0) + 2 * (x[..., 1] > 0)
    return jnp.take_along_axis(x, place[..., None], axis=-1)[..., 0]

def in_a_table(x):
    return jnp.arange(4.0)[jnp.sum(x > 0, axis=-1)]

def seen(x):
    return (x[..., 1] == 1) | (x[..., 5] == 1)

def shown(x):
    return x[..., 0] == 1
"""


@pytest.mark.parametrize(
    ("function", "place"),
    [
        ("one_too_far", "index 5 of n = 5"),
        ("from_the_end", "index -6 of n = 5"),
        ("in_a_list", "index 5 of n = 5"),
        ("in_an_array", "index 5 of n = 5"),
        ("taken", "index 5 of n = 5"),
        ("at", "index 5 of n = 5"),
        ("moved", "index 5 of n = 5"),
        ("in_a_loop", "index 5 of n = 5"),
        ("for_some_inputs", "index 5 of n = 5"),
        ("in_a_table", "index 4 of an axis of 4 with n = 5"),
    ],
)
def test_an_index_past_the_end_is_refused(workplace, function, place):
    # JAX itself reads the last place instead, so x4 would stand for x5.
    (workplace / "own_indices.py").write_text(INDEXING)
    text = refusal(f"own_indices:{function}", n=5)
    assert text.startswith(f"name: given 'own_indices:{function}'; allowed a function of x[..., n]")
    assert "indices from 0 to n - 1 = 4" in text and f"it reads {place};" in text
    if function != "in_a_table":
        assert tasks.make(f"own_indices:{function}", n=6).n == 6


def test_indices_of_many_bits_and_of_predicates(workplace):
    (workplace / "own_indices.py").write_text(INDEXING)
    assert tasks.make("own_indices:last", n=5).n == 5
    assert tasks.make("own_indices:one_too_far", n=40).n == 40
    assert tasks.make_seen_set("own_indices:shown", 5).n == 5
    assert tasks.make_seen_set("own_indices:seen", 6).n == 6
    with pytest.raises(ValueError, match=r"it reads index 5 of n = 5"):
        tasks.make_seen_set("own_indices:seen", 5)
    far = INDEXING.replace("5", "50")
    (workplace / "own_far.py").write_text(far)
    assert "it reads index 50 of n = 40" in refusal("own_far:one_too_far", n=40)


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


@pytest.mark.parametrize(
    ("line", "raised"),
    [
        ("exit()", "SystemExit: None"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise BaseException('a')", "BaseException: a"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_modules_and_functions_that_end_the_program_are_named(workplace, line, raised):
    (workplace / "own_ending.py").write_text(f"{line}\n")
    assert f"a module that imports ({raised})" in refusal("own_ending:f", n=2)
    (workplace / "own_function.py").write_text(f"def f(x):\n    {line}\n")
    assert f"with n = 2 ({raised})" in refusal("own_function:f", n=2)


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


@pytest.mark.parametrize(
    "formula, value",
    [
        ("jnp.log(x[..., 0])", "nan at point 0"),
        ("2.0**100 * x[..., 1] * 2.0**100", "-1.6069380442589903e+60 at point 0"),
    ],
)
def test_values_that_are_no_numbers_are_refused(workplace, formula, value):
    module = f"own_{len(formula)}"
    body = f"import jax.numpy as jnp\n\n\ndef f(x):\n    return {formula}\n"
    (workplace / f"{module}.py").write_text(body)
    task = tasks.make(f"{module}:f", n=4)
    with pytest.raises(ValueError, match=re.escape(f"target: given {value}; allowed finite")):
        tasks.exact_values(task)
