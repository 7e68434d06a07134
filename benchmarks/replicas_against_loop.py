"""How much faster are replicas than the usual loop over seeds, one PyTorch network at a time?

Both train f3 of Abbe et al. 2022 (n = 11, 1,900 rows, batches of 64, Adam) with the authors'
networks, and evaluate on the whole cube after every epoch; the loop computes all Fourier
coefficients for the MLP, we compute them for every model. They alternate in one process, with
PyTorch's default number of threads. A value is the median, over pairs, of the loop's seconds per
replica and epoch over ours.

`NOTES` at the end of the file has what was tried.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from benchmarks import pytorch_loop, pytorch_networks, studies
from benchmarks.measuring import Measurement, alternate, measurement

PAIRS = 5


class Case(NamedTuple):
    """A comparison: network, replicas and epochs on each side, and the bar."""

    model: str
    size: str
    replicas: int
    our_epochs: int
    loop_epochs: int
    at_least: float | None


# On two CPU cores a pair takes 6 s (MLP), 25 s (Transformer) and 8 s (Mixer). Even numbers: with 11
# replicas on two devices a twelfth of the work would be padding.
CPU = (
    Case("mlp", "paper", 22, 2, 4, 2.5),
    Case("transformer", "paper", 2, 1, 1, 1.1),
    Case("mixer", "paper", 2, 1, 1, 1.1),
    Case("transformer", "small", 22, 1, 2, None),
    Case("mixer", "small", 22, 1, 2, None),
)
GPU = (
    Case("mlp", "paper", 440, 2, 4, 50),
    Case("transformer", "paper", 44, 1, 2, 20),
    Case("mixer", "paper", 110, 1, 2, 20),
    Case("transformer", "small", 440, 1, 2, None),
    Case("mixer", "small", 440, 1, 2, None),
)
TINY = (Case("mlp", "paper", 2, 1, 1, None),)
WHOLE_EXPERIMENT_SECONDS = 60.0  # of 440 replicas x 100 epochs of the MLP, on a GPU


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield the ratio of every case and, on a GPU, the seconds of the whole experiment."""
    on_gpu = jax.default_backend() != "cpu"
    for case in TINY if tiny else GPU if on_gpu else CPU:
        yield against_loop(case, tiny)
    if on_gpu and not tiny:
        yield whole_experiment()


def against_loop(case: Case, tiny: bool) -> Measurement:
    """Compare one network's replicas with the loop."""
    config = studies.configuration(case.model, case.size, replicas=case.replicas, tiny=tiny)
    study = studies.Study(config).choose_mode().start()
    begin = time.perf_counter()
    study.compile()
    compile_seconds = time.perf_counter() - begin
    loop = loop_of(study)
    alternation = alternate(
        partial(loop_epochs, loop, case.loop_epochs),
        partial(study.epochs, case.our_epochs),
        PAIRS,
    )
    ours = case.replicas * case.our_epochs
    ratio = alternation.scaled(ours / case.loop_epochs)
    return measurement(
        f"{case.model}, {case.size} size",
        ratio.median,
        "× the loop",
        {"replicas": study.count, "mode": study.mode, "devices": study.devices, "pairs": PAIRS},
        spread=ratio.spread,
        at_least=case.at_least,
        details={
            "our_seconds": alternation.second.median / ours,
            "loop_seconds": alternation.first.median / case.loop_epochs,
            "compile_seconds": compile_seconds,
        },
    )


def loop_of(study: studies.Study, replica: int = 0) -> pytorch_loop.Loop:
    """Return the loop that trains one replica of a study from its current parameters."""
    config = study.config
    parameters = {name: value for name, value in config.model.to_dict().items() if name != "name"}
    network = pytorch_networks.build(config.model.name, study.task.n, **parameters)
    pytorch_networks.load(network, studies.parameters_of(study.state, replica))
    return pytorch_loop.make_loop(
        network,
        studies.training_rows(study, replica),
        studies.cube_of(study, replica),
        learning_rate=float(study.table["learning_rate"][replica]),
        batch_size=config.data.batch_size,
        coefficients=config.model.name == "mlp",
    )


def loop_epochs(loop: pytorch_loop.Loop, count: int) -> np.ndarray:
    """Train some epochs, each with its evaluation; return their errors."""
    return np.array([loop.epoch()[1].generalization_error for _ in range(count)])


def whole_experiment() -> Measurement:
    """Time the paper's f3 with the MLP: 40 seeds x 11 bits, 100 epochs with their evaluations."""
    config = studies.configuration("mlp", "paper", replicas=440)
    study = studies.Study(config).choose_mode().start()
    begin = time.perf_counter()
    study.compile()
    compile_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    study.epochs(config.train.epochs)
    seconds = time.perf_counter() - begin
    return measurement(
        "all of f3, mlp",
        seconds,
        "seconds",
        {
            "replicas": study.count,
            "epochs": config.train.epochs,
            "mode": study.mode,
            "devices": study.devices,
        },
        at_most=WHOLE_EXPERIMENT_SECONDS,
        details={"compile_seconds": compile_seconds},
    )


NOTES = """
What the loop does, and why it is a fair one (times are of two cores of an AMD EPYC, family 25):
- To be run on an idle machine: PyTorch's threads wait for each other at the end of every
  operation, and on busy cores the loop was seen to take ten times as long, ours twice.
- Adam is PyTorch's default. `foreach=True` and `fused=True` were tried on the MLP's step: 1.10
  and 1.09 times as fast, medians of 21 pairs on a busy machine, whose own noise is larger.
- All coefficients are one product with the matrix of characters: 0.5 ms at n = 11, where a fast
  transform written with reshapes takes 0.15 ms; an epoch takes 200 ms and more. On a GPU the
  product is one launch.
- The loss stays on the device until the end of an epoch; `.item()` at every step would wait for
  it.
- The DataLoader collates row by row, 10 ms an epoch, as with every loop that uses its defaults.
- Token mixing of the Mixer is Conv1d of size 1, as in the authors' code.

What bounds the ratio of the MLP: an epoch is 17 GFLOP (12.5 of training, 4.4 of evaluation), .08
s at the 210 GFLOP/s of square products here, and the loop takes .19 to .26 s from run to run. So
nothing that makes these products at that rate can be more than 2.4 to 3.2 x as fast. Ours takes
1.6 x the floor in training (`distance_from_machine`; `where_time_goes` says why).
"""
