"""The functions that users call first have an example each, and it is true."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import pytest
from documents import ROOT

from pvr_jax.training import run_log
from pvr_jax.training.checkpoint import Checkpoints
from pvr_jax.training.replicas import device_mesh, pad
from pvr_jax.training.state import State

# Module -> its functions that must have an example; "" is the module itself.
FIRST = {
    "pvr_jax": [""],  # of load_params
    "pvr_jax.boolean.cube": ["points", "degrees", "index", "coordinates"],
    "pvr_jax.boolean.fourier": [
        "walsh_hadamard",
        "inverse_walsh_hadamard",
        "degree_profile",
        "low_degree_projection",
    ],
    "pvr_jax.boolean.measures": [
        "influences",
        "total_influence",
        "noise_stability",
        "noise_sensitivity",
        "orbit_cross_predictability",
    ],
    "pvr_jax.boolean.sampling": [
        "moments",
        "coefficients",
        "influences",
        "noise_stability",
        "degree_weights",
        "errors",
    ],
    "pvr_jax.boolean.sparse_spectrum": ["search"],
    "pvr_jax.analysis.sampled": ["measure_canonical"],
    "pvr_jax.analysis.low_degree": ["low_degree_lasso"],
    "pvr_jax.models.registry": ["build", "names"],
    "pvr_jax.results.study": ["open_study"],
    "pvr_jax.tasks.holdouts": ["canonical"],
    "pvr_jax.tasks.targets": ["make", "names", "truth_table"],
    "pvr_jax.theory.kernel_limit": ["kernel_interpolator", "kernel_influences"],
    "pvr_jax.theory.min_degree": ["min_degree_interpolator", "hilbert_function"],
}


def examples(module):
    """Return the examples of a module by function, each to run without the module's names."""
    found = doctest.DocTestFinder().find(importlib.import_module(module), module, globs={})
    return {test.name.removeprefix(module).lstrip("."): test for test in found if test.examples}


CASES = {f"{module}.{name}": test for module in FIRST for name, test in examples(module).items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a directory with a RUN of two replicas, and the checkout's kept results."""
    directory = tmp_path_factory.mktemp("doctests")
    (directory / "experiments").symlink_to(ROOT / "experiments")
    names = ["bit0-seed0", "bit0-seed1"]
    (directory / "RUN").mkdir()
    run_log.write_json(directory / "RUN/run.json", {"replicas": names})
    mesh = device_mesh(jax.devices()[:1])
    params = pad({"kernel": jnp.ones((len(names), 3, 2))}, mesh)
    rows = jnp.zeros(len(names), jnp.int32)
    with Checkpoints(directory / "RUN/checkpoints", "abcd0123", kept=(10,)) as checkpoints:
        checkpoints.save(10, State(params, (), rows, rows, rows, rows), len(names))
    return directory


@pytest.mark.parametrize("module", FIRST)
def test_the_functions_that_users_call_first_have_an_example(module):
    assert set(FIRST[module]) <= set(examples(module))


@pytest.mark.parametrize("case", CASES)
def test_an_example_is_true(case, place, monkeypatch):
    monkeypatch.chdir(place)
    written = []
    failed, _ = doctest.DocTestRunner().run(CASES[case], out=written.append)
    assert not failed, "".join(written)
