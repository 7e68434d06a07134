"""The fastest mode of an ensemble on this machine, found by a short timed probe."""

import time
from typing import Any

import jax

from pvr_jax.training import hosts
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import Mode

# As many steps are timed, in each mode, as last about so long; one at least.
PROBE_SECONDS = 0.25
# Another mode is tried where the training to come lasts this many times its compilation.
WORTH = 10
# A mode has to be so much faster than the one before it: a machine's noise shall not choose.
MARGIN = 1.05


def seconds_per_step(ensemble: Ensemble) -> tuple[float, float]:
    """Return the seconds of compilation, and of one step of all replicas.

    The slowest process counts where there are several.
    """
    begin = time.perf_counter()
    state = jax.block_until_ready(ensemble.advance(ensemble.start(), 0, 0))
    compiled = time.perf_counter() - begin
    begin = time.perf_counter()
    state = jax.block_until_ready(ensemble.advance(state, 0, 1))
    (elapsed,) = hosts.largest(time.perf_counter() - begin)
    steps = 1
    if elapsed < PROBE_SECONDS:  # the first step found the caches cold, and counts no more
        steps = max(1, int(PROBE_SECONDS / elapsed))
        begin = time.perf_counter()
        jax.block_until_ready(ensemble.advance(state, 1, 1 + steps))
        (elapsed,) = hosts.largest(time.perf_counter() - begin)
    (compiled,) = hosts.largest(compiled)
    return compiled, elapsed / steps


def fastest(ensemble: Ensemble, steps: int) -> tuple[Ensemble, dict[str, Any]]:
    """Return the ensemble in its fastest mode for a training of `steps`, and what was found.

    The record, ready for JSON, says for each mode that was tried what it took.
    """
    tried: list[dict[str, Any]] = []
    best, best_seconds = ensemble, float("inf")
    for mode in (ensemble.mode, *ensemble.alternatives):
        candidate = ensemble if mode == ensemble.mode else ensemble.in_mode(mode)
        compiled, seconds = seconds_per_step(candidate)
        tried.append(
            {
                "mode": str(mode),
                "compile_seconds": round(compiled, 3),
                "replica_steps_per_second": round(ensemble.count / seconds, 3),
            }
        )
        if seconds * MARGIN < best_seconds:
            best, best_seconds = candidate, seconds
        if steps * seconds < WORTH * compiled:
            break
    return best, {"tried": tried, "chosen": best.mode._asdict()}


def chosen_before(record: dict[str, Any], ensemble: Ensemble) -> Mode | None:
    """Return the mode that an earlier process of this run has chosen, None if it has not.

    A run goes on in the mode in which it began, as the modes differ in rounding; on other devices
    the choice is made anew.
    """
    before = record.get("probe")
    if not before or before.get("devices") != ensemble.mesh.size:
        return None
    mode = Mode(**before["chosen"])
    return mode if mode in (ensemble.mode, *ensemble.alternatives) else None
