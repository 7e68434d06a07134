"""Training sets as pure functions of (key, step): no data is stored, no loader has a state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.boolean.cube import coordinate_mask, points_at
from pvr_jax.tasks import label_noise as noise
from pvr_jax.tasks import own_rows
from pvr_jax.tasks.holdouts import VALUES, freeze
from pvr_jax.tasks.permutation import permuted
from pvr_jax.tasks.seen_draws import UNIFORM, signs
from pvr_jax.tasks.seen_sets import SeenSet
from pvr_jax.tasks.targets import ENCODINGS

SOURCES = ("sampled", "whole", "fresh", "rows")
ORDERS = ("fixed", "shuffled")
# The fields of a configuration that say which rows are shown; a training set checks them closely.
FIELDS: dict[str, checks.Rule] = {
    "data.source": checks.one_of(*SOURCES),
    "data.samples": checks.integer(1),
    "data.batch_size": checks.integer(1),
    "data.order": checks.one_of(*ORDERS),
    "data.file": checks.optional(checks.text(empty=True)),
    "data.encoding": checks.optional(checks.one_of("", *ENCODINGS)),
    "data.unseen_rows": checks.optional(checks.one_of(*own_rows.UNSEEN_ROWS)),
    "data.label_noise": checks.optional(checks.nonnegative(1)),
    "data.bias": checks.optional(checks.strictly_between(0, 1)),
}
# Fields added later: a configuration with these values means the same as one without the fields.
DEFAULTS: dict[str, Any] = {
    "data.file": "",
    "data.encoding": "",
    "data.unseen_rows": "refuse",
    "data.label_noise": 0.0,
    "data.bias": UNIFORM,
}
LARGEST_N = 30  # of sets whose points are numbered
MAX_SAMPLES = 2**30

# Streams of one data key: rows of the data set, shuffles of its epochs, endless fresh rows, and the
# label noise of both kinds of rows.
ROWS, SHUFFLES, FRESH_ROWS, NOISE, FRESH_NOISE = 0, 1, 2, 3, 4

Batch = dict[str, jax.Array]
Target = Callable[[jax.Array], jax.Array]


def arguments_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a training set that the fields `FIELDS` give.

    Sources that have a size of their own have no samples.
    """
    names = ["source", "samples", "batch_size", "order"]
    names += [name.removeprefix("data.") for name in DEFAULTS]
    chosen = {name: data.get(name, DEFAULTS.get(f"data.{name}")) for name in names}
    return chosen | ({"samples": None} if data["source"] in ("whole", "rows") else {})


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Batches to train on, `batch(key, step, bit) -> {"x": [b, n], "y": [b], "weight": [b]}`.

    A pure function for one replica: its data key, the step and its frozen bit may all be traced
    and vmapped; a set without a frozen bit has `batch(key, step)`. `weight` is 1 for data and 0
    for padding. An epoch has `steps_per_epoch` steps and shows `samples` rows (fewer where the
    last partial batch is left out). A last argument `target` labels the rows in place of the set's
    own target, but not rows whose labels are given.

    Attributes:
        batch: as above.
        samples: rows of an epoch.
        steps_per_epoch: steps of an epoch.
        description: where the rows come from, if from a file.
    """

    batch: Callable[..., Batch]
    samples: int
    steps_per_epoch: int
    description: str = ""


def canonical_training_set(
    target: Target,
    n: int,
    *,
    frozen: bool = True,
    bits: Sequence[int] | None = None,
    value: int = 1,
    source: str = "sampled",
    samples: int | None = 1900,
    batch_size: int = 64,
    order: str = "fixed",
    drop_remainder: bool = False,
    file: str = "",
    encoding: str = "",
    unseen_rows: str = "refuse",
    label_noise: float = 0.0,
    bias: float = UNIFORM,
) -> TrainingSet:
    """Training set of the canonical holdout, inputs with one coordinate frozen to `value`.

    source "sampled" is the authors' data: rows drawn from the whole cube with replacement, then
    frozen, then labeled. Neither the draw nor the order depends on the frozen bit, so one key
    gives the same rows for every bit (the authors seed data by the run alone). "whole" is every
    seen point once, in the order of the cube, with samples = None, as there are 2^(n-1). "fresh"
    draws new rows at every step; `samples` then only says how long an epoch is. "rows" are those of
    a file of the user's own, with samples = None.

    order "fixed" is the authors' loader, which is not shuffled: the same batches in the same
    order every epoch, the last one smaller. Here it is padded to `batch_size` with rows of
    weight 0. "shuffled" permutes the rows anew every epoch. `drop_remainder` leaves the last
    batch out where it is not full.

    frozen False is the matched setting: no coordinate is frozen, training sees the whole cube (a
    "whole" set has 2^n points), and the batch's `bit` plays no part.

    The authors freeze to +1 alone, and their default frozen bit is 7: both are choices of the
    caller here, and so is that they average the training loss over batches, not over rows.

    Args:
        target: target(x[..., n]) -> y[...].
        n: the number of coordinates; up to 30 for source "whole".
        frozen, value, source, samples, batch_size, order, drop_remainder: as above.
        bits: the bits that batches will be asked for, which matter for source "rows" alone; None:
            all.
        file, encoding: as of `own_rows.read_rows`. The labels of a file are taken as they are.
        unseen_rows: "refuse" rows of a file that are unseen with one of the bits frozen, or "drop"
            them from the replicas of that bit. An epoch is then as long as that of the bit with
            most rows; a bit with fewer rows begins its next epoch sooner.
        label_noise: the probability that a label, -1 or +1, is flipped: drawn once per row, by the
            data key, for source "fresh" at every step.
        bias: the probability of +1 of every coordinate that is drawn.

    Raises ValueError for a parameter out of range. Source: Abbe et al. 2022, the authors' code.
    """
    if not callable(target):
        raise checks.invalid("target", target, "a function target(x[..., n]) -> y[...]")
    n = checks.integer(1, checks.LARGEST_N).check("n", n)
    value = checks.one_of(*VALUES).check("value", value)
    drop_remainder = checks.one_of(False, True).check("drop_remainder", drop_remainder)
    frozen = checks.one_of(True, False).check("frozen", frozen)
    order = _checked_choices(source, order, file, encoding, bias)
    rows = own_rows.read_rows(file, n, encoding) if source == "rows" else None
    noise.check(label_noise, target if rows is None or rows.y is None else rows.y, n)
    shown = list(range(n)) if bits is None else sorted(bits)
    own = own_rows.Selection()
    if rows is None:
        size = _size(n, n - frozen, source, samples)
    else:
        _check_no_samples(samples, source, f"all {len(rows.x):,} rows")
        own = own_rows.seen_with(rows.x, shown if frozen else [], value, file, unseen_rows)
        size = len(rows.x) if own.sizes is None else int(own.sizes.max())
    note = " (samples) with drop_remainder" if drop_remainder else ""
    smallest = size if own.sizes is None else int(own.sizes.min())
    most = smallest if drop_remainder else MAX_SAMPLES
    batch_size = checks.integer(1, most, f"1 to {most}{note}").check("batch_size", batch_size)

    def steps_of(size: Any) -> Any:
        return size // batch_size if drop_remainder else -(-size // batch_size)

    def points(key: jax.Array, step: jax.Array, bit: Any) -> tuple[jax.Array, ...]:
        """Return the points of one batch before freezing, the numbers of rows, and weights."""
        if source == "fresh":
            every, weight = jnp.arange(batch_size), jnp.ones(batch_size, jnp.float32)
            if n <= LARGEST_N and bias == UNIFORM:
                return points_at(fresh_numbers(key, step, batch_size, n), n), every, weight
            return _drawn(_stream(key, FRESH_ROWS, step), every, n, bias), every, weight
        own_size = size if own.sizes is None else jnp.asarray(own.sizes)[own.places[bit]]
        numbers = (own_size, batch_size, steps_of(own_size), order)
        places, weight = epoch_rows(key, step, *numbers)
        if rows is not None:
            places = places if own.sizes is None else own.rows[own.places[bit], places]
            return jnp.asarray(rows.x)[places].astype(jnp.float32), places, weight
        if source == "whole":
            numbers = half_cube_numbers(places, bit, n) if frozen else places
            return points_at(numbers, n), places, weight
        if n <= LARGEST_N and bias == UNIFORM:
            return points_at(row_numbers(key, places, n), n), places, weight
        return _drawn(_stream(key, ROWS), places, n, bias), places, weight

    def batch(key: jax.Array, step: jax.Array, bit: jax.Array, target: Target = target) -> Batch:
        step = jnp.asarray(step, jnp.int32)
        bit = checks.bit_number(bit, n) if frozen else bit
        x, places, weight = points(key, step, bit)
        x = freeze(x, bit, value) if frozen else x
        y = _labels(target, x, rows, places)
        noisy = _stream(key, FRESH_NOISE, step) if source == "fresh" else _stream(key, NOISE)
        return {"x": x, "y": noise.flipped(y, label_noise, noisy, places), "weight": weight}

    words = "" if rows is None else rows.description
    return TrainingSet(batch, size, steps_of(size), words)


def seen_training_set(
    target: Target,
    seen: SeenSet,
    *,
    mask: np.ndarray | None = None,
    source: str = "whole",
    samples: int | None = None,
    batch_size: int = 64,
    order: str = "shuffled",
    file: str = "",
    encoding: str = "",
    unseen_rows: str = "refuse",
    label_noise: float = 0.0,
    bias: float = UNIFORM,
) -> TrainingSet:
    """Training set of any seen set: `batch(key, step)`, as `canonical_training_set` otherwise.

    source "whole" is every seen point once (samples = None), which needs `mask`, the seen set as
    bool[2^n]. "sampled" draws rows from the seen inputs, with replacement, at any n; row i depends
    on the key and i alone. "fresh" draws new rows at every step, `samples` being the length of an
    epoch. "rows" are those of a file (samples = None). order "shuffled" permutes the rows anew
    every epoch.

    Args:
        target: target(x[..., n]) -> y[...].
        seen: what training shows.
        mask: the same as bool[2^n], where the cube can be enumerated.
        source, samples, batch_size, order: as above.
        file, encoding, unseen_rows, label_noise, bias: as of `canonical_training_set`. With a bias,
            rows are drawn as from independent coordinates, given that they are seen.

    Raises ValueError for a parameter out of range, and as `SeenSet.sample`. Source: Abbe et al.
    2023, the authors' code.
    """
    order = _checked_choices(source, order, file, encoding, bias)
    rows = own_rows.read_rows(file, seen.n, encoding) if source == "rows" else None
    noise.check(label_noise, target if rows is None or rows.y is None else rows.y, seen.n)
    numbers = None if mask is None else np.flatnonzero(mask).astype(np.int32)
    if source == "whole":
        if numbers is None:
            allowed = "sampled, fresh, rows (the cube is too large to show as a whole)"
            raise checks.invalid("source", source, allowed)
        _check_no_samples(samples, source, f"{len(numbers)} points")
        size = len(numbers)
    elif rows is not None:
        _check_no_samples(samples, source, f"all {len(rows.x):,} rows")
        is_seen = own_rows.are_seen(seen.predicate, rows.x)
        own_rows.check_unseen(file, is_seen, unseen_rows, seen.description, "holdout=everything")
        numbers = np.flatnonzero(is_seen).astype(np.int32)
        size = len(numbers)
    else:
        size = checks.integer(1, MAX_SAMPLES).check("samples", samples)
        draw = replace(seen, bias=bias).sample if bias != seen.bias else seen.sample
    batch_size = checks.integer(1, MAX_SAMPLES).check("batch_size", batch_size)
    steps = -(-size // batch_size)

    def batch(key: jax.Array, step: jax.Array, target: Target = target) -> Batch:
        step = jnp.asarray(step, jnp.int32)
        if source == "fresh":
            stream = _stream(key, FRESH_ROWS, step)
            places, weight = jnp.arange(batch_size), jnp.ones(batch_size, jnp.float32)
        else:
            stream = _stream(key, ROWS)
            places, weight = epoch_rows(key, step, size, batch_size, steps, order)
        if source == "whole":
            x = points_at(jnp.asarray(numbers)[places], seen.n)
        elif rows is not None:
            places = jnp.asarray(numbers)[places]
            x = jnp.asarray(rows.x)[places].astype(jnp.float32)
        else:
            x = jax.vmap(lambda row: draw(jax.random.fold_in(stream, row)))(places)
        y = _labels(target, x, rows, places)
        noisy = _stream(key, FRESH_NOISE, step) if source == "fresh" else _stream(key, NOISE)
        return {"x": x, "y": noise.flipped(y, label_noise, noisy, places), "weight": weight}

    return TrainingSet(batch, size, steps, "" if rows is None else rows.description)


def _checked_choices(source: str, order: str, file: str, encoding: str, bias: float) -> str:
    """Check the choices that do not go with every source; return the order."""
    source = checks.one_of(*SOURCES).check("source", source)
    order = checks.one_of(*(("fixed",) if source == "fresh" else ORDERS)).check("order", order)
    if source != "rows":
        for name, given in (("file", file), ("encoding", encoding)):
            if given:
                allowed = f"nothing with source {source}; rows of a file are source rows"
                raise checks.invalid(name, given, allowed)
    checks.strictly_between(0, 1).check("bias", bias)
    if bias != UNIFORM and source in ("whole", "rows"):
        why = "which shows every input once" if source == "whole" else "whose rows are given"
        raise checks.invalid("bias", bias, f"{UNIFORM} with source {source}, {why}")
    return order


def _check_no_samples(samples: Any, source: str, of_its_own: str) -> None:
    if samples is not None:
        raise checks.invalid("samples", samples, f"None with source {source} ({of_its_own})")


def _stream(key: jax.Array, *numbers: int | jax.Array) -> jax.Array:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def _drawn(stream: jax.Array, rows: jax.Array, n: int, bias: float) -> jax.Array:
    """Return rows int32[b] of a stream as points x [b, n]; row i depends on the stream and i."""
    return jax.vmap(lambda row: signs(jax.random.fold_in(stream, row), (n,), bias))(rows)


def _labels(
    target: Target, x: jax.Array, rows: own_rows.OwnRows | None, places: jax.Array
) -> jax.Array:
    """Return the labels [b] of rows x [b, n]: those of the file, else the target's."""
    if rows is not None and rows.y is not None:
        return jnp.asarray(rows.y)[places]
    return target(x).astype(jnp.float32)


def row_numbers(key: jax.Array, rows: jax.Array, n: int) -> jax.Array:
    """Point numbers of some rows of the sampled data set that belongs to a key.

    rows int32[b] -> int32[b] in 0..2^n-1, uniform over the whole cube and independent, so with
    duplicates as in the authors' data (x = 1 - 2 Binomial(1, 1/2), rows with replacement). Row i
    depends on the key and i alone. Freezing comes afterwards.
    """
    stream = jax.random.fold_in(key, ROWS)
    draw = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(stream, row), (), jnp.uint32))
    return _first_bits(draw(rows), n)


def row_points(
    key: jax.Array, rows: jax.Array, n: int, bit: int | jax.Array, value: int = 1
) -> jax.Array:
    """Rows of the sampled data set as points with the frozen coordinate set, x[b, n]."""
    return freeze(points_at(row_numbers(key, rows, n), n), bit, value)


def fresh_numbers(key: jax.Array, step: jax.Array, count: int, n: int) -> jax.Array:
    """Point numbers int32[count] of the step of an endless stream, uniform over the cube."""
    stream = jax.random.fold_in(jax.random.fold_in(key, FRESH_ROWS), step)
    return _first_bits(jax.random.bits(stream, (count,), jnp.uint32), n)


def half_cube_numbers(rows: jax.Array, bit: int | jax.Array, n: int) -> jax.Array:
    """Point numbers of the rows of a half cube, with -1 at the frozen coordinate.

    rows int32[b] in 0..2^(n-1)-1 -> int32[b]: the digits of the row are those of the other
    coordinates, and the frozen one is inserted at its place.
    """
    low = rows & (coordinate_mask(bit, n) - 1)
    return 2 * (rows - low) + low


def epoch_rows(
    key: jax.Array, step: jax.Array, size: int, batch_size: int, steps: int, order: str
) -> tuple[jax.Array, jax.Array]:
    """Rows int32[b] that a step shows, and their weight float32[b]: 1, or 0 for padding.

    A step counts on over the epochs of `steps` steps. Padding repeats the last place of the
    epoch, so that every row is a true one.
    """
    epoch, within = step // steps, step % steps
    places = within * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    weight = (places < size).astype(jnp.float32)
    rows = jnp.minimum(places, size - 1)
    if order == "shuffled":
        stream = jax.random.fold_in(jax.random.fold_in(key, SHUFFLES), epoch)
        rows = permuted(stream, rows, size)
    return rows, weight


def _first_bits(words: jax.Array, n: int) -> jax.Array:
    """First n bits of uniform uint32 words, as numbers int32 in 0..2^n-1."""
    return (words >> (32 - n)).astype(jnp.int32)


def _size(n: int, free: int, source: str, samples: Any) -> int:
    """Rows of one epoch, `free` of the n coordinates being free."""
    if source != "whole":
        return checks.integer(1, MAX_SAMPLES).check("samples", samples)
    if n > LARGEST_N:
        allowed = f"sampled, fresh, rows with n = {n}; whole for n up to {LARGEST_N}"
        raise checks.invalid("source", source, allowed)
    _check_no_samples(samples, source, f"all {2**free} points")
    return 2**free
