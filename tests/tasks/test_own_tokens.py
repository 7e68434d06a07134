"""Tasks on tokens whose label, and what is withheld, are functions of the user's own."""

import itertools
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.tasks import classification, conditional_pvr, drawn_sets, own_tokens, token_pvr

MODULE = """
import jax.numpy as jnp

from pvr_jax.tasks import conditional_pvr


def retrieved(tokens):
    return tokens[1 + tokens[0]]


def parity(tokens):
    return retrieved(tokens) % 2


def hops(tokens):
    return conditional_pvr.label(tokens)


def total(tokens):
    return jnp.sum(tokens) - 1


def real(tokens):
    return tokens[0] / 2


def ascending(tokens):
    return tokens[0] < tokens[1]


def most(tokens):
    return (tokens[0] > 0) | (tokens[1] > 0)


def everything(tokens):
    return tokens[0] >= 0


def nothing(tokens):
    return tokens[0] < 0
"""
CASES = [("ascending", 6), ("most", 1)]  # with how many of nine pairs of tokens are shown
SMALL = {"length": 4, "alphabet": 3, "classes": 2}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(MODULE)
    yield
    sys.modules.pop("own_tokens_here", None)


def write(text):
    """Write the module of the user's own, for a process that has not imported it yet."""
    Path("own_tokens_here.py").write_text(text)
    sys.modules.pop("own_tokens_here", None)


def make(function="parity", withheld="", **params):
    if withheld:
        params["withheld"] = f"own_tokens_here:{withheld}"
    return classification.make(f"own_tokens_here:{function}", **params)


def mapped(function, count):
    """Return what a function of a key says of so many keys; it compiles in little time."""
    keys = jax.random.split(jax.random.key(5), count)
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    found = jax.jit(jax.vmap(function), compiler_options=options)(keys)
    return jax.tree.map(np.asarray, found)


def pointed(tokens):
    """The parity of the value that the pointer points at, in plain Python."""
    return tokens[1 + tokens[0]] % 2


@pytest.mark.slow
def test_own_retrieval_labels_as_the_built_in_one_does(monkeypatch):
    monkeypatch.setattr(own_tokens, "LOOKED_AT", 2**12)
    task = make("retrieved")
    found = mapped(lambda key: task.draw(key, "train", {}), 500)
    assert found["x"].shape == (500, 11) and found["y"].dtype == np.int32
    assert np.array_equal(found["y"], token_pvr.label(found["x"], 0, 0))
    counted = np.bincount(found["x"].ravel(), minlength=10) / 5500
    assert np.abs(counted - 0.1).max() < 5 * 0.3 / 5500**0.5


def test_rows_are_those_of_a_built_in_task_of_the_same_law():
    """Conditional PVR draws uniform tokens too: every row is the same, so training is."""
    own = make("hops", length=6, alphabet=6, classes=6)
    built_in = classification.make("conditional_pvr", length=6)
    drawn = [
        mapped(partial(task.draw, part="train", conditions={}), 100) for task in (own, built_in)
    ]
    jax.tree.map(np.testing.assert_array_equal, *drawn)
    shares = own.facts(own.subtasks[0], 0.1).label_distribution
    assert shares.exact
    np.testing.assert_allclose(shares.shares, conditional_pvr.label_distribution(6), rtol=1e-12)


def test_facts_are_those_of_a_plain_loop_over_all_inputs():
    task = make(withheld="ascending", **SMALL)
    (subtask,) = task.subtasks
    assert subtask.name == "withheld1"
    facts, inputs = task.facts(subtask, 0.3), list(itertools.product(range(3), repeat=4))
    shown = [tokens for tokens in inputs if not tokens[0] < tokens[1]]
    ones = sum(map(pointed, shown)) / len(shown)
    np.testing.assert_allclose(facts.label_distribution.shares, [1 - ones, ones])
    assert facts.share_removed == (81 - len(shown)) / 81 and facts.label_distribution.exact
    noise = 0.7 * np.eye(3) + 0.1
    changes = sum(
        np.prod([noise[a, b] for a, b in zip(one, other, strict=True)])
        for one, other in itertools.product(inputs, repeat=2)
        if pointed(one) != pointed(other)
    )
    assert facts.noise_sensitivity.exact
    np.testing.assert_allclose(facts.noise_sensitivity.value, changes / 81)
    assert facts.description == "where own_tokens_here:ascending is True"


def test_facts_of_too_many_inputs_are_sampled(monkeypatch):
    monkeypatch.setattr(own_tokens, "MAX_LISTED", 80)
    monkeypatch.setattr(own_tokens, "LOOKED_AT", 2**14)
    write(MODULE)  # other functions than those that were looked at
    own = own_tokens.make("own_tokens_here:parity", "own_tokens_here:ascending", *SMALL.values())
    removed = own.share_removed()
    assert not own.exact and not removed.exact
    assert removed.low < 1 / 3 < removed.high < removed.low + 0.02
    shown = [t for t in itertools.product(range(3), repeat=4) if not t[0] < t[1]]
    ones = sum(map(pointed, shown)) / len(shown)
    assert abs(own.label_distribution(2).shares[1] - ones) < 5 * 0.5 / 10_000**0.5


@pytest.mark.parametrize(("withheld", "kept"), slow_but([("ascending", 6)], CASES))
def test_withheld_inputs_are_never_shown_and_all_others_are_equally_likely(withheld, kept):
    """Eight of nine inputs are withheld by "most": every second row is drawn again many times."""
    task = make(withheld=withheld, **SMALL)

    def one(key):
        drawn = {part: task.draw(key, part, {}) for part in drawn_sets.PARTS}
        return drawn, task.is_withheld(key, {})

    found, is_withheld = mapped(one, 3000)
    assert not is_withheld.any()
    for part in ("train", "iid"):
        tokens = found[part]["x"]
        pairs = np.bincount(3 * tokens[:, 0] + tokens[:, 1], minlength=9) / 3000
        assert sorted(pairs > 0) == [False] * (9 - kept) + [True] * kept
        assert np.abs(pairs[pairs > 0] - 1 / kept).max() < 5 * 0.5 / 3000**0.5
        allowed = tokens[:, 0] >= tokens[:, 1] if kept == 6 else tokens[:, :2].sum(axis=1) == 0
        assert allowed.all()
    tests = found["withheld"]
    assert len(np.unique(tests["x"], axis=0)) == 81 - 9 * kept
    assert [*map(pointed, tests["x"].tolist())] == tests["y"].tolist()


def test_a_training_example_that_is_withheld_would_be_found(monkeypatch):
    task = make(withheld="ascending", **SMALL)
    monkeypatch.setattr(own_tokens.OwnTokens, "shown", lambda self, key: self.uniform(key))
    found = mapped(lambda key: task.is_withheld(key, {}), 900)
    assert 200 < found.sum() < 400


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        ("parity", {"withheld": "everything"}, "withheld: given 'own_tokens_here:everything'; "
         "allowed a function that is True for 1 or more of 81 inputs and False for 0.3 % or more "
         "(it is True for 81)"),
        ("parity", {"withheld": "nothing"}, "withheld: given 'own_tokens_here:nothing'; allowed a "
         "function that is True for 1 or more of 81 "),
        ("parity", {"withheld": "parity"}, "withheld: given 'own_tokens_here:parity'; allowed a "
         "function of tokens[length] that returns bool, with length = 4 (it returns int32[] for"),
        ("parity", {"withheld": "absent"}, "withheld: given 'own_tokens_here:absent'; allowed a "
         "function of module"),
        ("retrieved", {}, "classes: given 2; allowed more than every label, which go from 0 on "
         "(own_tokens_here:retrieved returns 2 for [0, 2, 0, 0])"),
        ("total", {"classes": 9}, "name: given 'own_tokens_here:total'; allowed a function that "
         "returns 0 to classes - 1 (it returns -1 for [0, 0, 0, 0])"),
        ("real", {}, "name: given 'own_tokens_here:real'; allowed a function of tokens[length] that"
         " returns a whole number, with length = 4 (it returns float32[] for tokens[4])"),
        ("parity", {"length": 3}, "name: given 'own_tokens_here:parity'; allowed a function of "
         "tokens[length] with indices from 0 to length - 1 = 2 (it reads index 3 of length = 3;"),
        ("parity", {"alphabet": 1}, "alphabet: given 1; allowed 2 to 1000"),
        ("parity", {"length": 0}, "length: given 0; allowed 1 to 1000"),
        ("parity", {"complexities": (1,)}, "complexities: given (1,); allowed parameters of "
         "own_tokens_here:parity: length, alphabet, classes, withheld"),
    ],
)  # fmt: skip
def test_mistakes_are_named_in_one_line(function, params, message):
    with pytest.raises(ValueError) as caught:
        make(function, **{**SMALL, **params})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_an_edited_function_has_another_content():
    first = make(withheld="ascending", **SMALL).contents()
    assert list(first) == ["task.name", "task.withheld"]
    write(MODULE.replace("tokens[0] < tokens[1]", "tokens[1] > tokens[0]"))
    again = make(withheld="ascending", **SMALL).contents()
    assert [first[field].has_become(again[field]) for field in first] == ["", ""]
    write(MODULE.replace("tokens[0] < tokens[1]", "tokens[0] > tokens[1]"))
    edited = make(withheld="ascending", **SMALL).contents()
    assert first["task.name"].has_become(edited["task.name"]) == ""
    assert first["task.withheld"].stands_for(edited["task.withheld"])
    assert first["task.withheld"].has_become(edited["task.withheld"]) == (
        "own_tokens_here:ascending has other values, and its source has changed"
    )
    assert list(make(**SMALL).contents()) == ["task.name"]
