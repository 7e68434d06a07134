"""The permutation evaluated point by point: it is one, and it looks random."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pvr_jax.tasks.permutation import permuted


@functools.cache
def every_image(size):
    return jax.jit(lambda key: permuted(key, jnp.arange(size), size))


def images(seed, size):
    return np.asarray(every_image(size)(jax.random.key(seed)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 65, 1000, 1900, 2**13 + 1])
def test_every_place_exactly_once(size):
    for seed in range(3):
        np.testing.assert_array_equal(np.sort(images(seed, size)), np.arange(size))


def test_a_few_positions_are_those_of_all():
    every = images(5, 1900)
    some = permuted(jax.random.key(5), jnp.array([[3, 1899], [0, 700]]), 1900)
    np.testing.assert_array_equal(some, every[np.array([[3, 1899], [0, 700]])])


def test_images_are_uniform():
    """Chi-square of where position 0 and the pair (0, 1) go, over 4000 keys; 5 sigma."""
    size, keys = 7, 4000
    two = jax.vmap(lambda seed: permuted(jax.random.key(seed), jnp.arange(2), size))
    first, second = np.asarray(jax.jit(two)(jnp.arange(keys))).T
    for cells, counts in [
        (size, np.bincount(first, minlength=size)),
        (size * (size - 1), np.bincount(first * size + second, minlength=size**2)),
    ]:
        expected = keys / cells
        # Of the pairs, the diagonal cannot occur.
        counts = counts if len(counts) == cells else counts[np.arange(size**2) % (size + 1) != 0]
        assert counts.sum() == keys
        chi_square = np.sum((counts - expected) ** 2 / expected)
        assert abs(chi_square - (cells - 1)) < 5 * np.sqrt(2 * (cells - 1))


def test_neighbors_are_torn_apart():
    """Places and images are uncorrelated, neighbors too: |r| below 5 standard errors."""
    size = 1900
    for seed in range(5):
        image = images(seed, size)
        for one, other in [(np.arange(size), image), (image[:-1], image[1:])]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(size)
