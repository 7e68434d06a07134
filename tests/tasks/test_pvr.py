"""Pointer value retrieval against a plain loop written from the definition."""

import itertools

import jax
import numpy as np
import pytest

from pvr_jax import tasks

NAMES = ("pointer_bits", "window", "aggregation", "boundary", "tie")
AGGREGATIONS = ("parity", "majority", "min", "max")


def by_definition(x, pointer_bits, window, aggregation, boundary, tie):
    """One value, in words: read the pointer, cut out the window, aggregate it."""
    pointer = int("".join("1" if bit == 1 else "0" for bit in x[:pointer_bits]), 2)
    values = list(x[pointer_bits:])
    extended = values + values if boundary == "cyclic" else values
    chosen = extended[pointer : pointer + window]
    if aggregation == "parity":
        return -1 if chosen.count(-1) % 2 else 1
    if aggregation == "min":
        return min(chosen)
    if aggregation == "max":
        return max(chosen)
    ups, downs = chosen.count(1), chosen.count(-1)
    return tie if ups == downs else (1 if ups > downs else -1)


@pytest.mark.parametrize("boundary", ["cyclic", "truncated"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("pointer_bits", [1, 2, 3])
def test_equals_the_definition_everywhere(pointer_bits, aggregation, boundary):
    n = pointer_bits + 2**pointer_bits
    every = list(itertools.product([-1, 1], repeat=n))
    windows = range(1, 2**pointer_bits + 1)
    ties = (-1, 0, 1) if aggregation == "majority" else (0,)
    cases = [
        (pointer_bits, window, aggregation, boundary, tie)
        for window, tie in itertools.product(windows, ties)
    ]
    targets = [tasks.make("pvr", **dict(zip(NAMES, case, strict=True))).target for case in cases]
    answers = jax.jit(lambda x: [target(x) for target in targets])(np.array(every, np.float32))
    for case, answer in zip(cases, answers, strict=True):
        expected = [by_definition(x, *case) for x in every]
        np.testing.assert_array_equal(answer, expected, err_msg=str(case))


@pytest.mark.parametrize("boundary", ["cyclic", "truncated"])
def test_min_is_minus_max_of_minus_the_values(boundary):
    every = np.array(list(itertools.product([-1, 1], repeat=11)), np.float32)
    flipped = every * np.where(np.arange(11) < 3, 1, -1)[None, :].astype(np.float32)
    smallest = tasks.make("pvr", window=3, aggregation="min", boundary=boundary)
    largest = tasks.make("pvr", window=3, aggregation="max", boundary=boundary)
    np.testing.assert_array_equal(smallest.target(every), -largest.target(flipped))


@pytest.mark.parametrize("tie", [-1, 0, 1])
def test_the_papers_f3_is_a_truncated_majority(tie):
    params = {"pointer_bits": 3, "window": 3, "aggregation": "majority", "boundary": "truncated"}
    general = tasks.make("pvr", **params, tie=tie)
    f3 = tasks.make("pvr_majority", tie=tie)
    assert f3.n == 11
    np.testing.assert_array_equal(tasks.truth_table(f3), tasks.truth_table(general))


def test_first_window_and_most_significant_bit():
    """-1, -1, -1 addresses the first value bit; the first pointer bit alone, the fifth."""
    target = tasks.make("pvr").target
    values = np.where(np.arange(8) == 0, -1.0, 1.0)
    assert target(np.concatenate([[-1.0, -1, -1], values])) == -1
    assert target(np.concatenate([[-1.0, -1, 1], values])) == 1
    values = np.where(np.arange(8) == 4, -1.0, 1.0)
    assert target(np.concatenate([[1.0, -1, -1], values])) == -1
