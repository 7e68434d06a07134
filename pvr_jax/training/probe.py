"""The fastest mode of an ensemble on this machine, found by a short timed probe."""

import time
from typing import Any

import jax

from pvr_jax.training import hosts
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import Mode
from pvr_jax.training.state import State

# Modes are timed in turns, and the shortest time counts: other load only adds to a time, and the
# first mode finds cold caches.
ROUNDS = 2
# Approximate seconds per turn, and the least number of steps: training takes many steps per
# dispatch, for which `map` keeps each replica's state in the cache, and one step would hide that.
TURN_SECONDS = 0.1
TURN_STEPS = 8
# All turns of a mode take at most this share of a training.
SHARE = 0.01
# A step of this length needs no second measurement.
LONG_STEP_SECONDS = 1.0
# Another mode is tried if training takes this many times its compilation.
WORTH = 10
# A mode must be faster by this factor, so that noise does not choose.
MARGIN = 1.05


def advance_timed(
    ensemble: Ensemble, state: State, first: int, steps: int
) -> tuple[State, int, float]:
    """Take some steps from `first` on; return the state, its step, and the seconds.

    The seconds are those of the slowest process.
    """
    begin = time.perf_counter()
    state = jax.block_until_ready(ensemble.advance(state, first, first + steps))
    (seconds,) = hosts.largest(time.perf_counter() - begin)
    return state, first + steps, seconds


def seconds_per_step(candidates: list[Ensemble], steps: int) -> list[tuple[float, float]]:
    """Return the seconds of compilation, and of one step of all replicas, of each candidate.

    All candidates advance one state, so the probe needs no more memory than training. The list ends
    early if a training of `steps` is too short for another compilation.
    """
    state, at = candidates[0].start(), 0
    compilations: list[float] = []
    shortest: list[float] = []
    for candidate in candidates:
        state, at, compiled = advance_timed(candidate, state, at, 0)
        state, at, seconds = advance_timed(candidate, state, at, 1)
        compilations.append(compiled)
        shortest.append(seconds)
        if steps * seconds < WORTH * compiled:
            break
    if len(shortest) > 1 and max(shortest) < LONG_STEP_SECONDS:
        most = max(1, int(SHARE * steps / ROUNDS))
        counts = [min(most, max(TURN_STEPS, int(TURN_SECONDS / seconds))) for seconds in shortest]
        for turn in range(ROUNDS * len(counts)):
            index = turn % len(counts)
            state, at, seconds = advance_timed(candidates[index], state, at, counts[index])
            shortest[index] = min(shortest[index], seconds / counts[index])
    return list(zip(compilations, shortest, strict=True))


def fastest(ensemble: Ensemble, steps: int) -> tuple[Ensemble, dict[str, Any]]:
    """Return the ensemble in its fastest mode for a training of `steps`, and a record.

    The record, ready for JSON, has the times of each mode that was tried.
    """
    candidates = [ensemble, *map(ensemble.in_mode, ensemble.alternatives)]
    tried: list[dict[str, Any]] = []
    best, best_seconds = ensemble, float("inf")
    # Not strict: modes that were not tried are missing.
    for candidate, (compiled, seconds) in zip(
        candidates, seconds_per_step(candidates, steps), strict=False
    ):
        tried.append(
            {
                "mode": str(candidate.mode),
                "compile_seconds": round(compiled, 3),
                "replica_steps_per_second": round(ensemble.count / seconds, 3),
            }
        )
        if seconds * MARGIN < best_seconds:
            best, best_seconds = candidate, seconds
    return best, {"tried": tried, "chosen": best.mode._asdict()}


def chosen_before(record: dict[str, Any], ensemble: Ensemble) -> Mode | None:
    """Return the mode that an earlier process of this run chose, or None.

    A run continues in its mode, since modes differ in rounding; on other devices it chooses again.
    """
    before = record.get("probe")
    if not before or before.get("devices") != ensemble.mesh.size:
        return None
    mode = Mode(**before["chosen"])
    return mode if mode in (ensemble.mode, *ensemble.alternatives) else None
