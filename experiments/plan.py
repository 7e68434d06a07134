"""Say what a run takes, before it begins: FLOPs, time, memory, disk. Nothing is written.

python -m experiments.plan --config=configs/quickstart.py
python -m experiments.plan --config=configs/pvr_majority.py:model=mlp,size=paper --topology=v5e:4x4

Without --topology it rehearses the run on this machine, which takes a minute or two. With it, the
programs of the run are compiled for a TPU slice, on any Linux machine, with the TPU's own compiler.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from experiments import command_line, registry
from experiments.command_line import CommandLine, UsageError
from experiments.main import as_process, exit_status, faults_noted, start_devices
from pvr_jax.refusal import Refusal
from pvr_jax.training.run_log import RunError

UNITS = {"P": 10**15, "T": 10**12, "G": 10**9, "M": 10**6}


def parse(arguments: list[str]) -> tuple[CommandLine, str]:
    """Parse a command line; return what it asks for, and the slice or "".

    Raises:
        UsageError: a flag that does not belong to a plan, or a mistake of `command_line.parse`.
        SystemExit: --help was given, and shown.
    """
    own = flags.FlagValues()
    flags.DEFINE_string("topology", "", "a TPU slice, such as v5e:4x4", flag_values=own)
    try:
        rest = own(arguments, known_only=True)
    except flags.Error as error:
        raise UsageError(command_line.one_line(error)) from error
    if "--help" in rest:
        print(f"{__doc__}\n{own.get_help()}")
    # A plan leaves --workdir alone, which with --check need not be of this machine.
    line = command_line.parse([*rest, "--check"])
    ignored = {
        "sweep": line.sweep is not None,
        "stage": line.stage != "all",
        "log": bool(line.log),
        "hosts": line.hosts != "one",
    }
    for name in (name for name, given in ignored.items() if given):
        raise UsageError(f"--{name}: given to plan; allowed the flags of one configuration")
    if line.config is None:
        raise UsageError(f"--config: given nothing; allowed a file such as {command_line.EXAMPLE}")
    return line._replace(check="--check" in rest), own.topology


def main(arguments: list[str]) -> int:
    """Plan a run; return the exit status, as in `experiments.main`."""
    try:
        with faults_noted():
            line, slice_name = parse(arguments)
            if not line.check:
                registry.check_data(line.config)
                if slice_name:
                    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # JAX would ask for a TPU's metadata
                    import jax

                    jax.config.update("jax_platforms", "cpu")  # leaves the chips of a TPU alone
                start_devices("one")
            experiment = command_line.validate(line.config, line.overrides)
            if experiment.build is None:
                names = [name for name in registry.names() if _trains(name)]
                raise UsageError(
                    f"config.experiment: given {experiment.name}, which trains nothing; allowed "
                    f"{', '.join(names)}"
                )
            devices = None
            if slice_name and not line.check:
                from pvr_jax.training import topology
                from pvr_jax.training.fields import prefix_errors

                devices = prefix_errors("--", lambda: topology.devices_of(slice_name))
    except Refusal as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if line.check:
        return 0

    def work() -> None:
        lines = of_machine(line.config) if devices is None else of_slice(line.config, devices)
        for name, text in lines:
            print(f"{name:12}  {text}", flush=True)

    return exit_status(work, line.workdir)


def _trains(name: str) -> bool:
    return registry.load(name, "experiment").EXPERIMENT.build is not None


def of_machine(config: ConfigDict) -> Iterator[tuple[str, str]]:
    """Yield the lines about a run on this machine, a name and a text each."""
    from pvr_jax import planning
    from pvr_jax.building import build
    from pvr_jax.training import environment
    from pvr_jax.training.progress import describe_duration

    experiment = registry.experiment_of(config)
    with environment.arithmetic(config.train.dtype):
        built = build(experiment, (config,))
        yield from _counts(experiment, config, built)
        found = planning.rehearse(experiment, config, built)
    mesh = built.ensemble.mesh
    platform = mesh.devices.flat[0].platform
    yield "devices", f"{mesh.size} {platform}, {built.ensemble.share} replicas each, {found.mode}"
    known = {name: seconds for name, seconds in found.seconds.items() if seconds is not None}
    yield "time", f"about {describe_duration(sum(known.values()))} on this machine as it is now"
    parts = [f"{name} {describe_duration(seconds)}" for name, seconds in known.items()]
    yield from _wrapped("", parts)
    for name in found.seconds.keys() - known.keys():
        yield "", f"and {name}, which is not timed: it would take longer than a plan may"
    yield "memory", _memory(found.memory)
    if platform == "cpu":
        total = environment.machine_bytes()
        verdict = "fits" if found.process_bytes <= total else "does not fit"
        yield "", f"process {_gib(found.process_bytes)}, {verdict}: {_gib(total)} here"


def of_slice(config: ConfigDict, devices: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines about a run on a TPU slice, a name and a text each."""
    from pvr_jax.analysis import learned
    from pvr_jax.building import build
    from pvr_jax.training import environment, topology
    from pvr_jax.training.replicas import device_mesh, needed_devices, possible_modes
    from pvr_jax.training.settings import TrainSettings

    experiment, settings = registry.experiment_of(config), TrainSettings.of(config.train)
    with environment.arithmetic(config.train.dtype), learned.for_platform("tpu"):
        built = build(experiment, (config,))
        yield from _counts(experiment, config, built)
        count, shared = built.ensemble.count, settings.batch_devices
        hosts = {device.process_index for device in devices}
        used = devices if len(hosts) > 1 else needed_devices(count, devices, shared)
        mesh = device_mesh(used, shared)
        mode, *_ = possible_modes(settings.execution, settings.group_size, "tpu", 1, 0)
        planned = built.ensemble.planned(mesh, mode, count)
        kind = f"{mesh.size} {devices[0].device_kind} on {len(hosts)} host(s)"
        yield "devices", f"{kind}, {planned.share} replicas each, {mode}"
        usable = topology.usable_bytes(devices[0])
        found = topology.fit(planned, usable)
    if found.memory is not None:
        yield "memory", _memory(found.memory)
    verdict = "fits" if found.fits else "does not fit"
    if found.memory is not None and usable is not None:
        verdict += f": {_gib(max(found.memory))} of the {_gib(usable)} that programs may take"
    yield "verdict", verdict
    if found.largest is not None:
        yield (
            "",
            f"about {found.largest:,} replicas at most would fit"
            if found.largest
            else "not one does",
        )
    yield "collectives", ", ".join(found.collectives) or "none: devices do not communicate"
    yield "time", "only the hardware shows it"


def _counts(experiment: Any, config: ConfigDict, built: Any) -> Iterator[tuple[str, str]]:
    """Yield what does not depend on the devices."""
    from pvr_jax.training import cost

    ensemble, schedule, program = built.ensemble, built.schedule, built.programs[0]
    yield "plan", f"{experiment.run_name(config)}: {program.title}; nothing is written"
    yield "replicas", f"{ensemble.count:,}"
    params = ensemble.shapes().params
    size = cost.bytes_of(params) // ensemble.count
    parameters = cost.size_of(params) // ensemble.count
    yield "parameters", f"{parameters:,} of each replica, {_gib(size)}"
    evaluations = len(schedule.evaluations | {0, schedule.total})
    yield "steps", f"{schedule.total:,} {program.step_unit}s, {evaluations:,} evaluations"
    each = cost.flops(ensemble)
    evaluated = ensemble.count * evaluations * each.evaluation
    if program.step_unit == "step":
        trained = ensemble.count * schedule.total * each.step
        text = f"{_flops(each.step)} per replica and step, {_flops(trained)} in all"
    else:
        text = f"{_flops(each.step)} per replica and batch"
    yield "FLOPs", f"{text}; evaluations {_flops(evaluated)}"
    kept = len(schedule.kept)
    disk = cost.checkpoint_bytes(ensemble, schedule)
    yield "checkpoints", f"{_gib(disk)} on disk, {kept} kept steps"


def _wrapped(name: str, parts: list[str]) -> Iterator[tuple[str, str]]:
    half = len(parts) // 2
    yield name, ", ".join(parts[:half]) + ","
    yield "", ", ".join(parts[half:])


def _memory(found: Any) -> str:
    start, advance, evaluate = map(_gib, found)
    return f"per device {start} to start, {advance} to train, {evaluate} to evaluate"


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.1f} MiB"


def _flops(count: int) -> str:
    for letter, unit in UNITS.items():
        if count >= unit:
            return f"{count / unit:.3g} {letter}FLOP"
    return f"{count:,} FLOP"


if __name__ == "__main__":
    as_process(main)
