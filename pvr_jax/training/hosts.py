"""One program on several hosts: join processes, exchange values, choose who writes files.

Every process runs the same program over all devices. Process 0, the primary, writes logs and
records; all processes write checkpoints. A single process is its own primary, at no cost.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from pvr_jax.training.run_log import RunError

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "PVR_PROCESS_COUNT", "PVR_PROCESS_INDEX"
# A killed process is noticed at the next exchange; a hanging one after this time.
HEARTBEAT_SECONDS = 60
# Finished processes wait for the primary, whose analysis may take a day.
PATIENCE_SECONDS = 7 * 24 * 3600

Result = TypeVar("Result")

# Nonempty once processes are detached; this cannot be undone, like joining in JAX.
_parted: list[bool] = []


class PeerError(RunError):
    """One line: another process of this run failed or is gone."""


def use_all_cores() -> None:
    """Make the CPU one JAX device per core that this process may use.

    Operations of small networks are too small to use several cores; replicas on several devices
    are not. Call this before using JAX. It has no effect if JAX_NUM_CPU_DEVICES is set or JAX is
    already initialized.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # JAX is already initialized
            jax.config.update("jax_num_cpu_devices", usable_cores())


def usable_cores() -> int:
    """Return the number of cores this process may use; if unknown, all of the machine's."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def join(environment: Mapping[str, str] = os.environ) -> None:
    """Join the other processes of this run; call this before using JAX.

    JAX itself detects Slurm tasks and the workers of a TPU slice. Processes started by hand are
    identified by JAX_COORDINATOR_ADDRESS (host:port of the first), PVR_PROCESS_COUNT and
    PVR_PROCESS_INDEX.

    Raises:
        RunError: the others were not found, or did not join.
    """
    # JAX's preemption service would replace the signal handler of the training loop.
    jax.config.update("jax_enable_preemption_service", False)
    by_hand = {name: environment.get(name, "") for name in (ADDRESS, COUNT, INDEX)}
    known: dict[str, object] = {}
    port = re.fullmatch(".+:([0-9]{1,5})", by_hand[ADDRESS])
    if by_hand[ADDRESS] and not (port and 0 < int(port[1]) < 2**16):
        raise RunError(
            f"--hosts=all: given {ADDRESS}={by_hand[ADDRESS]}; allowed HOST:PORT with a port from "
            "1 to 65535, such as host0:9876"
        )
    if by_hand[COUNT] or by_hand[INDEX]:
        numbers = [re.fullmatch("[0-9]{1,9}", by_hand[name]) for name in (COUNT, INDEX)]
        if not (all(numbers) and by_hand[ADDRESS]):
            given = ", ".join(f"{name}={value}" for name, value in by_hand.items())
            raise RunError(
                f"--hosts=all: given {given}; allowed all three, such as {ADDRESS}=host0:9876 "
                f"{COUNT}=2 {INDEX}=0"
            )
        if not 0 <= int(by_hand[INDEX]) < int(by_hand[COUNT]):
            raise RunError(
                f"--hosts=all: given {INDEX}={by_hand[INDEX]}; allowed 0 to {COUNT} - 1, with "
                f"{COUNT}={by_hand[COUNT]}"
            )
        known = {
            "coordinator_address": by_hand[ADDRESS],
            "num_processes": int(by_hand[COUNT]),
            "process_id": int(by_hand[INDEX]),
        }
    try:
        jax.distributed.initialize(
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=PATIENCE_SECONDS,
            **known,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise RunError(
            f"--hosts=all: the processes could not be joined ({reason}); start one process per "
            f"host with srun or on every TPU worker, or set {ADDRESS}, {COUNT} and {INDEX}"
        ) from error


def afterwards(work: Callable[[], None]) -> None:
    """Run `work` on the primary alone, on its own devices.

    Processes are detached from here on, except for the end.
    """
    _parted.append(True)
    if is_primary():
        work()


def end(status: int) -> None:
    """Exit with a status: together with the others, or at once if they may be gone."""
    if together() and status and status < 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # an orderly exit would wait for them
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()
    sys.exit(status)


def together() -> bool:
    """Return whether this process is one of several joined processes."""
    return not _parted and jax.distributed.is_initialized() and jax.process_count() > 1


def is_primary() -> bool:
    """Return whether this process writes files and messages."""
    return jax.process_index() == 0


def devices() -> list[jax.Device]:
    """Return the devices of all joined processes; a detached process has its own."""
    return jax.devices() if together() else jax.local_devices()


def largest(*values: float) -> tuple[float, ...]:
    """Return the elementwise maximum of the values over all processes.

    All processes must call this at the same point.

    Raises:
        PeerError: another process is gone.
    """
    if not together():
        return values
    with explained():
        gathered = multihost_utils.process_allgather(np.asarray(values, np.float32))
    return tuple(float(value) for value in np.max(gathered, axis=0))


def on_primary(work: Callable[[], Result]) -> Result | None:
    """Run `work` on the primary while all wait; return its result there, None elsewhere.

    Raises:
        PeerError: the primary failed; it reports the reason itself.
    """
    if not together():
        return work()
    result, failure = None, None
    if is_primary():
        try:
            result = work()
        except Exception as error:  # notify the others first
            failure = error
    (failed,) = largest(float(failure is not None))
    if failure is not None:
        raise failure
    if failed:
        raise PeerError("process 0 of this run could not go on, and says why")
    return result


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the error of an exchange with a lost process into one line."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), "no reason given")[:200]
        raise PeerError(
            f"another process of this run is gone ({reason}); what was saved is intact: give the "
            "same command again on every host"
        ) from error
