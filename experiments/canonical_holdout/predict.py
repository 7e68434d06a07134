"""What theory says of a run: the error it predicts, and how far what was learned lies from it."""

import json
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.canonical_holdout import problem as problems
from experiments.canonical_holdout import settings
from experiments.canonical_holdout.train import run_directory
from pvr_jax import models, theory
from pvr_jax.boolean import float64
from pvr_jax.theory import wide_networks
from pvr_jax.theory.empirical_kernel import LARGEST_N
from pvr_jax.training import run, run_log

STAGE = "predict"
PREDICTIONS_FILE = "predictions.json"
SEEDS = 2  # initialisations of which the empirical kernel is the mean
# Of different networks, each up to 128 MB; the tasks of a study share theirs.
MOST_KERNELS = 4

# From the target's values [2^n] and the seen set bool [2^n] to the predicted values [2^n].
Theory = Callable[[np.ndarray, np.ndarray], np.ndarray]


def predict(config: ConfigDict, workdir: Path) -> Path:
    """Write predictions.json of an analysed run; returns the run directory.

    It holds, per theory, the generalization error predicted for each frozen bit and, for each
    replica, the half squared distance over the whole cube between what it learned and what the
    theory predicts ("unexplained"); and of the other theories why they are not defined.

    Raises:
        ValueError: an impossible configuration.
        FileNotFoundError: the run is not analysed.
        RunError: the directory is in use.
    """
    settings.validate(config)
    directory = run_directory(config, workdir)
    run.later_stage(
        directory,
        STAGE,
        config.train.dtype,
        partial(_predict, config, directory),
        after="analyse",
        product=PREDICTIONS_FILE,
    )
    return directory


def _predict(config: ConfigDict, directory: Path) -> None:
    problem = problems.assemble(config)
    theories, not_defined = ({}, {}) if problem.matched else theories_of(config, problem)
    errors: dict[str, dict[int, float]] = {name: {} for name in theories}
    unexplained: dict[str, list[float]] = {name: [] for name in theories}
    spectra = last_spectra(directory)
    for bit in problem.bits:
        predicted = {}
        for name, function in list(theories.items()):
            try:
                values = function(problem.truth, seen_by(problem, bit))
            except ValueError as error:  # of this target, what the kernel cannot hold
                not_defined[name] = str(error)
                del theories[name]
                continue
            errors[name][bit] = float(np.square(values - problem.truth).mean() / 2)
            predicted[name] = float64.spectrum(values)
        # Replicas are ordered by their frozen bits.
        for _ in range(int(np.sum(problem.replica_bits == bit))):
            learned = next(spectra)
            for name, spectrum in predicted.items():
                distance = float(np.square(learned - spectrum).sum() / 2)
                unexplained[name].append(distance)
    document = {
        "theories": {name: {"error": errors[name]} for name in theories},
        "unexplained": {name: unexplained[name] for name in theories},
        "not_defined": not_defined,
    }
    run_log.write_json(directory / PREDICTIONS_FILE, document)


def theories_of(
    config: ConfigDict, problem: problems.Problem
) -> tuple[dict[str, Theory], dict[str, str]]:
    """Return the theories that say something of a run, and of the others why they do not.

    "influence": the min-degree interpolator, whose error is the influence. "wide_ntk" and
    "empirical_ntk": regression with the tangent kernel of the infinitely wide network and of the
    network itself, at initialisation.
    """
    theories: dict[str, Theory] = {"influence": theory.min_degree_interpolator}
    not_defined = {}
    for name, kernel_of in (("wide_ntk", wide_kernel), ("empirical_ntk", mean_kernel)):
        try:
            kernel = kernel_of(config, problem.task.n)
        except ValueError as error:
            not_defined[name] = str(error)
        else:
            theories[name] = partial(theory.kernel_interpolator, kernel)
    return theories, not_defined


def wide_kernel(config: ConfigDict, n: int) -> np.ndarray:
    """Return the eigenvalues [n + 1] of the tangent kernel of a run's network at infinite width.

    Raises ValueError for networks without one here: all but the MLP, and the MLP under maximal
    update, which is never lazy, however wide.
    """
    _check_scales(config)
    model = config.model
    if model.name != "mlp":
        raise ValueError(f"model: given {model.name}; allowed mlp")
    layers = wide_networks.mlp_layers(
        n, model.widths, model.initialisation, model.alpha, model.get("biases", True)
    )
    return wide_networks.wide_eigenvalues(n, layers, wide_networks.relu_moments)


def mean_kernel(config: ConfigDict, n: int) -> np.ndarray:
    """Return the mean tangent kernel [2^n, 2^n] of a run's network at initialisation.

    Raises ValueError for a cube that is too large for it.
    """
    _check_scales(config)
    if n > LARGEST_N:
        raise ValueError(f"n = {n}: allowed up to {LARGEST_N}")
    model = json.dumps(config.model.to_dict(), sort_keys=True)
    return _mean_kernel(model, n, config.train.dtype)


@lru_cache(maxsize=MOST_KERNELS)
def _mean_kernel(model: str, n: int, dtype: str) -> np.ndarray:
    """The same of a model by its parameters as JSON; `dtype` is that of JAX at the time."""
    network = models.build(n=n, **json.loads(model))
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(np.arange(SEEDS))
    with jax.default_matmul_precision("highest"):
        return theory.mean_empirical_kernel(network.init, network.apply, n, keys, symmetrise=True)


def _check_scales(config: ConfigDict) -> None:
    """Refuse scaled starts: their kernels differ from replica to replica of one bit."""
    if any(scale != 1 for scale in config.train.init_scales):
        raise ValueError(
            f"init_scales: given {', '.join(f'{s:g}' for s in config.train.init_scales)}; allowed 1"
        )


def seen_by(problem: problems.Problem, bit: int) -> np.ndarray:
    """Return the seen set bool [2^n] with a bit frozen."""
    return np.asarray(problems.seen_inputs(problem)(bit))


def last_spectra(directory: Path) -> Iterator[np.ndarray]:
    """Yield what each replica had learned at the last step, [2^n] in float64, from spectra.npz.

    One at a time: at n = 20 a hundred of them are 800 MB.
    """
    with (
        zipfile.ZipFile(directory / "spectra.npz") as archive,
        archive.open("coefficients.npy") as numbers,
    ):
        np.lib.format.read_magic(numbers)
        shape, _, dtype = np.lib.format.read_array_header_2_0(numbers)
        steps, replicas, size = shape
        bytes_each = size * dtype.itemsize
        numbers.seek((steps - 1) * replicas * bytes_each, 1)
        for _ in range(replicas):
            yield np.frombuffer(numbers.read(bytes_each), dtype).astype(np.float64)
