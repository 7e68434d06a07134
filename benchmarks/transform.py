"""How far is the Walsh-Hadamard transform from a copy, and is it faster than other packages?

float32 values [rows, 2^n], alternating with a jitted `-x` in the same process: the same array read
once and written once, by the same threads, into a new array, by the same allocator. A value is the
median, over pairs, of the seconds of the transform over those of the copy, or of a rival's over
the transform's. Every rival keeps its input and returns a new array, as the transform does, and
gets its preferred array (of NumPy or PyTorch, in its own dtype).

`NOTES` at the end of the file has what was tried, and the rivals that are left out.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

from benchmarks.measuring import Measurement, alternate, measurement, timed
from pvr_jax.boolean import fourier

# Rows, n, and the bars on a CPU and on an accelerator, in times of a copy.
CASES = ((1000, 11, 4.0, 1.5), (1, 20, 8.0, 2.0))
PAIRS = 40
QUICK_SECONDS = 0.1  # slower rivals have fewer repetitions
MATRIX_LIMIT = 12  # largest n whose Hadamard matrix is worth forming

Rival = Callable[[np.ndarray], Callable[[], Any]]


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield the distance from a copy, then from every installed rival, for every case.

    Rivals come last: threads of some keep spinning after a call.
    """
    cases = ((3, 10, 4.0, 1.5),) if tiny else CASES
    on_cpu = jax.default_backend() == "cpu"
    pairs = 3 if tiny else PAIRS
    for rows, n, bar, accelerator_bar in cases:
        yield beside_copy(_values(rows, n), bar if on_cpu else accelerator_bar, pairs)
    if on_cpu:
        for rows, n, _, _ in cases:
            yield from beside_rivals(_values(rows, n), pairs)


def _values(rows: int, n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((rows, 2**n)).astype(np.float32)


def beside_copy(values: np.ndarray, bar: float, pairs: int) -> Measurement:
    """Measure the transform of values [rows, 2^n] against a copy of them."""
    x = jnp.asarray(values)
    copy = jax.jit(jnp.negative)
    times = alternate(lambda: fourier.walsh_hadamard(x), lambda: copy(x), pairs, 3)
    target = np.empty_like(values)
    moved = 2 * values.nbytes
    return measurement(
        "transform beside a copy",
        times.median,
        "times of a copy",
        _shape(values),
        spread=times.spread,
        at_most=bar,
        details={
            "transform_ms": 1e3 * times.first.median,
            "copy_ms": 1e3 * times.second.median,
            "transform_GB_per_s": moved / times.first.median / 1e9,
            "copy_GB_per_s": moved / times.second.median / 1e9,
            "fastest_ratio": min(times.first.seconds) / min(times.second.seconds),
            "numpy_copy_ms": 1e3 * timed(lambda: np.copy(values), pairs).median,
            "numpy_copy_into_ms": 1e3 * timed(lambda: np.copyto(target, values), pairs).median,
        },
    )


def beside_rivals(values: np.ndarray, pairs: int) -> Iterator[Measurement]:
    """Measure every installed rival against the transform, and name missing ones."""
    x = jnp.asarray(values)
    n = values.shape[-1].bit_length() - 1
    absent = []
    for name, rival in RIVALS.items():
        if name == "scipy" and n > MATRIX_LIMIT:
            continue
        try:
            work = rival(values)
        except ImportError:
            absent.append(name)
            continue
        slow = timed(work, 1).median > QUICK_SECONDS
        times = alternate(work, lambda: fourier.walsh_hadamard(x), 3 if slow else pairs, 1)
        yield measurement(
            f"{name} beside the transform",
            times.median,
            "times of the transform",
            _shape(values),
            spread=times.spread,
            at_least=1.0,
            details={
                "rival_ms": 1e3 * times.first.median,
                "transform_ms": 1e3 * times.second.median,
                "fastest_ratio": min(times.first.seconds) / min(times.second.seconds),
            },
        )
    if absent:
        yield measurement("not installed", len(absent), "rivals", {"names": ", ".join(absent)})


def _shape(values: np.ndarray) -> dict[str, int]:
    rows, points = values.shape
    return {"rows": rows, "n": points.bit_length() - 1}


def _fht_cpu(values: np.ndarray) -> Callable[[], Any]:
    fht = importlib.import_module("fht_cpu").fht
    if len(values) == 1:
        return lambda: fht(values[0], inplace=False)
    return lambda: fht(values, inplace=False)  # rows in parallel


def _hadamard_transform(values: np.ndarray) -> Callable[[], Any]:
    transform = importlib.import_module("hadamard_transform").hadamard_transform
    tensor = importlib.import_module("torch").from_numpy(values)
    return lambda: transform(tensor)


def _pyfwht(values: np.ndarray) -> Callable[[], Any]:
    compute = importlib.import_module("pyfwht").compute  # integers or float64, one row at a time
    rows = list(values.astype(np.float64))
    return lambda: [compute(row) for row in rows]


def _boofun(values: np.ndarray) -> Callable[[], Any]:
    transform = importlib.import_module("boofun.core.optimizations").fast_walsh_hadamard
    rows = list(values.astype(np.float64))
    return lambda: [transform(row) for row in rows]


def _ewht(values: np.ndarray) -> Callable[[], Any]:
    transform = importlib.import_module("ewht").efwht  # float64, one row at a time
    half = np.full(values.shape[-1].bit_length() - 1, 0.5)  # fair bits: the usual transform
    rows = list(values.astype(np.float64))
    return lambda: [transform(row, ps=half) for row in rows]


def _sparse_transform(values: np.ndarray) -> Callable[[], Any]:
    general = importlib.import_module("sparse_transform.qsft.utils.general")
    n = values.shape[-1].bit_length() - 1
    return lambda: [general.gwht(row, 2, n) for row in values]  # complex, one row at a time


def _scipy(values: np.ndarray) -> Callable[[], Any]:
    matrix = linalg.hadamard(values.shape[-1]).astype(np.float32)
    return lambda: values @ matrix


RIVALS: dict[str, Rival] = {
    "fht_cpu": _fht_cpu,
    "hadamard_transform": _hadamard_transform,
    "pyfwht": _pyfwht,
    "boofun": _boofun,
    "ewht": _ewht,
    "sparse_transform": _sparse_transform,
    "scipy": _scipy,
}

NOTES = """
What XLA makes of it on a CPU, for 1 x 2^20 float32 on two cores of an AMD EPYC (Zen 4), jax 0.10.2;
the smallest of 40 to 60 times in microseconds, since the machine was shared. A copy took 112.

signed sums, written out: 4 terms 115 to 170, 8 terms 130 to 200, 16 terms 250 to 300 at strides of
  64 to 512 entries, three times that beyond; 32 terms 670. Along the last axis: 4 terms 112,
  8 terms 300, 16 terms 232, 32 terms 840. The inner loop is one multiply-add per term and vector.
butterflies, stacked (2, 4, 8, 16 parts): 115, 170, 275, 1000. The parts are written one after the
  other, so all entries are read once for every part, and nothing is shared between parts.
matrix products along the last axis (8, 16, 32, 64): 560, 590, 780, 1600; along the first axis
  1200 to 7000; along a middle one 1600 to 1700.
sums as a reduction over a product: 400 to 1000, 150,000 with the order of digits rotated.
a sum whose result is reshaped at once: 1000 to 11,000 (index arithmetic in the inner loop).
  Concatenating two halves of it avoids that: 8 terms 160 to 200, 16 terms 310 to 330.
several outputs in one loop (a tuple of butterflies): no; one loop is made for each.
sums of 8 one after the other: fused into one loop that does 8 x 8 times the work. An
  optimization barrier does not prevent it (it is removed before fusion), 16 terms do.
blocks of rows in a `lax.map`, to stay in the second-level cache: 4 to 5 times slower.
a function called without inlining (a compiler attribute): prevents fusion, but one thread.

So a pass over memory costs about a copy for three coordinates at best; 11 coordinates are three
passes, 20 are eight. A hand-written loop would also share partial sums in registers, across the
outputs of a pass, and do several passes per visit to the cache; neither can be expressed in XLA.

Rivals left out: fast-hadamard-transform is for CUDA alone and does not build here; fht and
ffht-unofficial do not build; pyfht needs `importlib.find_loader`, which Python 3.12 has no more,
and float64; cr-nimble (JAX) imports `jax.lib.xla_bridge`, which is gone; fedjax (JAX) needs haiku;
spyrit needs torchvision; walsh transforms square images by matrix products, paulikit operators;
qsft has the transform of sparse_transform; SymPy's is exact and in pure Python. boofun is faster
with numba. The slow ones are no part of the `bench` extra: pip install ewht sparse-transform, and
pyfwht, which compiles.
"""
