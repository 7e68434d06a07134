"""Where does the time of a training step go?

Each network of `distance_from_machine` with a bar trains under JAX's profiler, in the mode that
`auto` chooses. Processor time is split among the operations of the compiled program by type; on a
CPU it is that of all cores, and time without an operation is called waiting. A product computed by
two cores is attributed to one of them: so for large networks part of the waiting is products, and
their rate is overestimated.

- products: matrix products, with what is fused into them, and the rate at which they run.
- sums: reductions, such as the means and variances of normalizations and the gradients of biases.
- moves: operations that only copy, transpose, cut or join arrays.
- elementwise: everything else; activations, the optimizer, normalizing.
- control: loops and the calls of operations.

A value is the milliseconds of one step of one replica, without the profiler.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks import arithmetic, studies
from benchmarks.distance_from_machine import CPU, GPU, TINY, Case
from benchmarks.measuring import Measurement, measurement, seconds_of, timed

HEAVIEST = 3  # operations to name, by the line of the model they come from
KINDS = ("products", "sums", "moves", "elementwise", "control", "waiting")
PRODUCTS = {"dot", "convolution"}
SUMS = {"reduce", "reduce-window"}
# Operations that only move entries.
MOVES = {
    *("bitcast", "broadcast", "concatenate", "constant", "copy", "dynamic-slice"),
    *("dynamic-update-slice", "get-tuple-element", "iota", "pad", "parameter", "reshape"),
    *("reverse", "slice", "transpose", "tuple"),
}
CONTROL = {"call", "conditional", "while"}
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = .*?[\]}) ]([a-z][a-z-]*)\(")
CALLED = re.compile(r"calls=%?([\w.-]+)")
SOURCE = re.compile(r'op_name="([^"]*)"')


class Operation(NamedTuple):
    """An operation of a compiled program: its type, and its source in the model."""

    kind: str
    source: str


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield the shares of time of every case."""
    on_cpu = jax.default_backend() == "cpu"
    for case in TINY if tiny else CPU if on_cpu else GPU:
        if tiny or case.at_most is not None:
            yield shares(case, tiny)


def shares(case: Case, tiny: bool = False) -> Measurement:
    """Measure the shares of time of some steps of one case."""
    config = studies.configuration(
        case.model, case.size, replicas=case.replicas, tiny=tiny, execution=case.execution
    )
    study = studies.Study(config).choose_mode().start().compile()
    plain = timed(lambda: study.advance(case.steps))
    program = study.ensemble.advance_program.lower(study.state, study.ensemble.replicas, 0, 1)
    seconds, cores, wall = traced(study, case.steps)

    known = operations(program.compile().as_text())
    kinds: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for name, spent in seconds.items():
        operation = known.get(name, Operation("control", ""))
        kinds[operation.kind] += spent
        if operation.kind != "control":
            sources[operation.source] += spent
    total = wall * cores
    kinds["waiting"] = max(0.0, total - sum(kinds.values()))

    batch = config.data.batch_size
    flops = arithmetic.training_flops(config.model.to_dict(), study.task.n, batch, batch)
    flops *= case.replicas * case.steps
    heaviest = ", ".join(
        f"{source} {spent / total:.0%}" for source, spent in sources.most_common(HEAVIEST)
    )
    return measurement(
        " ".join(filter(None, (case.model, case.size))),
        1e3 * plain.median / (case.replicas * case.steps),
        "ms per replica-step",
        {"replicas": case.replicas, "mode": study.mode},
        details={
            **{f"{kind}_%": 100 * kinds[kind] / total for kind in KINDS},
            "products_GFLOP/s": flops * cores / kinds["products"] / 1e9,
            "profiler_×": wall / plain.median,
            "heaviest": heaviest,
        },
    )


def traced(study: studies.Study, steps: int) -> tuple[dict[str, float], int, float]:
    """Train under the profiler; return seconds by operation, processors, and wall-clock seconds.

    Seconds of an operation exclude those of operations that it calls.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory, profiler_options=options):
            wall = seconds_of(lambda: study.advance(steps))
        (path,) = Path(directory).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        devices = [plane for plane in planes if plane.name.startswith("/device:")]
        seconds: Counter[str] = Counter()
        for plane in devices or planes:
            for line in plane.lines:
                events = [
                    (event.start_ns, event.duration_ns, dict(event.stats).get("hlo_op"))
                    for event in line.events
                ]
                seconds.update(own_seconds(events))
    return dict(seconds), len(devices) or os.cpu_count() or 1, wall


def own_seconds(events: list[tuple[float, float, str | None]]) -> Counter[str]:
    """Return the seconds by operation of the events (start, duration, operation) of one thread.

    Start and duration are in nanoseconds. Events nest: time in inner events counts for these. An
    event without an operation (None) belongs to the enclosing one.
    """
    seconds: Counter[str] = Counter()
    around: list[tuple[float, str]] = []  # (end, operation), outermost first
    for start, duration, operation in sorted(events, key=lambda event: (event[0], -event[1])):
        while around and around[-1][0] <= start:
            around.pop()
        if operation is None:
            continue
        if around:
            seconds[around[-1][1]] -= duration / 1e9
        seconds[operation] += duration / 1e9
        around.append((start + duration, operation))
    return seconds


def operations(text: str) -> dict[str, Operation]:
    """Return the operations of a compiled program, given as text of XLA, by name."""
    opcodes: dict[str, set[str]] = {}  # of each computation
    found: dict[str, tuple[str, str, str]] = {}  # opcode, called computation, source
    computation = ""
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            computation = line.removeprefix("ENTRY ").split()[0].lstrip("%")
            opcodes[computation] = set()
        elif match := INSTRUCTION.match(line):
            name, opcode = match.groups()
            called, source = CALLED.search(line), SOURCE.search(line)
            opcodes[computation].add(opcode)
            found[name] = (
                opcode,
                called.group(1) if called else "",
                "/".join(source.group(1).split("/")[-2:]) if source else name,
            )
    return {
        name: Operation(_kind(opcodes.get(called, {opcode})), source)
        for name, (opcode, called, source) in found.items()
    }


def _kind(opcodes: set[str]) -> str:
    """Return the type of fused operations: that of the most expensive one."""
    if opcodes & PRODUCTS:
        return "products"
    if opcodes & SUMS:
        return "sums"
    if opcodes <= MOVES:
        return "moves"
    return "control" if opcodes & CONTROL else "elementwise"


NOTES = """
What it says of two cores of an AMD EPYC, and why the networks miss 1.5 x the floor:
- MLP and Transformer of paper size: products at the rate of square ones are 61 % and 49 % of the
  time (and more, see above); Adam is 14 % of the MLP's, memory traffic without products.
- Mixer of paper size and both small ones: a third is elementwise (gelu and its gradient,
  normalizing), sums and moves; the products themselves run at two thirds of the best rate, those
  over the tokens have 11 rows.
- Random features: a product over 11 numbers runs at half the best rate, and a third is the
  optimizer and relu, one pass over the features each.
- Mean field: 65,536 wide, 64 x 65,536 numbers are 16 MiB and leave the second-level cache between
  two operations: the products with 12 rows run at a third of the best rate, relu is a pass alone.

What was tried: 512 bits wide vectors and fast-math (XLA's compiler options): nothing. The gradient
of mean field's biases as a row of the kernel instead of a sum: 8.2 -> 4.9 x the floor, where `map`
was 3 to 4 x slower than `vmap` before. Its width in 32 blocks that stay in cache, made again for
the gradient: another 12 %; left out. Timing the modes in turn (`probe.py`) finds `map` for the
small networks: Transformer 4.0 -> 2.8, Mixer 5.1 -> 3.5 x the floor.
"""
