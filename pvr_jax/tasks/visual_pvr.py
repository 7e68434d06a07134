"""Pointer Value Retrieval on images of digits: a grid of two by two, or a strip of eleven.

Block style: four digits in a 2 x 2 grid. The top left one is the pointer: 0 to 3 select the top
right, 4 to 6 the bottom left, 7 to 9 the bottom right; the label is the digit there. Positions are
ordered top left, top right, bottom left, bottom right.

Every digit is zero-padded to a cell, from 8 to 12 or from 28 to 40 pixels, and shifted within it by
whole pixels, uniformly in both directions, without cropping.

Positional holdout: training never shows 1, 2 or 3 at the top right, 4, 5 or 6 at the bottom left,
7, 8, 9 or 0 at the bottom right. The pointer may be any digit.

Source: Zhang, Raghu, Kleinberg and Bengio 2021, Pointer Value Retrieval, and published code that
reproduces it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pvr_jax import checks
from pvr_jax.tasks.digit_images import LabeledImages

DIGITS = 10
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = range(4)
# The digits that the positional holdout withholds at each of the four positions.
WITHHELD = ((), (1, 2, 3), (4, 5, 6), (7, 8, 9, 0))
PARTS = ("train", "iid", "withheld")

# In this order the withheld digits of a position are contiguous in a pool, and, cyclically, so are
# all others.
ORDER = (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)
EVERYTHING, SEEN, UNSEEN = range(3)


class Pool(NamedTuple):
    """Images to draw from, sorted by digit as in ORDER, and ranges of them.

    images [M, h, w] float32, labels int32[M]; `first` and `count` int32[10] are the range of each
    digit. `starts` and `sizes` int32[3, 4] are the cyclic ranges for each of the four positions:
    all images, those that training sees, and those it never sees.
    """

    images: jax.Array
    labels: jax.Array
    first: jax.Array
    count: jax.Array
    starts: jax.Array
    sizes: jax.Array


def pool_of(images: LabeledImages) -> Pool:
    """Return the pool of one split, on the device.

    Raises ValueError where a digit has no image.
    """
    labels = np.asarray(images.labels)
    count = np.bincount(labels, minlength=DIGITS)
    for digit in range(DIGITS):
        if not count[digit]:
            raise checks.invalid("images", f"none of digit {digit}", "at least one of every digit")
    rank = np.argsort(ORDER)
    sorted_by_digit = np.argsort(rank[labels], kind="stable")
    first = np.zeros(DIGITS, np.int64)
    first[list(ORDER)] = np.cumsum([0, *count[list(ORDER)]])[:-1]

    total = len(labels)
    starts, sizes = np.zeros((3, 4), np.int64), np.full((3, 4), total)
    for place, digits in enumerate(WITHHELD):
        if digits:
            unseen = count[list(digits)].sum()
            starts[UNSEEN, place], sizes[UNSEEN, place] = first[digits[0]], unseen
            starts[SEEN, place] = (first[digits[0]] + unseen) % total
            sizes[SEEN, place] = total - unseen
    whole = [jnp.asarray(table, jnp.int32) for table in (labels[sorted_by_digit], first, count)]
    stretches = [jnp.asarray(table, jnp.int32) for table in (starts, sizes)]
    return Pool(jnp.asarray(images.images[sorted_by_digit], jnp.float32), *whole, *stretches)


def padding(size: int) -> int:
    """Return the largest shift of a digit of `size` pixels: 2 for 8 pixels, 6 for 28."""
    return max(1, round(3 * size / 14))


def cell_size(size: int) -> int:
    """Return the size of the cell of a digit of `size` pixels: 12 for 8, 40 for 28."""
    return size + 2 * padding(size)


def place(image: jax.Array, shift: jax.Array) -> jax.Array:
    """Return the cell [h + 2 p, w + 2 p] with an image [h, w], shifted from the middle.

    shift: int32[2], pixels down and to the right, each in -p .. p, p being the padding.
    """
    row, is_row = _source_pixels(image.shape[0], shift[0])
    column, is_column = _source_pixels(image.shape[1], shift[1])
    # Rows first, then columns: on a CPU faster than by pixels or slices.
    rows = jnp.where(is_row[:, None], image[row], 0)
    return jnp.where(is_column, rows[:, column], 0)


def _source_pixels(size: int, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the source pixel of each pixel of a cell, in one direction, and whether it has one."""
    pixel = jnp.arange(cell_size(size)) - padding(size) - shift
    return jnp.clip(pixel, 0, size - 1), (pixel >= 0) & (pixel < size)


def target_place(pointer: jax.Array | int) -> jax.Array | int:
    """Return the position that a pointer selects: 1 for 0 to 3, 2 for 4 to 6, 3 for 7 to 9."""
    return TOP_RIGHT + 1 * (pointer >= 4) + 1 * (pointer >= 7)


def label_of(digits: jax.Array) -> jax.Array:
    """Return the label int32[...] of grids with the digits int32[..., 4].

    Raises ValueError for digits that are not in 0..9, unless they are traced.
    """
    digits = checks.tokens("tokens", digits, DIGITS)
    where = target_place(digits[..., TOP_LEFT])
    return jnp.take_along_axis(digits, where[..., None], axis=-1)[..., 0].astype(jnp.int32)


def is_withheld(digits: jax.Array) -> jax.Array:
    """Return whether grids with the digits int32[..., 4] have a withheld digit at its position.

    Raises ValueError for digits that are not in 0..9, unless they are traced.
    """
    digits = checks.tokens("tokens", digits, DIGITS)
    table = np.zeros((4, DIGITS), bool)
    for place, withheld in enumerate(WITHHELD):
        table[place, list(withheld)] = True
    return jnp.any(jnp.asarray(table)[jnp.arange(4), digits], axis=-1)


def block_example(
    key: jax.Array, pool: Pool, part: str, positional: jax.Array | int
) -> dict[str, jax.Array]:
    """Return one grid, {"x": [2 H, 2 W] float32, "y": int32, "digits": int32[4]}.

    Each of the four images is uniform among those of the pool allowed at its position.

    Args:
        key: a PRNG key.
        pool: the images of the split.
        part: "train" and "iid" have the same distribution; "withheld" shows only digits that the
            positional holdout withholds at their positions.
        positional: 1 with the positional holdout, 0 without; may be traced. Ignored for "withheld".

    Raises ValueError for another part.
    """
    part = checks.one_of(*PARTS).check("part", part)
    subset = UNSEEN if part == "withheld" else jnp.where(positional == 1, SEEN, EVERYTHING)
    numbers, cells = _drawn_cells(key, pool, pool.starts[subset], pool.sizes[subset])
    digits = pool.labels[numbers]
    rows = cells.reshape(2, 2, *cells.shape[1:]).transpose(0, 2, 1, 3)
    grid = rows.reshape(2 * cells.shape[1], 2 * cells.shape[2])
    return {"x": grid, "y": label_of(digits), "digits": digits}


def strip_example(key: jax.Array, pool: Pool, digits: jax.Array) -> jax.Array:
    """Return images of the digits int32[n] side by side, [H, n W] float32.

    Each is a uniform image of its digit, shifted independently.
    """
    cells = _drawn_cells(key, pool, pool.first[digits], pool.count[digits])[1]
    return cells.transpose(1, 0, 2).reshape(cells.shape[1], -1)


def _drawn_cells(
    key: jax.Array, pool: Pool, start: jax.Array, size: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the indices int32[n] of drawn images, and their shifted cells [n, H, W].

    One image is drawn from each range of the pool, start and size int32[n].
    """
    furthest = [jnp.full_like(start, padding(length)) for length in pool.images.shape[1:]]
    low = jnp.stack([start, -furthest[0], -furthest[1]], axis=1)
    high = jnp.stack([start + size, furthest[0] + 1, furthest[1] + 1], axis=1)
    # In one draw: compilers compute an array with several users once, not for every pixel.
    drawn = jax.random.randint(key, low.shape, low, high, jnp.int32)
    total = pool.labels.shape[0]
    numbers = jnp.where(drawn[:, 0] < total, drawn[:, 0], drawn[:, 0] - total)
    return numbers, jax.vmap(place)(pool.images[numbers], drawn[:, 1:])


def share_removed(pool: Pool | None, positional: int) -> float:
    """Return the share of grids that the holdout removes, those with any withheld digit.

    For grids of four uniform images of the pool: 1 minus the product over positions of 1 minus the
    share of images withheld there. pool None: all ten digits equally frequent, and the share is
    1 - .7 x .7 x .6 = .706. 0 if nothing is withheld.
    """
    if not checks.one_of(0, 1).check("positional", int(positional)):
        return 0.0
    count = _digit_counts(pool)
    total = sum(count)
    left = 1
    for digits in WITHHELD:
        left *= total - sum(count[digit] for digit in digits)
    return (total**4 - left) / total**4


def label_distribution(pool: Pool | None, positional: int = 0) -> np.ndarray:
    """Return the probability of every label, float64[10], of training grids.

    If nothing is withheld, these are the shares of the pool's digits, since the label is one of
    four images with the same distribution. pool None: all ten digits equally frequent.
    """
    positional = checks.one_of(0, 1).check("positional", int(positional))
    count = np.asarray(_digit_counts(pool), np.float64)
    pointed = np.zeros(4)
    for pointer in range(DIGITS):
        pointed[target_place(pointer)] += count[pointer] / count.sum()
    shares = np.zeros(DIGITS)
    for where in (TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT):
        there = count.copy()
        there[list(WITHHELD[where]) if positional else []] = 0
        shares += pointed[where] * there / there.sum()
    return shares


def _digit_counts(pool: Pool | None) -> list[int]:
    return [1] * DIGITS if pool is None else np.asarray(pool.count).tolist()
