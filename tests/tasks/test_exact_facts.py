"""Exact facts of targets: against enumeration where n allows, else Monte Carlo and closed forms."""

import itertools
import math

import jax
import numpy as np
import pytest

from pvr_jax import tasks
from pvr_jax.boolean import facts, float64
from pvr_jax.tasks import polynomial
from pvr_jax.tasks.pvr import AGGREGATIONS, BOUNDARIES, aggregate


def enumerated(task):
    return facts.DenseFacts(float64.exact_spectrum(tasks.exact_values(task)))


def same(found, expected, bits, check=np.testing.assert_array_equal):
    """Compare all facts, to the last bit unless `check` is another comparison."""
    assert found.n == expected.n
    check(found.influences, expected.influences)
    check(found.degree_profile, expected.degree_profile)
    check(found.noise_stability(0.3), expected.noise_stability(0.3))
    check([found.mean, found.mean_square], [expected.mean, expected.mean_square])
    for bit in bits:
        check(found.cross_sums(bit), expected.cross_sums(bit))
        check(found.frozen(bit, -1), expected.frozen(bit, -1))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("pointer_bits", [1, 2, 3])
def test_facts_from_windows_are_those_of_the_whole_cube(pointer_bits, aggregation, boundary):
    # All windows of few bits; of the many of three pointer bits, such as overlap themselves or not.
    windows = range(1, 2**pointer_bits + 1) if pointer_bits < 3 else (1, 3, 6, 8)
    ties = (-1, 0, 1) if aggregation == "majority" and pointer_bits < 3 else (0,)
    for window, tie in itertools.product(windows, ties):
        params = {"window": window, "aggregation": aggregation, "boundary": boundary, "tie": tie}
        task = tasks.make("pvr", pointer_bits=pointer_bits, **params)
        found, expected = tasks.exact_facts(task), enumerated(task)
        same(found, expected, range(task.n))
        terms = expected.monomials(2**task.n)
        assert found.monomials(2**task.n) == terms
        chosen = [*terms, (0,), tuple(range(task.n)), tuple(range(1, task.n))]
        np.testing.assert_array_equal(found.coefficients(chosen), expected.coefficients(chosen))


@pytest.mark.slow
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_facts_from_windows_at_twenty_bits(aggregation, boundary):
    for window in (2, 5, 12):
        params = {"window": window, "aggregation": aggregation, "boundary": boundary}
        task = tasks.make("pvr", pointer_bits=4, **params)
        same(tasks.exact_facts(task), enumerated(task), (0, 3, 4, 11, 19))


@pytest.mark.parametrize("tie", [-1, 0, 1])
def test_facts_of_the_papers_f3(tie):
    task = tasks.make("pvr_majority", tie=tie)
    same(tasks.exact_facts(task), enumerated(task), range(task.n))


def test_an_aggregate_is_symmetric_in_its_window():
    # Facts from windows rest on it: what is registered without it needs another closed form.
    points = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    for aggregation, tie in itertools.product(AGGREGATIONS, (-1, 0, 1)):
        values = aggregate(points, np.ones(points.shape, bool), aggregation, tie)
        for order in itertools.permutations(range(4)):
            moved = aggregate(points[:, order], np.ones(points.shape, bool), aggregation, tie)
            np.testing.assert_array_equal(moved, values)


def by_definition(x, p, window, aggregation, boundary):
    """Values of PVR at the points x [m, n], from the definition."""
    pointer = x[:, :p] > 0
    start = pointer @ (1 << np.arange(p)[::-1])
    places = start[:, None] + np.arange(window)
    inside = places < 2**p
    chosen = np.take_along_axis(x[:, p:], places % 2**p, axis=1).astype(int)
    if boundary == "cyclic":
        inside[:] = True
    if aggregation == "parity":
        return np.prod(np.where(inside, chosen, 1), axis=1)
    if aggregation == "majority":
        return np.sign((chosen * inside).sum(axis=1))
    extreme, neutral = (np.min, 2) if aggregation == "min" else (np.max, -2)
    return extreme(np.where(inside, chosen, neutral), axis=1)


def halves(x, bit, function):
    """f0 and f1 with f = f0 + x_bit f1, at the points x."""
    own = x[:, bit].copy()
    x[:, bit] = 1
    plus = function(x)
    x[:, bit] = -1
    minus = function(x)
    x[:, bit] = own
    return (plus + minus) / 2, (plus - minus) / 2


def estimate(p, params, bits, rho, points, random):
    """Means over pairs x, y with bits of correlation rho (in tenths), and standard errors."""
    n, sums, squares = p + 2**p, 0, 0
    for _ in range(-(-points // 50_000)):
        x = random.integers(0, 2, (50_000, n), np.int8) * 2 - 1
        y = np.where(random.integers(0, 10, x.shape, np.int8) < 5 * (1 - rho), -x, x)
        f, g = (by_definition(z, p, **params) for z in (x, y))
        rows = [f, f**2, f * g]
        for bit in bits:
            low, high = halves(x, bit, lambda z: by_definition(z, p, **params))
            other, other_high = halves(y, bit, lambda z: by_definition(z, p, **params))
            # The influence; and the cross sums at noise rho.
            rows += [high**2, low * other, low * other_high, high * other_high]
        sums, squares = sums + np.sum(rows, axis=1), squares + np.sum(np.square(rows), axis=1)
    count = -(-points // 50_000) * 50_000
    mean = sums / count
    return mean, np.sqrt((squares / count - mean**2) / count)


# Pointer bits (first, last), value bits (first, one in the middle, last) of each.
MONTE_CARLO = [
    (5, {"window": 3, "aggregation": "majority", "boundary": "truncated"}, (0, 4, 5, 20, 36)),
    (6, {"window": 4, "aggregation": "min", "boundary": "cyclic"}, (0, 5, 6, 30, 69)),
    (8, {"window": 5, "aggregation": "majority", "boundary": "truncated"}, (0, 7, 8, 100, 263)),
    (8, {"window": 2, "aggregation": "parity", "boundary": "cyclic"}, (0, 263)),
]


def within_four_errors(p, params, bits, points):
    rho = 0.6
    mean, error = estimate(p, params, bits, rho, points, np.random.default_rng(p))

    def off(params):
        found = tasks.exact_facts(tasks.make("pvr", pointer_bits=p, **params))
        expected = [found.mean, found.mean_square, found.noise_stability(rho)]
        for bit in bits:
            sums = [sums @ rho ** np.arange(found.n) for sums in found.cross_sums(bit)]
            expected += [found.influences[bit], *sums]
        return np.abs(mean - expected) > 4 * error + 1e-12

    assert not off(params).any(), np.flatnonzero(off(params))
    # Sharp enough to tell it from a window that is one bit longer.
    assert off(params | {"window": params["window"] + 1}).any()


@pytest.mark.parametrize(("p", "params", "bits"), MONTE_CARLO)
def test_facts_agree_with_drawn_points(p, params, bits):
    within_four_errors(p, params, bits[:: len(bits) - 1], 100_000)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "params", "bits"), MONTE_CARLO)
def test_facts_agree_with_ten_million_points(p, params, bits):
    within_four_errors(p, params, bits, 10_000_000)


@pytest.mark.parametrize(("p", "window"), [(5, 3), (6, 12), (8, 5)])
def test_cyclic_parity_in_closed_form(p, window):
    """Pointer bits ½, value bits w/2^p (3/32); weight C(p, j)/2^p at degree w + j."""
    found = tasks.exact_facts(tasks.make("pvr", pointer_bits=p, window=window))
    assert found.influences.tolist() == [0.5] * p + [window / 2**p] * 2**p
    expected = np.zeros(p + 2**p + 1)
    expected[window : window + p + 1] = [math.comb(p, j) / 2**p for j in range(p + 1)]
    assert found.degree_profile.tolist() == expected.tolist()
    low, products, high = found.cross_sums(0)
    frozen = [math.comb(p - 1, j) / 2**p for j in range(p)]
    assert low.tolist() == high.tolist()
    assert low[window : window + p].tolist() == frozen
    assert not products.any()
    # One T per window, and all sets of pointer bits.
    with pytest.raises(ValueError, match=f"^limit: given 9; allowed from {4**p}, "):
        found.monomials(9)
    if p == 5:
        terms = found.monomials(4**p)
        assert set(map(abs, terms.values())) == {2.0**-p}
        assert terms[5, 6, 7] == 2.0**-p  # the first window
        np.testing.assert_array_equal(found.coefficients(list(terms)), list(terms.values()))


SHORT = [
    ("quadratic_chain", {"n": 11}),
    ("quadratic_chain", {"n": 2}),
    ("staircase", {"n": 14}),
    ("linear", {}),
    ("linear", {"coefficients": (0.5, -2), "intercept": 0}),
    ("parity", {"n": 11, "degree": 0}),
    ("parity", {"n": 9}),
    ("parity", {"n": 9, "coordinates": (7, 2)}),
    ("polynomial", {"expression": "x0*x1 - 1.25*x1*x2 + 3*(x0 + x2)**2 - 1", "n": 4}),
    ("polynomial", {"expression": "(x0 + x1)*(x0 - x1) / 4", "n": 3}),
    ("polynomial", {"expression": "-5/2", "n": 2}),
]


@pytest.mark.parametrize(("name", "params"), SHORT)
def test_facts_from_monomials_are_those_of_the_whole_cube(name, params):
    task = tasks.make(name, **params)
    found, expected = tasks.exact_facts(task), enumerated(task)
    assert isinstance(found, facts.SparseFacts)
    same(found, expected, range(task.n))
    assert found.monomials(2**task.n) == expected.monomials(2**task.n)


def test_decimals_are_rounded_alike():
    expression = "0.1*x0*x3 - 0.7*(x1 + 0.3*x2)**3 + x4/7 - (x0 - 0.2)**5*x5"
    task = tasks.make("polynomial", expression=expression)
    found, expected = tasks.exact_facts(task), enumerated(task)
    assert isinstance(found, facts.SparseFacts)
    np.testing.assert_allclose(found.influences, expected.influences, rtol=3e-15)
    same(
        found,
        expected,
        range(task.n),
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14),
    )
    assert found.monomials(99).keys() == expected.monomials(99).keys()


def test_a_planted_polynomial_of_64_bits():
    random = np.random.default_rng(3)
    terms = {}
    for degree in (0, *random.integers(1, 7, 30)):
        own = tuple(sorted(random.choice(64, degree, replace=False).tolist()))
        terms[own] = float(random.integers(1, 64) / 64 * random.choice([-1, 1]))
    text = " + ".join("*".join([repr(c), *(f"x{i}" for i in s)]) for s, c in terms.items())
    task = tasks.make("polynomial", expression=text, n=64)
    found = tasks.exact_facts(task)
    assert found.monomials(31) == terms
    for k in range(64):
        assert found.influences[k] == sum(c * c for s, c in terms.items() if k in s)
    own = next(s for s in terms if len(s) > 1)
    assert found.coefficients([own, own[1:], ()]).tolist()[::2] == [terms[own], terms[()]]
    low, _, high = found.cross_sums(own[0])
    assert low.sum() + high.sum() == found.mean_square == sum(c * c for c in terms.values())
    x = random.choice([-1.0, 1.0], (500, 64)).astype(np.float32)
    expected = sum(c * np.prod(x[:, list(s)], axis=1) for s, c in terms.items())
    np.testing.assert_allclose(jax.jit(task.target)(x), expected, atol=1e-4)


def test_a_polynomial_with_aliases_at_forty_bits():
    text = "2*x39*x7 - 3*x7 + 0.5*x39 + 1"
    found = tasks.exact_facts(tasks.make("polynomial", expression=text))
    sums = np.zeros((3, 40))
    sums[:, 0] = 1, 0.5, 0.25
    sums[:, 1] = 9, -6, 4
    np.testing.assert_array_equal(found.cross_sums(39), sums)
    assert found.frozen(39, 1)[:3].tolist() == [2.25, 1, 0]
    assert found.frozen(39, -1)[:3].tolist() == [0.25, 25, 0]


LARGE = [
    ("parity", {"n": 40, "coordinates": (2, 9, 23, 36)}, (2, 9, 23, 36)),
    ("parity", {"n": 264, "degree": 264}, tuple(range(264))),
    ("staircase", {"n": 50}, None),
    ("quadratic_chain", {"n": 64}, None),
    ("linear", {"n": 100}, None),
    ("pvr", {"pointer_bits": 5, "window": 3}, None),
    ("pvr", {"pointer_bits": 8, "window": 12, "aggregation": "max"}, None),
]


@pytest.mark.parametrize(("name", "params", "coordinates"), LARGE)
def test_targets_of_many_bits_are_made_and_evaluated(name, params, coordinates):
    task = tasks.make(name, **params)
    x = np.random.default_rng(0).choice([-1.0, 1.0], (300, task.n)).astype(np.float32)
    values = np.asarray(jax.jit(task.target)(x))
    found = tasks.exact_facts(task)
    if coordinates:
        np.testing.assert_array_equal(values, np.prod(x[:, coordinates], axis=1))
        assert found.monomials(1) == {coordinates: 1.0}
        assert found.influences.tolist() == [float(i in coordinates) for i in range(task.n)]
    elif name == "pvr":
        own = {"aggregation": "parity", "boundary": "cyclic"} | params
        expected = by_definition(x.astype(int), own.pop("pointer_bits"), **own)
        np.testing.assert_array_equal(values, expected)
    else:
        terms = found.monomials(200)
        expected = sum(c * np.prod(x[:, list(s)], axis=1) for s, c in terms.items())
        np.testing.assert_array_equal(values, expected)


def test_a_table_is_enumerated(tmp_path):
    values = np.random.default_rng(0).normal(size=2**6)
    np.save(tmp_path / "table.npy", values)
    found = tasks.exact_facts(tasks.make("truth_table", path=tmp_path / "table.npy"))
    assert isinstance(found, facts.DenseFacts)
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)
    cube = values.reshape((2,) * 6)
    for k in range(6):
        plus, minus = (np.take(cube, side, axis=k) for side in (1, 0))
        assert found.influences[k] == pytest.approx(np.mean((plus - minus) ** 2) / 4, rel=1e-13)


def test_polynomials_of_too_many_monomials_are_enumerated(monkeypatch):
    monkeypatch.setattr(polynomial, "MOST_PRODUCTS", 2**5)
    expression = "*".join(f"(1 + x{i}/2)" for i in range(9))
    found = tasks.exact_facts(tasks.make("polynomial", expression=expression))
    assert isinstance(found, facts.DenseFacts)
    np.testing.assert_allclose(found.influences, 1.25**8 / 4, rtol=1e-14)


def refusal(call):
    with pytest.raises(ValueError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_what_has_no_closed_form_says_so(tmp_path, monkeypatch):
    allowed = (
        "which has no closed form; allowed n up to 20, or pvr, pvr_majority, quadratic_chain, "
        "staircase, linear, parity, polynomial"
    )
    np.save(tmp_path / "table.npy", np.ones(2**21, np.float32))
    table = tasks.make("truth_table", path=tmp_path / "table.npy")
    message = refusal(lambda: tasks.exact_facts(table))
    assert message == f"task: given truth_table with n = 21, {allowed}"
    expression = "*".join(f"(1 + x{i})" for i in range(30))
    many = tasks.make("polynomial", expression=expression)
    message = refusal(lambda: tasks.exact_facts(many))
    assert message == f"task: given polynomial with n = 30, {allowed}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_facts.py").write_text("def first(x):\n    return x[..., 0]\n")
    own = tasks.make("own_facts:first", n=40)
    message = refusal(lambda: tasks.exact_facts(own))
    assert message == f"task: given own_facts:first with n = 40, {allowed}"
    assert tasks.exact_facts(tasks.make("own_facts:first", n=3)).influences.tolist() == [1, 0, 0]


def test_windows_that_are_too_long_are_refused():
    long = tasks.make("pvr", pointer_bits=8, window=65)
    message = refusal(lambda: tasks.exact_facts(long))
    assert message == "window: given 65; allowed 1 to 64 for exact facts"
    found = tasks.exact_facts(tasks.make("pvr", pointer_bits=5, window=13, aggregation="min"))
    message = refusal(lambda: found.monomials(10**9))
    assert message == "window: given 13; allowed 1 to 12 for a list of coefficients"
    assert refusal(lambda: found.cross_sums(37)) == "bit: given 37; allowed 0 to 36"
    assert refusal(lambda: found.coefficients([(37,)])) == "coordinate: given 37; allowed 0 to 36"


def test_windows_of_up_to_64_bits_lose_no_digits():
    # E f² is the chance that there is no tie: windows of 1 to 63 bits once each, 193 of 64.
    found = tasks.exact_facts(
        tasks.make("pvr", pointer_bits=8, window=64, aggregation="majority", boundary="truncated")
    )
    ties = [math.comb(m, m // 2) / 2**m if m % 2 == 0 else 0 for m in range(1, 65)]
    expected = 1 - (sum(ties[:-1]) + 193 * ties[-1]) / 256
    assert found.mean_square == pytest.approx(expected, rel=1e-13)
