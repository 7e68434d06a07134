"""The study that the benchmarks run: f3 of Abbe et al. 2022, from its own configuration."""

import time
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import canonical_holdout, pvr_majority
from experiments.canonical_holdout.experiment import EXPERIMENT
from pvr_jax import tasks
from pvr_jax.boolean import cube
from pvr_jax.building import build
from pvr_jax.experiment import task_of
from pvr_jax.tasks import holdouts
from pvr_jax.training import probe
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import Replicas
from pvr_jax.training.state import State

BITS = 11


def configuration(
    model: str,
    size: str = "paper",
    *,
    replicas: int,
    tiny: bool = False,
    execution: str = "auto",
    group_size: int | None = None,
) -> ConfigDict:
    """Return configs/pvr_majority.py with a number of replicas, as seeds x bits.

    Networks that the paper does not train on f3 have the configuration of canonical_holdout.
    """
    parts = [f"model={model}", *([f"size={size}"] if size else []), *(["tiny"] if tiny else [])]
    chosen = canonical_holdout if model not in canonical_holdout.PAPER_MODELS else pvr_majority
    config = chosen.get_config(",".join(parts))
    bits = max(bits for bits in range(1, BITS + 1) if replicas % bits == 0)
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.holdout.bits = ",".join(map(str, range(bits)))
        config.train.seeds = replicas // bits
        config.train.execution = execution
        if group_size is not None:
            config.train.group_size = group_size
    EXPERIMENT.validate(config)
    return config


def chain(n: int, *, tiny: bool = False) -> ConfigDict:
    """Return the configuration of one replica of the MLP on the quadratic chain of n bits."""
    choices = "task=quadratic_chain,model=mlp" + (",tiny" if tiny else "")
    config = canonical_holdout.get_config(choices).copy_and_resolve_references()
    with config.unlocked():
        config.task.n = n
        config.holdout.bits = "0"
        config.train.seeds = 1
    EXPERIMENT.validate(config)
    return config


class Study:
    """An ensemble that trains epoch by epoch, evaluated after each, as in a run.

    `mode` is its execution mode; `probe` records how `auto` chose it, and the seconds this took
    (None: there was no choice).
    """

    def __init__(self, config: ConfigDict) -> None:
        self.config = config
        built = build(EXPERIMENT, (config,))
        self.program, self.table, self.task = built.programs[0], built.tables[0], task_of(config)
        self.steps_per_epoch = self.program.steps_per_epoch
        self.ensemble: Ensemble = built.ensemble
        self.probe: dict[str, Any] | None = None
        self.step = 0

    @property
    def count(self) -> int:
        """Number of replicas."""
        return self.ensemble.count

    @property
    def mode(self) -> str:
        """The execution mode."""
        return str(self.ensemble.mode)

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.ensemble.mesh.size

    def choose_mode(self) -> "Study":
        """Let the probe choose the mode, if there is a choice."""
        if self.ensemble.alternatives:
            begin = time.perf_counter()
            steps = self.config.train.epochs * self.steps_per_epoch
            self.ensemble, found = probe.fastest(self.ensemble, steps)
            self.probe = found | {"seconds": time.perf_counter() - begin}
        return self

    def start(self) -> "Study":
        """Draw the initial states."""
        self.state: State = self.ensemble.start()
        return self

    def compile(self) -> "Study":
        """Compile training and evaluation as in `loop.train`, without taking a step."""
        self.state = jax.block_until_ready(self.ensemble.advance(self.state, self.step, self.step))
        self.ensemble = self.ensemble.with_compiled_evaluation(self.state)
        return self

    def advance(self, steps: int) -> State:
        """Take some steps."""
        self.state = self.ensemble.advance(self.state, self.step, self.step + steps)
        self.step += steps
        return self.state

    def evaluate(self) -> dict[str, np.ndarray]:
        """Return every measure of every replica, on the host."""
        return jax.tree.map(np.asarray, self.ensemble.evaluate(self.state))

    def epochs(self, count: int) -> dict[str, np.ndarray]:
        """Train some epochs, each with an evaluation on the whole cube; return the last one."""
        for _ in range(count):
            self.advance(self.steps_per_epoch)
            measured = self.evaluate()
        return measured


def training_rows(study: Study, replica: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows x [m, n], y [m] of one replica's first epoch, in order."""
    one = jax.tree.map(lambda leaf: leaf[replica], study.ensemble.replicas)
    batch = jax.jit(partial(batch_of, study, one))
    batches = [batch(step) for step in range(study.steps_per_epoch)]
    whole = {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}
    return whole["x"][whole["weight"] > 0], whole["y"][whole["weight"] > 0]


def batch_of(study: Study, replica: Replicas, step: Any) -> dict[str, jax.Array]:
    """Return the batch of one replica at a step, without the axis R."""
    own = {name: replica.conditions[name] for name in ("bit", "pairs")}
    return study.program.batch(replica.data_key, step, **own)


def cube_of(study: Study, replica: int = 0) -> tuple[np.ndarray, ...]:
    """Return the points [2^n, n], the target [2^n] and the seen set bool [2^n] of a replica."""
    bit, n = int(study.table["frozen_bit"][replica]), study.task.n
    seen = holdouts.canonical(n, bit, study.config.holdout.value)
    truth = tasks.exact_values(study.task).astype(np.float32)
    return np.asarray(cube.points(n)), truth, np.asarray(seen)


def parameters_of(state: State, replica: int = 0) -> Any:
    """Return one replica's parameters as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[replica]), state.params)
