"""Run an experiment: train -> analyse -> predict -> report. The flags are in `command_line`.

python -m experiments.main --config=configs/quickstart.py
python -m experiments.main --config=configs/canonical_holdout.py --sweep=tasks,bits --shard=0/8
"""

import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from experiments import command_line, registry
from experiments.command_line import CommandLine, SweepRequest, UsageError
from pvr_jax.refusal import Refusal
from pvr_jax.training.run_log import RunError

NOT_THE_CONFIGURATION = (
    "This is not about the configuration, which was accepted: it is a fault of pvr_jax, of a "
    "library below it, or of a module of your own that is named above."
)
# How far up and down a report looks for runs: a sweep's are in WORKDIR/sweeps/<experiment>, and
# somebody may name the directory that holds WORKDIR.
LEVELS = 3


def main(arguments: list[str]) -> int:
    """Run the stages that the command line asks for; return the exit status.

    0: done; 1: a run could not go on; 2: a mistake on the command line or in the configuration;
    128 + n: stopped by signal n, saved.
    """
    try:
        with faults_noted():
            line = command_line.parse(arguments)
            if line.config is not None and not line.check:
                registry.check_data(line.config)
                start_devices(line.hosts)
            work = prepared(line)
    except Refusal as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if line.check else exit_status(work, line.workdir)


@contextlib.contextmanager
def faults_noted() -> Iterator[None]:
    """Let an error that has no message of its own for the user say that it is a fault."""
    try:
        yield
    except (Refusal, RunError, OSError):
        raise
    except Exception as error:
        error.add_note(NOT_THE_CONFIGURATION)
        raise


def prepared(line: CommandLine) -> Callable[[], None]:
    """Return what does all that a command line asks for.

    Raises:
        ValueError: a mistake in it, or in the configuration; one line.
    """
    config, workdir, stage, processes, request, _, overrides, log, max_seeds = line
    nowhere = UsageError(f"--log: given {','.join(log)}; allowed where one run is trained")
    if request is not None and log:
        raise nowhere
    if request is not None:
        return prepared_sweep(request, stage, workdir, line.check)
    if config is not None:
        experiment = command_line.validate(config, overrides)
        for remark in experiment.remarks(config, overrides):
            print(f"note: {remark}", file=sys.stderr)
        names = registry.stages_of(config, stage)
    elif stage != "report":
        raise UsageError("--config: given nothing; allowed a file such as configs/quickstart.py")
    else:
        names = (stage,)
    if log and "train" not in names:
        raise nowhere
    if max_seeds:
        from experiments import until

        if config is None:
            raise UsageError(
                "--config: given nothing; allowed a file such as configs/quickstart.py"
            )
        until.check(config, overrides)
        return partial(until.decided, config, workdir, max_seeds, log)

    def stages() -> None:
        for name in names:
            run_stage(name, config, workdir, log)

    def stages_of_many() -> None:
        from pvr_jax.training import hosts

        if "train" in names:
            run_stage("train", config, workdir, log)
        hosts.afterwards(stages)

    return stages_of_many if processes == "all" else stages


def start_devices(processes: str) -> None:
    """Let JAX see the devices that --hosts asks for: those of this process, or of all.

    Raises:
        RunError: the other processes could not be joined.
    """
    from pvr_jax.training import hosts  # here and below: a report is made without JAX

    hosts.use_all_cores()
    if processes == "all":
        hosts.join()


def prepared_sweep(
    request: SweepRequest, stage: str, workdir: Path, check: bool = False
) -> Callable[[], None]:
    """Return what runs a sweep: its stages train and analyse, or the one asked for, and the table.

    Raises:
        ValueError: a mistake in what was asked for; one line.
    """
    from experiments.sweep import definition, execute

    known = {"all": execute.STAGES, "report": ()} | {name: (name,) for name in execute.STAGES}
    if stage not in known:
        raise UsageError(f"--stage: given {stage}; allowed with --sweep: {', '.join(known)}")
    cells = definition.expand(request)
    refused = [cell for cell in cells if cell.config is None]
    if check and refused:  # a run says it of each
        first = f"{refused[0].name}: {refused[0].refused}"
        print(f"note: {len(refused)} of {len(cells)} cells are refused: {first}", file=sys.stderr)
    sweep = execute.Sweep(request, cells, workdir)
    return partial(sweep.run, known[stage])


def exit_status(work: Callable[[], None], workdir: Path) -> int:
    """Do the work; return 0, or, after one line about what went wrong, the status that tells it."""
    try:
        with faults_noted():
            work()
    except (RunError, Refusal) as error:
        number = getattr(error, "signal_number", None)
        if str(error):  # of processes that stop together, one says why
            print(f"error: {error}", file=sys.stderr)
        return 1 if number is None else 128 + number
    except KeyboardInterrupt:  # outside training, which saves and says so itself
        print("error: stopped; give the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read the output went away, as `head` does
        sys.stdout = None  # nothing more can be said there, not even while Python exits
        return 1
    except OSError as error:
        print(f"error: {explained(error, workdir)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(
            f"error: memory ran out ({command_line.one_line(error)[:200]}); allowed what fits: a "
            "smaller network or batch, fewer seeds, or --config.train.execution=map",
            file=sys.stderr,
        )
        return 1
    return 0


def explained(error: OSError, workdir: Path) -> str:
    """Return in one line which file could not be read or written, and why."""
    if error.errno is None:  # raised by this package, in words of its own
        return command_line.one_line(error)
    path = error.filename2 or error.filename or workdir  # 2: what a file was to be renamed to
    full = error.errno == errno.ENOSPC
    reason = "the disk is full" if full else os.strerror(error.errno)
    return (
        f"{path} could not be {'written' if full else 'read or written'}: "
        f"{reason}; what was saved before is intact: {'make room' if full else 'mend that'} and "
        "give the same command again"
    )


def as_process(command: Callable[[list[str]], int]) -> None:
    """Run a command as this process, and end it in order with the processes joined to it."""
    # What JAX traces is long-lived: to look at all of it again and again takes an eighth of a run
    # of seconds, and half a second at its end.
    gc.set_threshold(100_000)
    status = command(sys.argv)
    if "jax" in sys.modules:
        from pvr_jax.training import hosts

        hosts.end(status)
    gc.freeze()
    sys.exit(status)


def run_stage(stage: str, config: Any, workdir: Path, log: tuple[str, ...] = ()) -> None:
    """Run one stage; the report is of all experiments under `workdir` where no config is given.

    `log` is where the evaluations of training are logged too.
    """
    if stage != "report":
        from pvr_jax import frame
        from pvr_jax.training import hosts, trackers

        tracked = {"log": log} if stage == "train" else {}
        directory = frame.STAGES[stage](registry.experiment_of(config), config, workdir, **tracked)
        if hosts.is_primary():
            print(f"{stage}: {directory}", flush=True)
            for command in trackers.commands(log if tracked else (), directory):
                print(f"log: {command}", flush=True)
        return
    from experiments import reports

    for root in experiment_directories(config, workdir):
        written = reports.report(root)
        print(written.text)
        print(f"report: {written.page}", flush=True)


def experiment_directories(config: Any, workdir: Path) -> list[Path]:
    """Return the directories of the experiments to report on.

    Without a configuration they are the nearest ones that hold runs: around `workdir`, where it is
    a run or lies in one, or else below it, all of the first level that has any.

    Raises:
        FileNotFoundError: there are none; one line.
    """
    if config is not None:
        return [workdir / config.experiment]
    from pvr_jax.results.study import run_directories

    known = registry.names()

    def holds_runs(directory: Path) -> bool:
        return directory.name in known and bool(run_directories(directory))

    here = workdir.resolve()
    for around in (workdir, here, *here.parents[:LEVELS]):
        if holds_runs(around):
            return [around]
    level = [workdir]
    for _ in range(LEVELS):
        level = [path for parent in level for path in _directories_in(parent)]
        if found := [path for path in level if holds_runs(path)]:
            return found
    raise FileNotFoundError(
        f"{workdir} holds no run; make one: ./launch.sh run --workdir={workdir}"
    )


def _directories_in(parent: Path) -> list[Path]:
    """Return the directories in one that can be read, by name, but for the hidden ones."""
    with contextlib.suppress(OSError):
        return sorted(
            path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    return []


if __name__ == "__main__":
    as_process(main)
