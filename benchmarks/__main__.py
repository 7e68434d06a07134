"""Run benchmarks: `python -m benchmarks [NAME ...] [--tiny] [--out=DIR]`; by default all."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from pvr_jax.on_disk import directory_for_results
from pvr_jax.refusal import Refusal

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = (
    "replicas_against_loop",
    "distance_from_machine",
    "where_time_goes",
    "transform",
    "scaling",
    "theory",
    "planned",
)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks; return the exit status.

    0: run (whether bars are met is in the results); 2: a mistake on the command line, or a missing
    package.
    """
    parser = argparse.ArgumentParser(prog="./launch.sh bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--tiny", action="store_true", help="seconds, for tests; says nothing")
    parser.add_argument("--out", help="where the results go (benchmarks/results)")
    parser.add_argument("--check", action="store_true", help="name what is wrong, run nothing")
    chosen = parser.parse_args(arguments)
    for name in chosen.names:
        if name not in BENCHMARKS:
            return _refuse(f"NAME: given {name}; allowed {', '.join(BENCHMARKS)}")
    if chosen.tiny and chosen.out is None:
        return _refuse("--out: given nothing with --tiny; allowed a directory other than results")
    names, out = chosen.names or BENCHMARKS, RESULTS
    try:
        if chosen.out is not None:
            out = directory_for_results("--out", chosen.out, writable=not chosen.check)
    except Refusal as error:
        return _refuse(str(error))
    if chosen.check:
        return 0
    if len(names) == 1:
        return run(names[0], chosen.tiny, out)
    # Each in its own process, so that no benchmark is affected by the memory of another.
    flags = [argument for argument in arguments if argument not in chosen.names]
    commands = [[sys.executable, "-m", "benchmarks", name, *flags] for name in names]
    return max(subprocess.run(command).returncode for command in commands)


def run(name: str, tiny: bool, out: Path) -> int:
    """Run one benchmark, print its tables and write its results; return the exit status."""
    # After checking flags, since these imports take seconds.
    from benchmarks import machine, measuring
    from pvr_jax.training import hosts

    hosts.use_all_cores()  # as experiments.main does
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        return _refuse(f"{error.name} is not installed; install it: ./launch.sh setup bench")
    print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
    load_before = machine.load()
    rows = []
    for row in module.measurements(tiny):
        rows.append(row)
        bar = "" if row.bar is None else f"  (bar {row.bar}: {'met' if row.met else 'missed'})"
        print(f"  {row.case} {row.parameters}: {row.value:.4g} {row.unit}{bar}", flush=True)
    measuring.show(rows)
    described = machine.describe() | {"load_before": load_before}
    print(f"{name}: {measuring.write(out, name, described, rows)}", flush=True)
    return 0


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
