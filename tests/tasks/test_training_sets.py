"""Training sets of the canonical holdout: who is shown, how often, and with which label."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import tasks
from pvr_jax.tasks import datasets
from pvr_jax.tasks.datasets import canonical_training_set
from pvr_jax.tasks.holdouts import canonical
from pvr_jax.tasks.pvr import binary_number

F3 = tasks.make("pvr_majority")
KEY = jax.random.key(3)


@functools.cache
def made(target=F3.target, n=11, **choice):
    """One training set per choice, so that its batches are compiled once for all tests."""
    return canonical_training_set(target, n, **choice)


@functools.cache
def compiled_epoch(training):
    def batches(key, bit, number):
        steps = number * training.steps_per_epoch + jnp.arange(training.steps_per_epoch)
        return jax.vmap(training.batch, in_axes=(None, 0, None))(key, steps, bit)

    return jax.jit(batches)


def epoch(training, key=KEY, bit=2, number=0):
    """All batches of an epoch, [steps, batch, ...]."""
    return compiled_epoch(training)(key, jnp.int32(bit), jnp.int32(number))


def shown(batches):
    """Numbers of the points that count, in order."""
    return np.asarray(binary_number(batches["x"]))[np.asarray(batches["weight"]) > 0]


CHOICES = [
    {"source": "sampled", "samples": 150},
    {"source": "sampled", "samples": 150, "order": "shuffled"},
    {"source": "sampled", "samples": 70, "drop_remainder": True},
    {"source": "whole", "samples": None, "batch_size": 100},
    {"source": "whole", "samples": None, "batch_size": 100, "order": "shuffled", "value": -1},
    {"source": "fresh", "samples": 150, "value": -1},
]


@pytest.mark.parametrize("choice", slow_but(CHOICES[::2], CHOICES), ids=str)
def test_shapes_labels_and_the_frozen_coordinate(choice):
    training = made(**choice)
    size = choice.get("batch_size", 64)
    assert type(training.samples) is int
    assert type(training.steps_per_epoch) is int
    for bit in (0, 5, 10):
        batches = epoch(training, bit=bit)
        assert {name: leaf.shape[2:] for name, leaf in batches.items()} == {
            "x": (11,),
            "y": (),
            "weight": (),
        }
        assert all(leaf.dtype == np.float32 for leaf in batches.values())
        assert all(leaf.shape[:2] == (training.steps_per_epoch, size) for leaf in batches.values())
        assert set(np.unique(batches["x"])) == {-1, 1}
        assert np.all(batches["x"][..., bit] == choice.get("value", 1))
        np.testing.assert_array_equal(batches["y"], F3.target(batches["x"]))


@pytest.mark.parametrize(
    ("choice", "steps", "counted"),
    [
        ({"samples": 1900}, 30, 1900),
        ({"samples": 1900, "drop_remainder": True}, 29, 29 * 64),
        ({"samples": 128}, 2, 128),
        ({"samples": 10, "batch_size": 64}, 1, 10),
        ({"samples": 10, "batch_size": 10, "drop_remainder": True}, 1, 10),
        ({"samples": 1900, "order": "shuffled"}, 30, 1900),
        ({"samples": None, "source": "whole", "batch_size": 100}, 11, 1024),
        ({"samples": 100, "source": "fresh"}, 2, 128),
        ({"samples": 100, "source": "fresh", "drop_remainder": True}, 1, 64),
    ],
    ids=str,
)
def test_weights_count_the_rows_of_an_epoch(choice, steps, counted):
    training = made(**choice)
    assert training.steps_per_epoch == steps
    weights = jax.jit(jax.vmap(lambda step: training.batch(KEY, step, 2)["weight"]))
    for number in (0, 1, 7):
        first = number * training.steps_per_epoch
        weight = weights(first + jnp.arange(training.steps_per_epoch))
        assert set(np.unique(weight)) <= {0, 1}
        assert np.sum(weight) == counted


@pytest.mark.parametrize(("order", "value"), [("fixed", -1), ("fixed", 1), ("shuffled", 1)])
@pytest.mark.parametrize("n", [1, 5])
def test_whole_shows_every_seen_point_once(n, order, value):
    target = tasks.make("staircase", n=n).target
    choice = {"value": value, "order": order, "batch_size": 5}
    training = made(target, n, source="whole", samples=None, **choice)
    assert training.samples == 2 ** (n - 1)
    for bit in range(n):
        seen = np.flatnonzero(canonical(n, bit, value))
        for number in (0, 1):
            numbers = shown(epoch(training, bit=bit, number=number))
            np.testing.assert_array_equal(np.sort(numbers), seen)
            if order == "fixed":
                np.testing.assert_array_equal(numbers, seen)


@pytest.mark.parametrize("source", slow_but(["whole"], ["sampled", "whole"]))
def test_fixed_order_repeats_and_shuffled_order_does_not(source):
    samples = 300 if source == "sampled" else None
    choice = {"source": source, "samples": samples, "batch_size": 50}
    fixed = made(**choice)
    shuffled = made(**choice, order="shuffled")
    first = epoch(fixed)
    for number in (1, 4):
        jax.tree.map(np.testing.assert_array_equal, epoch(fixed, number=number), first)
    orders = [shown(epoch(shuffled, number=number)) for number in range(4)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.sort(shown(first)))
        assert np.mean(order == shown(first)) < 0.1
    for i in range(4):
        for j in range(i):
            assert np.mean(orders[i] == orders[j]) < 0.1


def test_dropped_rows_of_a_shuffled_epoch_differ():
    """Without the last batch a fixed order never shows some rows, a shuffled one does in time."""
    choice = {"source": "whole", "samples": None, "batch_size": 24, "drop_remainder": True}
    target = tasks.make("parity", n=6).target
    fixed = made(target, 6, **choice)
    shuffled = made(target, 6, **choice, order="shuffled")

    def union(training):
        return {i for number in range(20) for i in shown(epoch(training, number=number))}

    assert len(union(fixed)) == 24
    assert len(union(shuffled)) == 32


def test_fresh_rows_never_come_again():
    training = made(source="fresh", samples=640)
    batches = [shown(epoch(training, number=number)) for number in range(3)]
    for i in range(3):
        for j in range(i):
            assert np.mean(batches[i] == batches[j]) < 0.05


@pytest.mark.parametrize("choice", [{}, {"order": "shuffled"}, {"source": "fresh"}], ids=str)
def test_rows_do_not_depend_on_the_frozen_bit(choice):
    training = made(samples=200, **choice)
    one, other = (np.asarray(epoch(training, bit=bit)["x"]) for bit in (1, 7))
    rest = [i for i in range(11) if i not in (1, 7)]
    np.testing.assert_array_equal(one[..., rest], other[..., rest])
    # The draw is free at the bit that the other freezes.
    assert 0.3 < np.mean(other[..., 1] == 1) < 0.7


@pytest.mark.slow
def test_rows_belong_to_the_key_and_to_their_number():
    one, other = (shown(epoch(made(samples=640), key=jax.random.key(seed))) for seed in (0, 1))
    assert np.mean(one == other) < 0.05
    # More samples or other batches leave the rows as they are.
    longer = made(samples=1000, batch_size=100)
    np.testing.assert_array_equal(shown(epoch(longer, key=jax.random.key(0)))[:640], one)
    points = datasets.row_points(jax.random.key(0), jnp.arange(640), 11, 2)
    np.testing.assert_array_equal(binary_number(points), one)


def test_streams_are_apart():
    sampled = datasets.row_numbers(KEY, jnp.arange(640), 11)
    fresh = datasets.fresh_numbers(KEY, 0, 640, 11)
    assert np.mean(np.asarray(sampled) == np.asarray(fresh)) < 0.05
    assert len({datasets.ROWS, datasets.SHUFFLES, datasets.FRESH_ROWS}) == 3


@pytest.mark.parametrize("source", ["sampled", "fresh"])
def test_draws_are_uniform(source):
    """Chi-square over the 32 points of the half cube n = 6, 32,000 draws; 5 sigma."""
    target = tasks.make("parity", n=6).target
    training = made(target, 6, source=source, samples=32_000, batch_size=1000)
    counts = np.bincount(shown(epoch(training, bit=0)) - 32, minlength=32)
    assert np.all(counts > 0)
    chi_square = np.sum((counts - 1000) ** 2 / 1000)
    assert abs(chi_square - 31) < 5 * np.sqrt(2 * 31)


@pytest.mark.slow
def test_coverage_of_the_papers_training_set():
    """1,900 draws of 1,024 points leave (1 - 1/1024)^1900 of them unseen: 84.4 % are shown."""
    training = made()
    assert training.samples == 1900
    keys = jax.random.split(jax.random.key(0), 20)
    batches = jax.jit(jax.vmap(lambda key: epoch(training, key=key, bit=7)))(keys)
    numbers = np.asarray(binary_number(batches["x"]))
    weight = np.asarray(batches["weight"])
    covered = [len(set(i[w > 0])) / 1024 for i, w in zip(numbers, weight, strict=True)]
    assert abs(np.mean(covered) - 0.844) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("choice", slow_but(CHOICES[4:5], CHOICES[1::3]), ids=str)
def test_replicas_at_once_equal_one_by_one(choice):
    training = made(**choice)
    keys = jax.random.split(jax.random.key(1), 3)
    bits = jnp.array([0, 5, 10])
    step = 2 * training.steps_per_epoch + 1
    together = jax.jit(jax.vmap(training.batch, in_axes=(0, None, 0)))(keys, step, bits)
    single = jax.jit(training.batch)
    for replica in range(3):
        alone = single(keys[replica], step, bits[replica])
        one = jax.tree.map(lambda leaf, r=replica: leaf[r], together)
        jax.tree.map(np.testing.assert_array_equal, one, alone)


def test_batches_in_a_scan_are_traced_once():
    training = made(samples=150)
    traces = []

    @jax.jit
    def collect(key, first, bit):
        traces.append(1)

        def body(step, _):
            return step + 1, training.batch(key, step, bit)["x"]

        return jax.lax.scan(body, first, None, length=3)[1]

    for number in (0, 5):
        first = jnp.int32(number * training.steps_per_epoch)
        np.testing.assert_array_equal(collect(KEY, first, jnp.int32(2)), epoch(training)["x"])
    assert len(traces) == 1


@pytest.mark.slow
def test_padding_has_no_say_in_a_weighted_mean():
    training = made(samples=10)
    batch = jax.tree.map(lambda leaf: leaf[0], epoch(training, bit=3))
    y, weight = np.asarray(batch["y"]), np.asarray(batch["weight"])
    assert np.all(np.isfinite(y))
    x = datasets.row_points(KEY, jnp.arange(10), 11, 3)
    mean = np.sum(weight * y) / np.sum(weight)
    np.testing.assert_allclose(mean, np.mean(F3.target(x)), rtol=1e-6)


def test_thirty_coordinates():
    target = tasks.make("parity", n=30).target
    for source, samples in [("sampled", 100), ("fresh", 100), ("whole", None)]:
        training = made(target, 30, source=source, samples=samples)
        last = training.steps_per_epoch - 1
        batch = jax.jit(training.batch)(KEY, last, 29)
        assert np.all(batch["x"][:, 29] == 1)
        np.testing.assert_array_equal(batch["y"], np.prod(batch["x"], axis=-1))
        if source == "whole":
            assert np.all(batch["x"][-1] == 1)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"batch_size": 4096, "drop_remainder": True},
            "batch_size: given 4096; allowed 1 to 1900 (samples) with drop_remainder",
        ),
        ({"batch_size": 0}, "batch_size: given 0; allowed 1 to 1073741824"),
        ({"batch_size": 64.0}, "batch_size: given 64.0; allowed 1 to 1073741824"),
        ({"samples": 0}, "samples: given 0; allowed 1 to 1073741824"),
        ({"samples": None}, "samples: given None; allowed 1 to 1073741824"),
        ({"samples": True}, "samples: given True; allowed 1 to 1073741824"),
        ({"source": "whole"}, "samples: given 1900; allowed None with source whole (all 1024"),
        ({"source": "all"}, "source: given 'all'; allowed sampled, whole, fresh, rows"),
        ({"order": "random"}, "order: given 'random'; allowed fixed, shuffled"),
        ({"source": "fresh", "order": "shuffled"}, "order: given 'shuffled'; allowed fixed"),
        ({"value": 0}, "value: given 0; allowed -1, 1"),
        ({"drop_remainder": 1}, "drop_remainder: given 1; allowed False, True"),
        (
            {"n": 31, "source": "whole", "samples": None},
            "source: given 'whole'; allowed sampled, fresh, rows with n = 31; whole for n up to 30",
        ),
        ({"n": "11"}, "n: given '11'; allowed 1 to 4096"),
        ({"target": F3.name}, "target: given 'pvr_majority'; allowed a function target(x"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(choice, message):
    arguments = {"target": F3.target, "n": 11, **choice}
    with pytest.raises(ValueError) as raised:
        canonical_training_set(**arguments)
    assert str(raised.value).startswith(message)


def test_a_known_bit_is_checked():
    training = made()
    with pytest.raises(ValueError, match=r"^bit: given 11; allowed 0 to 10$"):
        training.batch(KEY, 0, 11)


@pytest.mark.parametrize(
    "choice", slow_but([{}], [{}, {"order": "shuffled"}, {"source": "fresh"}]), ids=str
)
def test_replicas_on_several_devices_need_no_messages(choice):
    """Batches are made where the replica lives: the compiled program holds no collective."""
    training = canonical_training_set(F3.target, 11, samples=150, **choice)
    devices = jax.device_count()
    mesh = jax.make_mesh((devices,), ("replica",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("replica"))
    keys = jax.device_put(jax.random.split(KEY, 2 * devices), spread)
    bits = jax.device_put(jnp.arange(2 * devices) % 11, spread)
    many = jax.jit(jax.vmap(training.batch, in_axes=(0, None, 0)), out_shardings=spread)
    text = many.lower(keys, jnp.int32(1), bits).compile().as_text()
    for message in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert message not in text


@pytest.mark.parametrize(
    "choice",
    [
        {"source": "sampled", "samples": 1000},
        {"source": "whole", "samples": None},
        {"source": "fresh", "samples": 1000},
    ],
    ids=str,
)
def test_in_the_matched_setting_nothing_is_frozen(choice):
    target = tasks.make("staircase", n=6).target
    training = made(target, 6, frozen=False, **choice)
    batches = epoch(training, bit=-1)
    numbers = shown(batches)
    assert set(numbers) == set(range(64))  # all of the cube: both halves of every coordinate
    if choice["source"] == "whole":
        assert training.samples == len(numbers) == 64
    np.testing.assert_array_equal(batches["y"], target(batches["x"]))


def test_matched_rows_are_those_of_the_holdout_before_freezing():
    matched, frozen = made(samples=150, frozen=False), made(samples=150)
    x = np.array(epoch(matched, bit=-1)["x"])
    x[..., 4] = 1
    np.testing.assert_array_equal(x, epoch(frozen, bit=4)["x"])
