"""Training rows of the user's own, with or without labels: a .npz or .csv file."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.refusal import Refusal
from pvr_jax.tasks.targets import encoding_of

# Entries of all rows: they are held in memory, and in the training program, as bytes.
MAX_ENTRIES = 2**28
ROWS_AT_ONCE = 2**16
# What becomes of rows of a file that are no seen inputs.
UNSEEN_ROWS = ("refuse", "drop")
UNREADABLE = (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)


class OwnRows(NamedTuple):
    """Rows of inputs.

    Attributes:
        x: the inputs, int8 [N, n], -1 and +1.
        y: their labels, float32 [N]; None if the target labels the rows.
        description: the file, its number of rows, and how it was read.
    """

    x: np.ndarray
    y: np.ndarray | None
    description: str


def read_rows(path: str, n: int, encoding: str | None = None) -> OwnRows:
    """Read training rows from a file.

    Args:
        path: a .npz file with arrays x [N, n] and, if the rows are labeled, y [N]; or a .csv file
            with n columns and, if labeled, the label in a last one. A first line with names of the
            columns is allowed. Inputs are -1 and +1, or 0 and 1, which stand for them.
        n: the number of coordinates.
        encoding: of the labels: "real", any numbers; "sign", -1 and +1; or "bit", 0 and 1 for -1
            and +1. None: "bit" for Booleans, else "real"; labels of 0 and 1 only are then refused.

    Raises:
        Refusal: there is no such file, or it holds something else; starts with "file" or
            "encoding".
    """
    allowed = "the path of a .npz or .csv file with rows of inputs, and labels"
    kind = Path(path).suffix.lower() if isinstance(path, str) else ""
    if kind not in READERS:
        raise checks.invalid("file", path, allowed)
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        raise checks.invalid("file", path, f"{allowed} that exists") from None
    x, y = _arrays(path, kind, n, status.st_mtime_ns, status.st_size)
    x, words = _signs(path, x)
    if y is None:
        if encoding:
            raise checks.invalid("encoding", encoding, f"none, as {path} has no labels")
        return OwnRows(x, None, f"{path} ({len(x):,} rows of {words}, labeled by the target)")
    _refuse_labels(path, y)
    encoding = encoding_of(y, encoding or None)
    y = 2.0 * y - 1 if encoding == "bit" else y
    own = ", labels of 0 and 1" if encoding == "bit" else ""
    return OwnRows(x, y.astype(np.float32), f"{path} ({len(x):,} rows of {words}{own})")


@lru_cache(maxsize=2)  # every stage checks, digests and trains
def _arrays(
    path: str, kind: str, n: int, modified: int, size: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return x [N, n] and y [N], or None, as they are in a file of this time and size."""
    try:
        x, y = READERS[kind](path, n)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        allowed = f"a {kind} file of numbers, nothing pickled ({reason})"
        raise checks.invalid("file", path, allowed) from error
    if x is None:
        raise checks.invalid("file", path, "a .npz file with an array x [N, n] and, for labels, y")
    for array in (x, y):
        if array is not None and array.dtype.kind not in "biuf":
            raise checks.invalid("file", f"{path} ({array.dtype})", "arrays of real numbers")
    if x.ndim != 2 or x.shape[1] != n or not len(x):
        given = f"{path} (x of shape {list(x.shape)})"
        raise checks.invalid("file", given, f"x [N, {n}], as the task has n = {n}")
    if y is not None and y.shape != x.shape[:1]:
        given = f"{path} (y of shape {list(y.shape)})"
        raise checks.invalid("file", given, f"y [{len(x)}], a label per row")
    if x.size > MAX_ENTRIES:
        raise checks.invalid("file", f"{path} ({x.size:,} inputs)", f"up to {MAX_ENTRIES:,} inputs")
    return x, y


def _read_npz(path: str, n: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays.get("x"), arrays.get("y")


def _read_csv(path: str, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    with Path(path).open(encoding="utf-8-sig") as file:
        first = file.readline().split(",")
        if all(map(_is_number, first)):
            file.seek(0)
        table = np.loadtxt(file, delimiter=",", ndmin=2, encoding="utf-8")
    if table.shape[1] == n + 1:
        return table[:, :n], table[:, n]
    return table, None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


READERS = {".npz": _read_npz, ".csv": _read_csv}


def _signs(path: str, x: np.ndarray) -> tuple[np.ndarray, str]:
    """Return inputs [N, n] as -1 and +1, int8, and what they were in words."""
    is_bit = not (x == -1).any()
    low, words = (0, "0 and 1") if is_bit else (-1, "−1 and +1")
    wrong = np.argwhere((x != low) & (x != 1))
    if len(wrong):
        row, column = wrong[0]
        given = f"{path} ({x[row, column]:g} in row {row}, x{column}, among {words})"
        raise checks.invalid("file", given, "inputs −1 and +1, or 0 and 1 for them")
    signs = x.astype(np.int8)
    return (2 * signs - 1 if is_bit else signs), words


def _refuse_labels(path: str, y: np.ndarray) -> None:
    """Refuse labels [N] that float32 cannot hold."""
    wrong = np.flatnonzero(~(np.abs(y.astype(np.float64)) <= np.finfo(np.float32).max))
    if len(wrong):
        given = f"{path} (label {y[wrong[0]]:g} in row {wrong[0]}, {len(wrong):,} such labels)"
        raise checks.invalid("file", given, "finite labels that float32 can hold")


def are_seen(predicate: Callable[[jax.Array], jax.Array], x: np.ndarray) -> np.ndarray:
    """Return whether a predicate holds for rows [N, n], bool [N]."""
    parts = range(0, len(x), ROWS_AT_ONCE)
    holds = jax.jit(predicate)
    return np.concatenate([holds(jnp.asarray(x[i : i + ROWS_AT_ONCE], jnp.float32)) for i in parts])


def check_unseen(file: str, is_seen: np.ndarray, unseen_rows: str, seen: str, nothing: str) -> None:
    """Refuse unseen rows, or a file without seen ones.

    Args:
        file: the file.
        is_seen: bool [N].
        unseen_rows: one of `UNSEEN_ROWS`.
        seen: what is seen, in words.
        nothing: the field that withholds nothing.
    """
    checks.one_of(*UNSEEN_ROWS).check("unseen_rows", unseen_rows)
    unseen = int((~is_seen).sum())
    given = f"{file!r}, of whose {len(is_seen):,} rows {unseen:,} are unseen (seen: {seen})"
    if unseen == len(is_seen):
        raise Refusal(f"file: given {given}; allowed a file with seen rows, or {nothing}")
    if unseen and unseen_rows == "refuse":
        raise Refusal(
            f"file: given {given}; allowed seen rows alone, or data.unseen_rows=drop, which leaves "
            f"the others out, or {nothing}"
        )


class Selection(NamedTuple):
    """The seen rows of a file for each of B bits; all rows where these are None.

    Attributes:
        places: the place of a bit among the B, int32[n].
        rows: the numbers of its rows, int32[B, M], and padding.
        sizes: how many these are, int32[B].
    """

    places: jax.Array | None = None
    rows: jax.Array | None = None
    sizes: np.ndarray | None = None


def seen_with(
    x: np.ndarray, bits: Sequence[int], value: int, file: str, unseen_rows: str
) -> Selection:
    """Return the rows of x [N, n] that are seen with each of the bits frozen to a value.

    Raises:
        Refusal: as `check_unseen`.
    """
    for bit in bits:
        words = f"x{bit} = {value}"
        check_unseen(file, x[:, bit] == value, unseen_rows, words, "holdout.bits=none")
    is_seen = np.equal(x[:, list(bits)].T, value)
    if is_seen.all():
        return Selection()
    if is_seen.size > MAX_ENTRIES:
        given = f"{file} ({len(x):,} rows for each of {len(bits)} frozen bits)"
        raise checks.invalid("file", given, f"up to {MAX_ENTRIES:,} together, some being unseen")
    places = np.zeros(x.shape[1], np.int32)
    places[list(bits)] = np.arange(len(bits))
    first = np.argsort(~is_seen, axis=1, kind="stable").astype(np.int32)
    sizes = is_seen.sum(axis=1).astype(np.int32)
    return Selection(jnp.asarray(places), jnp.asarray(first[:, : sizes.max()]), sizes)
