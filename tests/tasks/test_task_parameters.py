"""Every bad parameter is refused in one line: what was given, what is allowed."""

import numpy as np
import pytest

from pvr_jax import tasks

REFUSED = [
    ("pvr", {"window": 9}, "window: given 9; allowed 1 to 8 (2**pointer_bits value bits)"),
    ("pvr", {"window": 0}, "window: given 0; allowed 1 to 8 (2**pointer_bits value bits)"),
    ("pvr", {"window": True}, "window: given True; allowed 1 to 8 (2**pointer_bits value bits)"),
    ("pvr", {"pointer_bits": 3.0}, "pointer_bits: given 3.0; allowed 1 to 10"),
    ("pvr", {"pointer_bits": "3"}, "pointer_bits: given '3'; allowed 1 to 10"),
    ("pvr", {"pointer_bits": None}, "pointer_bits: given None; allowed 1 to 10"),
    ("pvr", {"pointer_bits": 0}, "pointer_bits: given 0; allowed 1 to 10"),
    (
        "pvr",
        {"aggregation": "mean"},
        "aggregation: given 'mean'; allowed parity, majority, min, max",
    ),
    ("pvr", {"aggregation": ["min"]}, "aggregation: given ['min']; allowed parity, majority, min"),
    ("pvr", {"boundary": "wrap"}, "boundary: given 'wrap'; allowed cyclic, truncated"),
    ("pvr", {"tie": 2}, "tie: given 2; allowed -1, 0, 1"),
    ("pvr", {"tie": True}, "tie: given True; allowed -1, 0, 1"),
    ("pvr", {"tie": 1.0}, "tie: given 1.0; allowed -1, 0, 1"),
    (
        "pvr",
        {"windows": 2},
        "windows: given 2; allowed parameters of pvr are "
        "pointer_bits, window, aggregation, boundary, tie",
    ),
    ("pvr_majority", {"tie": "0"}, "tie: given '0'; allowed -1, 0, 1"),
    ("pvr_majority", {"window": 3}, "window: given 3; allowed parameters of pvr_majority are tie"),
    ("quadratic_chain", {"n": 1}, "n: given 1; allowed 2 to 4096"),
    ("staircase", {"n": 0}, "n: given 0; allowed 1 to 4096"),
    ("staircase", {"n": 4.0}, "n: given 4.0; allowed 1 to 4096"),
    ("linear", {"n": 2, "coefficients": (1,)}, "n: given 2; allowed 1, the number of coefficients"),
    ("linear", {"coefficients": ()}, "coefficients: given (); allowed 1 to 4096 numbers"),
    ("linear", {"coefficients": 3}, "coefficients: given 3; allowed a tuple of finite real"),
    ("linear", {"coefficients": "12"}, "coefficients: given '12'; allowed a tuple of finite"),
    ("linear", {"coefficients": (1, "a")}, "coefficients: given 'a'; allowed a finite real number"),
    ("linear", {"coefficients": (np.nan,)}, "coefficients: given nan; allowed a finite real"),
    ("linear", {"intercept": True}, "intercept: given True; allowed a finite real number"),
    ("linear", {"intercept": 1j}, "intercept: given 1j; allowed a finite real number"),
    ("parity", {"n": 3, "degree": 4}, "degree: given 4; allowed 0 to 3"),
    ("parity", {"n": 3, "coordinates": (3,)}, "coordinates: given 3; allowed 0 to 2"),
    (
        "parity",
        {"n": 3, "coordinates": (1, 1)},
        "coordinates: given (1, 1); allowed a tuple of different whole numbers 0 to 2",
    ),
    ("parity", {"n": 3, "coordinates": 1}, "coordinates: given 1; allowed a tuple of different"),
    (
        "parity",
        {"n": 3, "degree": 1, "coordinates": (1,)},
        "degree: given 1; allowed None where coordinates are given",
    ),
    ("truth_table", {}, "path: given None; allowed the path of a .npy file with 2**n values"),
    ("truth_table", {"path": 3}, "path: given 3; allowed the path of a .npy file"),
]


def refusal(call, *args, **params):
    with pytest.raises(ValueError) as raised:
        call(*args, **params)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "params", "message"), REFUSED, ids=lambda case: str(case)[:40])
def test_bad_parameters_are_named(name, params, message):
    assert refusal(tasks.make, name, **params).startswith(message)


@pytest.mark.parametrize("call", [tasks.make, tasks.parameters])
def test_unknown_task_suggests_the_nearest(call):
    known = "pvr, pvr_majority, quadratic_chain, staircase, linear, parity, polynomial, truth_table"
    start = f"allowed {known}, or your own 'module:function'"
    assert refusal(call, "pvrr") == f"name: given 'pvrr'; {start} (did you mean 'pvr'?)"
    assert refusal(call, "zzz") == f"name: given 'zzz'; {start}"
    assert refusal(call, 3) == f"name: given 3; {start}"
    assert refusal(call, ["pvr"]).startswith("name: given ['pvr']")


def test_long_values_are_shortened():
    message = refusal(tasks.make, "pvr", window=list(range(1000)))
    assert len(message) < 300


def test_parameters_tell_the_defaults():
    assert tasks.parameters("pvr") == {
        "pointer_bits": 3,
        "window": 1,
        "aggregation": "parity",
        "boundary": "cyclic",
        "tie": 0,
    }
    assert tasks.parameters("some.module:function") == {"n": None}


def test_numpy_whole_numbers_are_whole():
    task = tasks.make("pvr", pointer_bits=np.int64(2), tie=np.int32(1))
    assert task.params["pointer_bits"] == 2
    assert type(task.params["pointer_bits"]) is int
    assert type(task.params["tie"]) is int
