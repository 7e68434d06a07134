"""The fastest mode of an ensemble on this machine, found by a short timed probe."""

import time
from typing import Any

import jax

from pvr_jax.training import hosts
from pvr_jax.training.ensemble import Ensemble
from pvr_jax.training.replicas import Mode
from pvr_jax.training.state import State

# The modes take turns, and the shortest of its times counts for a mode: what else the machine
# does only ever adds to a time, and whoever comes first finds the caches cold.
ROUNDS = 3
# As many steps are timed per turn as last about so long; one at least.
TURN_SECONDS = 0.1
# A step that lasts so long is measured well enough by the one that was taken.
LONG_STEP_SECONDS = 1.0
# Another mode is tried where the training to come lasts this many times its compilation.
WORTH = 10
# A mode has to be so much faster than the one before it: a machine's noise shall not choose.
MARGIN = 1.05


def advance_timed(
    ensemble: Ensemble, state: State, first: int, steps: int
) -> tuple[State, int, float]:
    """Take some steps from `first` on; return the state, the step it stands at, and the seconds.

    The slowest process counts where there are several.
    """
    begin = time.perf_counter()
    state = jax.block_until_ready(ensemble.advance(state, first, first + steps))
    (seconds,) = hosts.largest(time.perf_counter() - begin)
    return state, first + steps, seconds


def seconds_per_step(candidates: list[Ensemble], steps: int) -> list[tuple[float, float]]:
    """Return the seconds of compilation, and of one step of all replicas, of each candidate.

    One state goes through all of them, so the probe needs no more memory than the training. The
    list ends early where a training of `steps` is over before another mode is worth its
    compilation.
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
        counts = [max(1, int(TURN_SECONDS / seconds)) for seconds in shortest]
        for turn in range(ROUNDS * len(counts)):
            index = turn % len(counts)
            state, at, seconds = advance_timed(candidates[index], state, at, counts[index])
            shortest[index] = min(shortest[index], seconds / counts[index])
    return list(zip(compilations, shortest, strict=True))


def fastest(ensemble: Ensemble, steps: int) -> tuple[Ensemble, dict[str, Any]]:
    """Return the ensemble in its fastest mode for a training of `steps`, and what was found.

    The record, ready for JSON, says for each mode that was tried what it took.
    """
    candidates = [ensemble, *map(ensemble.in_mode, ensemble.alternatives)]
    tried: list[dict[str, Any]] = []
    best, best_seconds = ensemble, float("inf")
    # Not strict: the modes that were not worth trying are missing.
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
    """Return the mode that an earlier process of this run has chosen, None if it has not.

    A run goes on in the mode in which it began, as the modes differ in rounding; on other devices
    the choice is made anew.
    """
    before = record.get("probe")
    if not before or before.get("devices") != ensemble.mesh.size:
        return None
    mode = Mode(**before["chosen"])
    return mode if mode in (ensemble.mode, *ensemble.alternatives) else None
