"""Draws from seen sets: always a seen input, each equally often, however few are seen."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_cases import slow_but

from pvr_jax import tasks
from pvr_jax.tasks import condition, seen_draws
from pvr_jax.tasks.pvr import binary_number

FEW = "x0 = 1 and x1*x2 = -1 and (x3 = 1 or x4 = 1)"
SMALL = [
    ("everything", {}),
    ("where", {"condition": "x0 = 1 or x1*x2 = -1"}),
    ("where", {"condition": FEW}),
    ("where", {"condition": "x4 = 1 and 1 = 1 and 0 < 1"}),
    ("parity", {"coordinates": (3, 0, 4), "value": -1}),
    ("parity", {"coordinates": (2,)}),
    ("subcube", {"coordinates": (4, 1), "values": (1, -1)}),
    ("hamming_ball", {"radius": 0}),
    ("hamming_ball", {"radius": 2}),
    ("hamming_ball", {"radius": 5}),
    ("random", {"fraction": 0.3, "seed": 1}),
]


def drawn(seen, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(jax.vmap(seen.sample))(keys))


@pytest.mark.parametrize(("name", "params"), slow_but(SMALL[3::2], SMALL), ids=str)
def test_every_seen_point_is_drawn_equally_often_and_no_other(name, params):
    """Chi-square over the seen points, 500 draws of each in the mean; 5 sigma."""
    seen = tasks.make_seen_set(name, 5, **params)
    mask = seen.mask()
    count = 500 * int(mask.sum())
    found = np.bincount(np.asarray(binary_number(drawn(seen, count))), minlength=32)
    assert not found[~mask].any()
    if freedom := int(mask.sum()) - 1:
        chi_square = np.sum((found[mask] - 500) ** 2 / 500)
        assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


FROZEN = tuple(range(0, 40, 2))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("subcube", {"coordinates": FROZEN, "values": (1, -1) * 10}),
        *slow_but(
            [],
            [
                ("where", {"condition": " and ".join(f"x{i} = {1 - i % 4}" for i in FROZEN)}),
                (
                    "where",
                    {"condition": " and ".join(f"(x{i} = 1 or x{i + 20} = 1)" for i in range(20))},
                ),
            ],
        ),
        ("parity", {"coordinates": tuple(range(40)), "value": -1}),
        ("hamming_ball", {"radius": 3}),
    ],
    ids=["subcube", "where", "products", "parity", "ball"],
)
def test_rows_are_seen_where_few_inputs_are(name, params):
    seen = tasks.make_seen_set(name, 40, **params)
    x = drawn(seen, 2000)
    assert set(np.unique(x)) <= {-1, 1}
    assert np.asarray(seen.predicate(jnp.asarray(x))).all()
    assert len(np.unique(x, axis=0)) > 1500


@pytest.mark.parametrize(("n", "radius"), [(40, 17), (64, 40), (300, 140)])
def test_levels_of_a_ball_have_their_binomial_weights(n, radius):
    """Chi-square over the levels that 20,000 draws should hit 20 times or more; 5 sigma."""
    minus = (drawn(tasks.make_seen_set("hamming_ball", n, radius=radius), 20_000) < 0).sum(axis=1)
    sizes = [math.comb(n, k) for k in range(radius + 1)]
    expected = np.array([20_000 * size / sum(sizes) for size in sizes])
    found = np.bincount(minus, minlength=radius + 1)
    assert len(found) == radius + 1
    often = expected >= 20
    chi_square = np.sum((found[often] - expected[often]) ** 2 / expected[often])
    assert abs(chi_square - often.sum()) < 5 * np.sqrt(2 * often.sum())


def test_a_condition_is_cut_into_parts_that_share_no_coordinate():
    mentioned = [
        sorted(part.coordinates)
        for part in condition.parse("x0 = 1 and x1*x2 = 1 and (x3 > 0 or x4 > 0) and x2 < x5")
    ]
    assert mentioned == [[0], [3, 4], [1, 2, 5]]


def predicates(tmp_path, monkeypatch):
    lines = ["import jax.numpy as jnp"]
    for name, count in (("common", 3), ("rare", 14), ("never", 100)):
        lines.append(f"def {name}(x): return jnp.sum(x > 0, axis=-1) * 0 + {count} <= runs(x)")
    lines.append("def runs(x): return jnp.sum(jnp.cumprod(x > 0, axis=-1), axis=-1)")
    (tmp_path / "my_draws.py").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_rows_that_have_to_be_tried_are_seen_or_refused(tmp_path, monkeypatch):
    predicates(tmp_path, monkeypatch)
    common = drawn(tasks.make_seen_set("my_draws:common", 40), 200)
    assert (common[:, :3] == 1).all() and abs(common[:, 3:].mean()) < 0.05
    for name, share in (("rare", "0.0"), ("never", "0 %")):
        seen = tasks.make_seen_set(f"my_draws:{name}", 40)
        with pytest.raises(ValueError) as caught:
            _ = seen.sample
        text = str(caught.value)
        assert text.startswith(f"name: given 'my_draws:{name} (it holds for {share}"), text
        assert "of 65,536 random inputs)'; allowed clearly more than 0.3 %" in text
        assert "n up to 24" in text and "subcube" in text and "\n" not in text


@pytest.mark.slow
def test_few_coordinates_that_a_caller_knows_of_are_listed(tmp_path, monkeypatch):
    predicates(tmp_path, monkeypatch)
    seen = tasks.make_seen_set("my_draws:rare", 40)
    seen = replace(seen, parts=(condition.Part(seen.predicate, frozenset(range(14))),))
    x = drawn(seen, 1000)
    assert (x[:, :14] == 1).all() and abs(x[:, 14:].mean()) < 0.05
    small = tasks.make_seen_set("my_draws:rare", 16)
    assert drawn(small, 10).shape == (10, 16) and small.mask().sum() == 4


def test_the_bound_of_a_share_is_below_it():
    share, low = seen_draws.seen_share(lambda x: jnp.all(x[..., :6] == 1, axis=-1), 30)
    assert share == pytest.approx(1 / 64, rel=0.1) and 0.012 < low < 1 / 64
    assert (1 - seen_draws.MIN_SHARE) ** seen_draws.MAX_TRIALS < 1e-21


def test_a_row_that_is_not_found_is_no_number():
    key = jax.random.key(0)
    assert np.isnan(seen_draws.by_trial(40, lambda x: x[0] > 2)(key)).all()
