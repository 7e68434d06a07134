"""Training rows of the user's own: what is read, what is refused, what is shown."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax import tasks
from pvr_jax.tasks import contents, datasets
from pvr_jax.tasks.own_rows import read_rows

N = 4
CUBE = np.array(list(itertools.product([-1, 1], repeat=N)))
RNG = np.random.default_rng(0)
X = CUBE[RNG.integers(16, size=50)]
Y = RNG.normal(size=50)
PARITY = tasks.make("parity", n=N, degree=2)


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_csv(name, table, header=""):
    lines = [header] * bool(header) + [",".join(map(repr, row.tolist())) for row in table]
    with open(name, "w") as file:  # noqa: PTH123
        file.write("\n".join(lines) + "\n")


@pytest.mark.parametrize("low", [-1, 0])
@pytest.mark.parametrize("kind", ["npz", "csv", "csv with names", "bool"])
def test_files_of_all_kinds_hold_the_same_rows(low, kind):
    x = np.where(X == -1, low, 1)
    if kind == "npz":
        np.savez("own.npz", x=x, y=Y)
    elif kind == "bool":
        np.savez("own.npz", x=X > 0, y=Y)
    else:
        write_csv("own.csv", np.c_[x, Y], "a,b,c,d,y" if "names" in kind else "")
    rows = read_rows(f"own.{kind[:3] if kind != 'bool' else 'npz'}", N)
    np.testing.assert_array_equal(rows.x, X)
    np.testing.assert_array_equal(rows.y, Y.astype(np.float32))
    assert ("0 and 1" in rows.description) == (low == 0 or kind == "bool")


def test_labels_have_an_encoding_and_may_be_missing():
    y = X[:, 0] * X[:, 1]
    np.savez("bits.npz", x=X, y=(y + 1) // 2)
    np.testing.assert_array_equal(read_rows("bits.npz", N, "bit").y, y)
    np.testing.assert_array_equal(read_rows("bits.npz", N, "real").y, (y + 1) / 2)
    np.savez("flags.npz", x=X, y=y > 0)
    np.testing.assert_array_equal(read_rows("flags.npz", N).y, y)
    np.savez("rows.npz", x=X)
    write_csv("rows.csv", X)
    for name in ("rows.npz", "rows.csv"):
        rows = read_rows(name, N)
        assert rows.y is None and "labeled by the target" in rows.description
        np.testing.assert_array_equal(rows.x, X)


def with_one(array, place, value):
    changed = array.astype(float)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X[:, :3]}, r"^file: given 'own.npz \(x of shape \[50, 3\]\)'; allowed x \[N, 4\]"),
        ({"x": X[:0]}, r"\(x of shape \[0, 4\]\)'; allowed x \[N, 4\]"),
        ({"x": X, "y": Y[:49]}, r"\(y of shape \[49\]\)'; allowed y \[50\], a label per row"),
        ({"x": X, "y": Y[:, None]}, r"\(y of shape \[50, 1\]\)"),
        ({"inputs": X}, "^file: given 'own.npz'; allowed a .npz file with an array x"),
        ({"x": with_one(X, (7, 2), 0)}, r"\(0 in row 7, x2, among −1 and \+1\)'; allowed inputs"),
        ({"x": with_one(X > 0, (7, 2), 2)}, r"\(2 in row 7, x2, among 0 and 1\)'; allowed inputs"),
        ({"x": with_one(X, (7, 2), np.nan)}, r"\(nan in row 7, x2"),
        ({"x": X, "y": with_one(Y, 9, np.nan)}, r"\(label nan in row 9, 1 such labels\)'; allowed"),
        ({"x": X, "y": with_one(Y, 9, 1e39)}, "finite labels that float32 can hold"),
        ({"x": X.astype(complex)}, r"\(complex128\)'; allowed arrays of real numbers"),
        ({"x": X, "y": Y > 0, "encoding": "sign"}, "^encoding: given 'sign'; allowed sign for"),
        ({"x": X, "y": (Y > 0) * 1}, "^encoding: given None; allowed for a table of 0 and 1: bit"),
        ({"x": X, "encoding": "bit"}, "^encoding: given 'bit'; allowed none, as own.npz has no"),
        ({"x": X.astype(object)}, "allowed a .npz file of numbers, nothing pickled"),
    ],
)
def test_what_is_no_rows_is_refused_in_one_line(arrays, message):
    encoding = arrays.pop("encoding", None)
    np.savez("own.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        read_rows("own.npz", N, encoding)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.npz", None, "none.npz'; allowed the path of a .npz or .csv file .* exists"),
        ("rows.txt", "1,1,1,1", "rows.txt'; allowed the path of a .npz or .csv file"),
        ("own.csv", "1,1,1,1\n1,a,1,1\n", "allowed a .csv file of numbers, .*'a'"),
        ("own.csv", "1,1,1,1\n1,1,1\n", "allowed a .csv file of numbers"),
        ("own.csv", "1,1,1,1,1,1\n", r"\(x of shape \[1, 6\]\)'; allowed x \[N, 4\]"),
        ("own.npz", "no archive", "allowed a .npz file of numbers"),
    ],
)
def test_what_is_no_file_is_refused_in_one_line(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"^file: given .*{message}") as caught:
        read_rows(name, N)
    assert "\n" not in str(caught.value)


def shown(batch, steps, *arguments):
    """All rows of some steps that count, x [m, n] and y [m]."""
    key = jax.random.key(0)
    batches = [batch(key, step, *arguments) for step in steps]
    keep = [np.asarray(own["weight"]) > 0 for own in batches]
    return tuple(
        np.concatenate([np.asarray(own[name])[k] for own, k in zip(batches, keep, strict=True)])
        for name in ("x", "y")
    )


def in_order(x, y):
    table = np.c_[x, y].astype(np.float32)
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
def test_every_seen_row_of_the_file_is_shown_once_an_epoch_with_its_label(order):
    np.savez("own.npz", x=X, y=Y)
    choice = {"source": "rows", "samples": None, "file": "own.npz", "batch_size": 8, "order": order}
    training = datasets.canonical_training_set(
        PARITY.target, N, unseen_rows="drop", bits=(1, 3), **choice
    )
    counts = {bit: int((X[:, bit] == 1).sum()) for bit in (1, 3)}
    assert training.samples == max(counts.values())
    for bit, count in counts.items():
        seen = X[:, bit] == 1
        steps = -(-count // 8)
        for epoch in range(2):
            own = shown(training.batch, range(epoch * steps, (epoch + 1) * steps), bit)
            np.testing.assert_array_equal(in_order(*own), in_order(X[seen], Y[seen]))
            if order == "fixed":
                np.testing.assert_array_equal(own[0], X[seen])


def test_all_rows_are_shown_where_nothing_is_withheld():
    np.savez("own.npz", x=X)
    choice = {"source": "rows", "samples": None, "file": "own.npz", "batch_size": 50}
    matched = datasets.canonical_training_set(PARITY.target, N, frozen=False, bits=(), **choice)
    everything = tasks.make_seen_set("everything", N)
    other = datasets.seen_training_set(PARITY.target, everything, order="fixed", **choice)
    for own in (shown(matched.batch, [0], 0), shown(other.batch, [0])):
        np.testing.assert_array_equal(own[0], X)
        np.testing.assert_array_equal(own[1], PARITY.target(jnp.asarray(X, jnp.float32)))
    assert "labeled by the target" in other.description


def test_rows_of_a_seen_set():
    np.savez("own.npz", x=X, y=Y)
    seen = tasks.make_seen_set("where", N, condition="x0 = 1 or x1*x2 = -1")
    choice = {"source": "rows", "file": "own.npz", "batch_size": 7}
    mask = (X[:, 0] == 1) | (X[:, 1] * X[:, 2] == -1)
    with pytest.raises(ValueError) as caught:
        datasets.seen_training_set(PARITY.target, seen, **choice)
    unseen = int((~mask).sum())
    assert str(caught.value).startswith(f"file: given 'own.npz', of whose 50 rows {unseen} are uns")
    assert "data.unseen_rows=drop" in str(caught.value)
    training = datasets.seen_training_set(PARITY.target, seen, unseen_rows="drop", **choice)
    assert training.samples == mask.sum()
    own = shown(training.batch, range(training.steps_per_epoch))
    np.testing.assert_array_equal(in_order(*own), in_order(X[mask], Y[mask]))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"file": "own.npz"}, r"^file: .* of whose 50 rows \d+ are unseen \(seen: x0 = 1\)"),
        ({"file": "minus.npz", "unseen_rows": "drop"}, "allowed a file with seen rows, or holdout"),
        ({"file": "own.npz", "samples": 10}, r"samples: given 10; allowed None .*\(all 50 rows\)"),
        ({"file": "own.npz", "bias": 0.9}, "bias: given 0.9; allowed 0.5 with source rows, whose"),
        ({"file": ""}, "^file: given ''; allowed the path of a .npz or .csv file"),
        ({"file": "own.npz", "source": "sampled", "samples": 5}, "^file: given 'own.npz'; allowed"),
        ({"encoding": "bit", "source": "fresh", "samples": 5}, "^encoding: given 'bit'; allowed"),
        ({"file": "own.npz", "label_noise": 0.1}, "^label_noise: given 0.1; allowed 0 for labels"),
        (
            {"file": "own.npz", "unseen_rows": "drop", "drop_remainder": True, "batch_size": 40},
            r"^batch_size: given 40; allowed 1 to \d+ \(samples\) with drop_remainder",
        ),
    ],
)
def test_choices_that_make_no_sense_are_refused(choice, message):
    np.savez("own.npz", x=X, y=Y)
    np.savez("minus.npz", x=-np.ones((3, N)))
    arguments = {"source": "rows", "samples": None} | choice
    with pytest.raises(ValueError, match=message):
        datasets.canonical_training_set(PARITY.target, N, **arguments)


def test_an_edited_file_has_another_content():
    def content(x, y, encoding=None):
        np.savez("own.npz", x=x, y=y)
        return contents.of_rows("own.npz", read_rows("own.npz", N, encoding), encoding)

    first = content(X, Y)
    assert first.has_become(content(X.astype(float), Y)) == ""
    for x, y in ((-X, Y), (X, Y + 1), (X[:49], Y[:49])):
        other = content(x, y)
        assert first.stands_for(other) and "own.npz" in first.has_become(other)
