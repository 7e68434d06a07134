"""PVR on images: composition, labels, what is withheld; all against plain references."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax.tasks import digit_images, visual_pvr
from pvr_jax.tasks.digit_images import LabeledImages

UNSEEN = {1: {1, 2, 3}, 2: {4, 5, 6}, 3: {7, 8, 9, 0}}
MANY = 20_000


@functools.cache
def pool(split="train"):
    return visual_pvr.pool_of(getattr(digit_images.load(), split))


def keys(count=MANY, seed=0):
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(count))


def draw_from(images, part="train"):
    """Return draw(key, positional), in whose programs the condition may be traced."""
    return lambda key, positional: visual_pvr.block_example(key, images, part, positional)


@functools.cache
def grids(part, positional, count=MANY, split="train"):
    """Many examples as NumPy arrays."""
    draw = jax.jit(jax.vmap(draw_from(pool(split), part), in_axes=(0, None)))
    return jax.tree.map(np.asarray, draw(keys(count), jnp.int32(positional)))


def reference_cell(image, down, right):
    pad = {8: 2, 28: 6}[len(image)]
    cell = np.zeros([length + 2 * pad for length in image.shape], np.float32)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            cell[row + pad + down, column + pad + right] = image[row, column]
    return cell


def reference_label(digits):
    pointer = digits[0]
    if pointer in (0, 1, 2, 3):
        return digits[1]
    return digits[2] if pointer in (4, 5, 6) else digits[3]


def shown(cell, height=8, width=8):
    """Return every (image, (down, right)) that a cell may show; empty borders leave a choice."""
    pad_down, pad_right = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    found = []
    for down in range(-pad_down, pad_down + 1):
        for right in range(-pad_right, pad_right + 1):
            top, left = pad_down + down, pad_right + right
            image = cell[top : top + height, left : left + width]
            if np.array_equal(reference_cell(image, down, right), cell):
                found.append((image.tobytes(), (down, right)))
    return found


def cells_of(grid):
    height, width = grid.shape[0] // 2, grid.shape[1] // 2
    return [
        grid[:height, :width],
        grid[:height, width:],
        grid[height:, :width],
        grid[height:, width:],
    ]


@functools.cache
def known(split):
    """The images of a split and their digits."""
    images, labels = getattr(digit_images.load(), split)
    return {image.tobytes(): label for image, label in zip(images, labels, strict=True)}


@pytest.mark.parametrize("size, pad", [((8, 8), 2), ((28, 28), 6), ((8, 28), (2, 6))])
def test_an_image_is_moved_over_the_whole_range_and_never_loses_a_pixel(size, pad):
    pads = pad if isinstance(pad, tuple) else (pad, pad)
    image = np.random.default_rng(0).random(size, np.float32) + 1
    place = jax.jit(visual_pvr.place)
    for down in range(-pads[0], pads[0] + 1):
        for right in range(-pads[1], pads[1] + 1):
            cell = np.asarray(place(image, jnp.array([down, right])))
            assert cell.shape == (size[0] + 2 * pads[0], size[1] + 2 * pads[1])
            top, left = pads[0] + down, pads[1] + right
            inside = cell[top : top + size[0], left : left + size[1]]
            assert np.array_equal(inside, image)
            assert np.count_nonzero(cell) == image.size


def test_labels():
    digits = np.random.default_rng(1).integers(0, 10, (500, 4))
    expected = [reference_label(row) for row in digits]
    assert np.array_equal(visual_pvr.label_of(digits), expected)
    assert visual_pvr.label_of([7, 1, 2, 3]) == 3 and visual_pvr.label_of([0, 1, 2, 3]) == 1
    assert [int(visual_pvr.target_place(p)) for p in range(10)] == [1, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    "part, split",
    slow_but([("iid", "test")], [("train", "train"), ("iid", "test"), ("withheld", "test")]),
)
def test_a_grid_holds_the_images_of_its_digits(part, split):
    other = "test" if split == "train" else "train"
    examples = grids(part, 1, 150, split)
    for grid, label, digits in zip(*(examples[name] for name in ("x", "y", "digits")), strict=True):
        assert grid.shape == (24, 24) and grid.dtype == np.float32
        assert label == reference_label(digits)
        for cell, digit in zip(cells_of(grid), digits, strict=True):
            sources = {image for image, _ in shown(cell)}
            assert digit in {known(split).get(image) for image in sources}
            assert not sources & known(other).keys(), "an image of the other split"


@pytest.mark.slow
def test_every_shift_and_every_image_occurs_alike():
    """Images whose corners are not empty, so that a cell says which it shows and where."""
    images = np.zeros((20, 8, 8), np.float32)
    images[:, 0, 0] = images[:, -1, -1] = 1
    images[:, 3, 3] = np.arange(1, 21) / 20
    small = visual_pvr.pool_of(LabeledImages(images, np.arange(20, dtype=np.int32) % 10))
    draw = jax.jit(jax.vmap(draw_from(small), in_axes=(0, None)))
    counted = np.zeros((4, 5, 5, 20), int)
    for grid in np.asarray(draw(keys(10_000), 0)["x"]):
        for place, cell in enumerate(cells_of(grid)):
            top, left = np.argwhere(cell == 1)[0]
            inside = cell[top : top + 8, left : left + 8]
            assert inside[-1, -1] == 1
            counted[place, top, left, round(20 * inside[3, 3]) - 1] += 1
    assert counted.sum() == 40_000
    for place in range(4):
        np.testing.assert_allclose(counted[place].sum(-1) / 10_000, 1 / 25, atol=0.01)
        np.testing.assert_allclose(counted[place].sum((0, 1)) / 10_000, 1 / 20, atol=0.011)


@pytest.mark.parametrize("part", ["train", "iid"])
def test_training_never_shows_what_is_withheld(part):
    digits = grids(part, 1)["digits"]
    assert set(digits[:, 0]) == set(range(10))
    for place, unseen in UNSEEN.items():
        assert set(digits[:, place]) == set(range(10)) - unseen


def test_the_withheld_set_shows_nothing_else():
    digits = grids("withheld", 1)["digits"]
    assert set(digits[:, 0]) == set(range(10))
    for place, unseen in UNSEEN.items():
        assert set(digits[:, place]) == unseen
    assert np.array_equal(digits, grids("withheld", 0)["digits"])


def test_nothing_withheld_shows_everything_everywhere():
    digits = grids("train", 0)["digits"]
    shares = np.bincount(digit_images.load().train.labels) / 1260
    for place in range(4):
        np.testing.assert_allclose(np.bincount(digits[:, place]) / MANY, shares, atol=0.01)


def test_the_share_that_is_removed():
    assert visual_pvr.share_removed(None, 1) == pytest.approx(0.706, abs=1e-15)
    assert visual_pvr.share_removed(pool(), 0) == 0
    digits = grids("train", 0)["digits"]
    removed = np.zeros(MANY, bool)
    for place, unseen in UNSEEN.items():
        removed |= np.isin(digits[:, place], list(unseen))
    exact = visual_pvr.share_removed(pool(), 1)
    assert exact != 0.706 and removed.mean() == pytest.approx(exact, abs=0.012)
    with pytest.raises(ValueError, match=r"^positional: given 2; allowed 0, 1$"):
        visual_pvr.share_removed(pool(), 2)


@pytest.mark.parametrize("positional", [0, 1])
def test_label_distribution(positional):
    exact = visual_pvr.label_distribution(pool(), positional)
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    measured = np.bincount(grids("train", positional)["y"], minlength=10) / MANY
    np.testing.assert_allclose(measured, exact, atol=0.01)
    assert visual_pvr.label_distribution(None)[3] == pytest.approx(0.1, abs=1e-15)


@pytest.mark.slow
def test_an_example_is_a_function_of_its_key_alone():
    one = jax.jit(draw_from(pool()))
    together = grids("train", 1)
    for row in (0, 7, MANY - 1):
        alone = one(keys()[row], 1)
        eager = visual_pvr.block_example(keys()[row], pool(), "train", 1)
        for name in ("x", "y", "digits"):
            assert np.array_equal(alone[name], together[name][row])
            assert np.array_equal(eager[name], together[name][row])
    assert not np.array_equal(one(keys(1, seed=5)[0], 1)["x"], together["x"][0])


@pytest.mark.slow
def test_conditions_are_vmapped():
    draw = jax.vmap(draw_from(pool()))
    restricted = jnp.arange(200) % 2
    mixed = draw(keys(200), restricted)["digits"]
    expected = np.where(
        restricted[:, None] == 1,
        grids("train", 1)["digits"][:200],
        grids("train", 0)["digits"][:200],
    )
    assert np.array_equal(mixed, expected)


def test_unknown_part():
    with pytest.raises(ValueError, match=r"^part: given 'test'; allowed train, iid, withheld$"):
        visual_pvr.block_example(jax.random.key(0), pool(), "test", 0)


def test_a_pool_needs_every_digit():
    images = LabeledImages(np.zeros((9, 8, 8), np.float32), np.arange(9, dtype=np.int32))
    with pytest.raises(ValueError, match=r"^images: given 'none of digit 9'; allowed at least one"):
        visual_pvr.pool_of(images)


@pytest.mark.slow
def test_a_strip_shows_its_digits_one_after_the_other():
    tokens = jax.random.randint(jax.random.key(1), (60, 11), 0, 10)
    images = pool()
    draw = jax.jit(jax.vmap(lambda key, digits: visual_pvr.strip_example(key, images, digits)))
    strips = np.asarray(draw(keys(60), tokens))
    assert strips.shape == (60, 12, 132) and strips.dtype == np.float32
    shifts = set()
    for strip, digits in zip(strips, np.asarray(tokens), strict=True):
        for number, digit in enumerate(digits):
            options = shown(strip[:, 12 * number : 12 * number + 12])
            assert digit in {known("train").get(image) for image, _ in options}
            shifts |= {shift for _, shift in options} if len(options) == 1 else set()
    assert len(shifts) > 5
    alone = visual_pvr.strip_example(keys(60)[3], pool(), tokens[3])
    assert np.array_equal(alone, strips[3])
    again = visual_pvr.strip_example(keys(61)[60], pool(), tokens[3])
    assert not np.array_equal(again, strips[3])


def test_digits_that_the_holdout_withholds_are_told():
    digits = grids("train", 0)["digits"]
    expected = [any(row[place] in UNSEEN[place] for place in UNSEEN) for row in digits.tolist()]
    np.testing.assert_array_equal(visual_pvr.is_withheld(jnp.asarray(digits)), expected)
    assert not visual_pvr.is_withheld(jnp.asarray(grids("train", 1)["digits"])).any()
    assert visual_pvr.is_withheld(jnp.asarray(grids("withheld", 1)["digits"])).all()


@pytest.mark.parametrize("digit", [-1, 10])
@pytest.mark.parametrize("function", [visual_pvr.label_of, visual_pvr.is_withheld])
def test_what_is_no_digit_is_refused(function, digit):
    with pytest.raises(ValueError, match=f"given {digit}; allowed whole numbers, tokens from 0 to"):
        function(np.array([[0, 1, 2, 3], [0, digit, 2, 3]]))
