"""Reproduce one study, or all of them; skip finished runs.

python -m experiments.reproduce pvr_majority --size=small

A study is a file in configs/ with `runs(size)`, the choices of all its runs. Results go to
WORKDIR/<name>-<size>/, with a directory per run; one report compares them, and a line says whether
they agree with the kept results.
"""

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from absl import flags
from rich.console import Console

import configs
from experiments import command_line, registry, reports
from experiments.command_line import UsageError
from experiments.flags import define_common
from experiments.main import as_process, exit_status, faults_noted, run_stage, start_devices
from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.results.agreement import agreement
from pvr_jax.results.study import STUDY_FILE
from pvr_jax.training.run_log import RunError

EXPERIMENTS = Path(__file__).parent
SIZES = ("small", "paper")


class Request(NamedTuple):
    """The request of a command line."""

    names: tuple[str, ...]
    size: str
    workdir: Path
    hosts: str
    check: bool = False


def names() -> tuple[str, ...]:
    """Return the studies that can be reproduced."""
    paths = sorted(path for place in configs.__path__ for path in Path(place).glob("*.py"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    return tuple(name for name, text in texts.items() if "\ndef runs(" in text)


def load(name: str) -> ModuleType:
    """Import configs/<name>.py."""
    return importlib.import_module(f"configs.{name}")


def parse(arguments: list[str]) -> Request:
    """Parse a command line; `arguments[0]` is the program.

    Raises:
        UsageError: no name, an unknown one, an unknown flag or size; one line.
        SystemExit: --help was given, and shown.
    """
    values = flags.FlagValues()
    flags.DEFINE_enum("size", "small", SIZES, "small or paper", flag_values=values)
    define_common(values)
    try:
        rest = values(arguments)[1:]
    except (flags.Error, OSError) as error:  # OSError: a --flagfile that cannot be read
        raise UsageError(command_line.one_line(error)) from error
    if values.help:
        print(f"{__doc__}\nNames: all, {', '.join(names())}\n{values.get_help()}")
        raise SystemExit(0)
    command_line.speak_of_details(values)
    known = names()
    given = " ".join(rest) or "nothing"
    if len(rest) != 1 or rest[0] not in (*known, "all"):
        raise UsageError(f"reproduce: given {given}; allowed all, {', '.join(known)}")
    chosen = known if rest[0] == "all" else (rest[0],)
    workdir = command_line.workdir(values)
    return Request(chosen, values.size, workdir, values.hosts, check=values.check)


def check_data(request: Request) -> None:
    """Check that the data of every run exist; raise a one-line error otherwise."""
    for name in request.names:
        module = load(name)
        for choice in module.runs(request.size):
            registry.check_data(module.get_config(choice))


def train_together(name: str, size: str, workdir: Path) -> None:
    """Train every run of a study on the devices of all joined processes."""
    import jax  # here and below: report mistakes before importing it

    module = load(name)
    for choice in module.runs(size):
        run_stage("train", module.get_config(choice), workdir / f"{name}-{size}")
        jax.clear_caches()


def reproduce(name: str, size: str, workdir: Path) -> None:
    """Run every stage of every run of a study, except finished ones, and one report."""
    import jax

    begin = time.perf_counter()
    module = load(name)
    choices = module.runs(size)
    place = workdir / f"{name}-{size}"
    experiments = []
    for number, choice in enumerate(choices, 1):
        config = module.get_config(choice)
        registry.experiment_of(config).validate(config)
        Console(highlight=False).rule(f"{name} {number}/{len(choices)}: {choice}", align="left")
        for stage in registry.stages_of(config):
            if stage != "report":  # one report compares all runs
                run_stage(stage, config, place)
        jax.clear_caches()  # runs share no programs
        if config.experiment not in experiments:
            experiments.append(config.experiment)
    for experiment in experiments:
        written = reports.report(place / experiment)
        print(written.text)
        print(f"report: {written.page}")
        kept = kept_results(experiment, name, size)
        if (kept / STUDY_FILE).is_file():
            print(agreement(results.open(place / experiment), results.open(kept)))
    minutes = (time.perf_counter() - begin) / 60
    print(f"reproduced {name}, size {size}: {len(choices)} runs, {minutes:.1f} min", flush=True)


def kept_results(experiment: str, name: str, size: str) -> Path:
    """Return where the kept results of a study are: those of size=paper, if any, have a folder."""
    kept = EXPERIMENTS / experiment / "results"
    of_paper = kept / f"{name}_paper"
    return of_paper if size == "paper" and of_paper.is_dir() else kept / name


def main(arguments: list[str]) -> int:
    """Reproduce studies; return the exit status, as in `experiments.main`."""
    try:
        with faults_noted():
            request = parse(arguments)
            if request.check:
                return 0  # these configurations are part of the repository
            check_data(request)
            start_devices(request.hosts)
    except Refusal as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    from pvr_jax.training import hosts

    def everything() -> None:
        for name in request.names:
            reproduce(name, request.size, request.workdir)

    def work() -> None:
        if hosts.together():
            for name in request.names:
                train_together(name, request.size, request.workdir)
        hosts.afterwards(everything) if request.hosts == "all" else everything()

    return exit_status(work, request.workdir)


if __name__ == "__main__":
    as_process(main)
