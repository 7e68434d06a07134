"""Measurements that need a fresh process: time from its start, peak memory, own devices.

`python -m benchmarks.fresh JOB ARGUMENTS` runs one of `JOBS` and prints its result as JSON on the
last line; `ask` starts such a process and returns the result.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


def ask(job: str, *, devices: int | None = None, **arguments: Any) -> dict[str, Any]:
    """Run a job in a new process, without a persistent compilation cache.

    Args:
        job: a name in `JOBS`.
        devices: number of CPU devices, or of GPUs it may use.
        arguments: arguments of the job.

    Raises:
        RuntimeError: the process failed; the message ends with its output.
    """
    environment = {
        name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"
    }
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    if devices is not None:
        environment["JAX_NUM_CPU_DEVICES"] = str(devices)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(devices)))
    command = [sys.executable, "-m", "benchmarks.fresh", job]
    finished = subprocess.run(
        [*command, json.dumps(arguments | {"started": time.time()})],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise RuntimeError(f"{job} {arguments} failed: {finished.stderr.strip()[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def first_step(started: float, **case: Any) -> dict[str, Any]:
    """Build, compile and take one step; seconds since `started` (time.time) and of compilation."""
    study = _study(case).choose_mode().start()
    begin = time.perf_counter()
    study.compile()
    compiled = time.perf_counter() - begin
    study.advance(1).step.block_until_ready()
    return {
        "first_step_seconds": time.time() - started,
        "compile_seconds": compiled,
        "probe_seconds": study.probe["seconds"] if study.probe else 0.0,
        "mode": study.mode,
        "devices": study.devices,
    }


def per_replica(
    started: float, counts: list[int], steps: int, rounds: int, **case: Any
) -> dict[str, Any]:
    """Time ensembles of several sizes in turn: milliseconds per replica and step [rounds] each."""
    import jax

    from benchmarks.measuring import seconds_of

    studies = {count: _study(case | {"replicas": count}) for count in counts}
    for study in studies.values():
        study.choose_mode().start().compile()
        jax.block_until_ready(study.advance(1))
    found: dict[str, list[float]] = {str(count): [] for count in counts}
    for turn in range(rounds):
        for count in counts if turn % 2 == 0 else reversed(counts):
            study = studies[count]
            # Equal work for every count, and at least two steps.
            taken = max(2, steps * max(counts) // count // len(counts))
            seconds = seconds_of(lambda study=study, taken=taken: study.advance(taken))
            found[str(count)].append(1e3 * seconds / (count * taken))
    return {
        "milliseconds": found,
        "devices": {str(count): study.devices for count, study in studies.items()},
        "modes": {str(count): study.mode for count, study in studies.items()},
    }


def dimension(started: float, n: int, tiny: bool) -> dict[str, Any]:
    """Time one step and one evaluation of the MLP on the quadratic chain of n bits."""
    from benchmarks import studies
    from benchmarks.measuring import seconds_of, timed
    from pvr_jax.training import hosts

    hosts.use_all_cores()
    # At n = 20 an evaluation has 2^20 inputs: one replica is enough.
    study = studies.Study(studies.chain(n, tiny=tiny)).choose_mode().start()
    begin = time.perf_counter()
    study.compile()
    compiled = time.perf_counter() - begin
    steps = 10
    step = timed(lambda: study.advance(steps), 3).median / (steps * study.count)
    return {
        "evaluation_seconds": seconds_of(study.evaluate) / study.count,
        "step_ms": 1e3 * step,
        "compile_seconds": compiled,
        "replicas": study.count,
    }


def peak_memory(started: float, **case: Any) -> dict[str, Any]:
    """Start, train two steps and evaluate; return the peak of additional bytes."""
    import jax

    from pvr_jax.analysis import learned
    from pvr_jax.training.environment import resident_bytes

    study = _study(case)
    ensemble = study.ensemble
    # Compile all programs first, since compilation takes memory too.
    ensemble.start_program.lower(ensemble.replicas).compile()
    shapes = jax.eval_shape(ensemble.start)
    ensemble.advance_program.lower(shapes, ensemble.replicas, 0, 0).compile()
    ensemble.evaluate_program.lower(shapes.params, shapes.carry, ensemble.replicas).compile()
    before, _ = resident_bytes()
    study.start()
    study.advance(2)
    study.evaluate()
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    peak = stats.get("peak_bytes_in_use", resident_bytes()[1] - before)
    return {
        "peak_bytes": peak,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes.params)) // study.count,
        "model": study.config.model.to_dict(),
        "n": study.task.n,
        "inputs": min(2**study.task.n, learned.chunk_size()),
        "share": ensemble.share,
        "devices": study.devices,
        "mode": ensemble.mode._asdict(),
    }


def planned(started: float, tiny: bool) -> dict[str, Any]:
    """Plan the quickstart; return what it says of the run, in seconds and bytes."""
    from configs import quickstart
    from experiments.canonical_holdout.experiment import EXPERIMENT
    from pvr_jax import planning
    from pvr_jax.building import build
    from pvr_jax.training import hosts

    hosts.use_all_cores()
    config = quickstart.get_config("tiny" if tiny else None)
    found = planning.rehearse(EXPERIMENT, config, build(EXPERIMENT, (config,)))
    return {
        "seconds": sum(filter(None, found.seconds.values())),
        "process_bytes": found.process_bytes,
        "took_seconds": time.time() - started,
    }


def whole_run(started: float, tiny: bool) -> dict[str, Any]:
    """Run every stage of the quickstart; return the seconds since `started`, and peak memory."""
    import contextlib
    import tempfile

    from experiments.main import main
    from pvr_jax.training.environment import resident_bytes

    config = f"--config=configs/quickstart.py{':tiny' if tiny else ''}"
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        if main(["run", config, f"--workdir={place}"]):
            raise RuntimeError("the quickstart failed")
    return {"seconds": time.time() - started, "process_bytes": resident_bytes()[1]}


def _study(case: dict[str, Any]) -> Any:
    from benchmarks import studies
    from pvr_jax.training import hosts

    hosts.use_all_cores()
    return studies.Study(studies.configuration(**case))


JOBS = {
    "first_step": first_step,
    "per_replica": per_replica,
    "dimension": dimension,
    "peak_memory": peak_memory,
    "planned": planned,
    "whole_run": whole_run,
}


if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))), flush=True)
