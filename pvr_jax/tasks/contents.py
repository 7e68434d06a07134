"""Digests of the files and user functions that a configuration names.

Names do not change when a file or function is edited. A run stores these digests with its
configuration, so that it never continues with different contents.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax.boolean import float64
from pvr_jax.boolean.cube import points_at
from pvr_jax.tasks.own_rows import OwnRows
from pvr_jax.tasks.seen_sets import SeenSet
from pvr_jax.tasks.targets import LARGEST_TABLE_N, Task, exact_values

# For cubes that cannot be enumerated: points with this many free first coordinates and the rest all
# +1 or all -1, and as many random points at each share of entries +1.
FREE_COORDINATES = 12
SHARES = (0.03, 0.2, 0.5, 0.8, 0.97)
# Sums of a function's values distinguish a change from rounding: by reordered terms and, if the
# source is unchanged, by another machine or float32, which rounds to 6e-8.
SUMS, REORDERED, ROUNDING = 3, 1e-12, 1e-6
LOSS_POINTS = 4096


class Content(NamedTuple):
    """The content behind a name.

    Attributes:
        name: the name, such as "my_module:target" or "table.npy".
        digest: digest of all values, bit for bit.
        sums: for a function: the norm of its values, and randomly weighted sums.
        source: for a function: the digest of its file.
        whole: whether all values are included, not only those at some points.
        of: further parameters of the values, such as the number of coordinates, or "".
    """

    name: str
    digest: str
    sums: tuple[float, ...] = ()
    source: str = ""
    whole: bool = True
    of: str = ""

    def stands_for(self, other: "Content") -> bool:
        """Return whether `other` has the same name and parameters, and so should be equal."""
        return bool(self.of) and (self.name, self.of) == (other.name, other.of)

    def has_become(self, other: "Content") -> str:
        """Describe how `other` differs; "" if it does not."""
        if self.digest == other.digest:
            return ""
        if not self.source:
            return f"what {other.name} holds has changed"
        is_edited = self.source != other.source
        close = (REORDERED if is_edited else ROUNDING) * self.sums[0]
        if np.allclose(self.sums, other.sums, rtol=0, atol=close):
            return ""
        if is_edited:
            return f"{other.name} has other values, and its source has changed"
        return (
            f"{other.name} has other values; its source is as it was, so what it imports or reads "
            "has changed"
        )

    def may_have_become(self, other: "Content") -> str:
        """Describe how `other` may differ; "" if it does not."""
        if self.whole or self.source == other.source:
            return ""
        return (
            f"the source of {other.name} has changed; its values have not at the points that were "
            "compared, which are not all"
        )


def of_problem(task: Task, seen: SeenSet | None = None) -> dict[str, Content]:
    """Return the contents behind the names in a configuration, by field.

    Args:
        task: has content if it is a truth table or a user's function.
        seen: the seen set, if any; has content if it is a user's predicate.

    Raises:
        Refusal: a target has values that float32 cannot represent, or nothing is seen.
    """
    found = {}
    if task.name == "truth_table":
        content = of_file(task.params["path"], exact_values(task))
        found["task.path"] = content._replace(of=_parameters(task))
    elif ":" in task.name:
        whole = task.n <= LARGEST_TABLE_N
        values = exact_values(task) if whole else _at_points(task)
        content = of_function(task.name, values, whole)
        found["task.name"] = content._replace(of=_parameters(task))
    if seen is not None and ":" in seen.name:
        whole = seen.n <= LARGEST_TABLE_N
        shown = seen.mask() if whole else _at_points(seen)
        content = of_function(seen.name, shown, whole)
        found["holdout.name"] = content._replace(of=_parameters(seen))
    return found


def _parameters(named: Task | SeenSet) -> str:
    return json.dumps([named.n, named.params], sort_keys=True, default=str)


def of_file(name: str, *arrays: np.ndarray) -> Content:
    """Return the content of files with arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array + array.dtype.type(0)))  # -0 becomes 0
    return Content(name, digest.hexdigest()[:16])


def of_rows(path: str, rows: OwnRows, encoding: str | None) -> Content:
    """Return the content of a file of training rows, read in an encoding of its labels."""
    labels = () if rows.y is None else (rows.y,)
    parameters = json.dumps([rows.x.shape[1], encoding or ""])
    return of_file(path, rows.x, *labels)._replace(of=parameters)


def of_function(name: str, values: np.ndarray, whole: bool) -> Content:
    """Return the content of 'module:function' from its values, at all points or at some."""
    values = values.astype(np.float64)
    random = np.random.default_rng(0)
    sums = [np.linalg.norm(values)]
    sums += [random.standard_normal(len(values)) @ values for _ in range(SUMS)]
    content = of_file(name, values)
    return content._replace(sums=tuple(map(float, sums)), source=_source(name), whole=whole)


def of_loss(
    name: str, loss: Callable[[jax.Array, jax.Array], jax.Array], shape: tuple[int, ...]
) -> Content:
    """Return the content of a loss of the user's own, of predictions of a shape, () or [c].

    Its values are those at random predictions and at labels: classes, or -1, +1 and other numbers.
    """
    random = np.random.default_rng(0)
    predictions = 3 * random.standard_normal((LOSS_POINTS, *shape))
    labels = random.choice([-1.0, 1.0], LOSS_POINTS)
    labels[::4] = random.standard_normal(len(labels[::4]))
    if shape:
        labels = np.arange(LOSS_POINTS, dtype=np.int32) % shape[0]
    with float64.exact():
        values = np.asarray(jax.jit(jax.vmap(loss))(predictions, labels))
    content = of_function(name, np.where(np.isfinite(values), values, 0), whole=False)
    return content._replace(of=str(shape))


def _source(name: str) -> str:
    """Return the digest of the file of 'module:function'."""
    path = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    if path is None or not Path(path).is_file():
        return "unknown"
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _at_points(named: Task | SeenSet) -> np.ndarray:
    """Return the values at fixed points of a function of too many coordinates to list all."""
    if isinstance(named, SeenSet):
        predicate = jax.jit(named.predicate)
        return np.concatenate([predicate(jnp.asarray(x, jnp.float32)) for x in _points(named.n)])
    with float64.exact():
        target = jax.jit(named.target)
        return np.concatenate([target(jnp.asarray(x)) for x in _points(named.n)])


def _points(n: int) -> Iterator[np.ndarray]:
    """Yield the points in chunks, float64 [m, n]."""
    count = 2**FREE_COORDINATES
    free = np.asarray(points_at(jnp.arange(count, dtype=jnp.int32), FREE_COORDINATES), np.float64)
    for rest in (1.0, -1.0):
        yield np.concatenate([free, np.full((count, n - FREE_COORDINATES), rest)], axis=1)
    random = np.random.default_rng(0)
    for share in SHARES:
        yield np.where(random.random((count, n)) < share, 1.0, -1.0)
