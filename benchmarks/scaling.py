"""How do time and memory grow with replicas, devices and n; how long until the first step?

Everything is measured in fresh processes (`fresh.py`), without a persistent compilation cache.
Milliseconds are of the training step, per replica, after compilation.

Peak memory is held against the formula of `memory_bytes`, which docs/scaling.md states in words.
`NOTES` at the end of the file has what was tried.
"""

import itertools
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.fresh import ask
from benchmarks.measuring import Measurement, measurement

COUNTS = (4, 8, 16, 64, 256)
SMALL, LARGE = 8, 64  # the counts of the bar
LARGE_COST = 1.1
DEVICES = (1, 2, 4)
DIMENSIONS = (8, 11, 14, 17, 20)
FIRST_STEP_SECONDS = {"mlp": 10.0, "transformer": 40.0, "mixer": None}
# Measured over predicted memory. Less is fine: devices need not peak at the same time.
MEMORY_RANGE = (0.75, 1.25)
RUNTIME_BYTES = 2**26  # threads and buffers of the runtime
ROUNDS = 5


def measurements(tiny: bool) -> Iterator[Measurement]:
    """Yield all measurements, the quick ones first."""
    yield from time_to_first_step(tiny)
    yield from over_replicas(tiny)
    if not tiny:
        yield from over_devices()
    yield from over_dimensions(tiny)
    yield from peak_memory(tiny)


def time_to_first_step(tiny: bool) -> Iterator[Measurement]:
    """Yield the seconds from the start of Python to the end of the first step, per network."""
    for model, bar in list(FIRST_STEP_SECONDS.items())[: 1 if tiny else None]:
        found = ask("first_step", model=model, size="paper", replicas=11, tiny=tiny)
        yield measurement(
            f"{model}: first step",
            found.pop("first_step_seconds"),
            "seconds",
            {"replicas": 11, "devices": found.pop("devices"), "mode": found.pop("mode")},
            at_most=None if tiny else bar,
            details=found,
        )


def over_replicas(tiny: bool) -> Iterator[Measurement]:
    """Yield the milliseconds per replica and step at every count, and the cost of 64 over 8."""
    for model, size in (("mlp", "paper"), ("transformer", "small"))[: 1 if tiny else None]:
        counts = (2, 4) if tiny else COUNTS
        found = ask(
            "per_replica",
            model=model,
            size=size,
            counts=counts,
            steps=2 if tiny else 5,
            rounds=ROUNDS,
            tiny=tiny,
        )
        yield from _milliseconds(f"{model}, {size} size", found, counts)
        few, many = (2, 4) if tiny else (SMALL, LARGE)
        pairs = zip(*(found["milliseconds"][str(count)] for count in (many, few)), strict=True)
        ratios = [one / other for one, other in pairs]
        yield measurement(
            f"{model}, {size} size: {many} replicas beside {few}",
            statistics.median(ratios),
            "× the time per replica",
            {"pairs": ROUNDS},
            spread=(min(ratios), max(ratios)),
            at_most=None if tiny else LARGE_COST,
        )


def over_devices() -> Iterator[Measurement]:
    """Yield the milliseconds per replica and step on several devices."""
    for devices in DEVICES:
        found = ask(
            "per_replica",
            devices=devices,
            model="mlp",
            size="paper",
            counts=(16,),
            steps=5,
            rounds=ROUNDS,
        )
        yield from _milliseconds("mlp on devices", found, (16,))


def _milliseconds(
    case: str, found: Mapping[str, Any], counts: tuple[int, ...]
) -> Iterator[Measurement]:
    for count in counts:
        times = found["milliseconds"][str(count)]
        yield measurement(
            case,
            statistics.median(times),
            "ms per replica-step",
            {
                "replicas": count,
                "devices": found["devices"][str(count)],
                "mode": found["modes"][str(count)],
            },
            spread=(min(times), max(times)),
        )


def over_dimensions(tiny: bool) -> Iterator[Measurement]:
    """Yield the seconds of one evaluation on the whole cube and the time of a step, by n."""
    for n in (8,) if tiny else DIMENSIONS:
        found = ask("dimension", n=n, tiny=tiny)
        yield measurement(
            "mlp: evaluation on the whole cube",
            found.pop("evaluation_seconds"),
            "seconds per replica",
            {"n": n, "replicas": found.pop("replicas")},
            details=found,
        )


def peak_memory(tiny: bool) -> Iterator[Measurement]:
    """Yield measured peak memory over that of the formula, per network and execution mode."""
    cases = [
        ("mlp", "map", 88, 1),
        ("mlp", "vmap", 88, 1),
        ("mlp", "chunked", 88, 4),
        ("transformer", "map", 8, 1),
        ("transformer", "vmap", 8, 1),
        ("mixer", "map", 16, 1),
        ("mixer", "vmap", 16, 1),
    ]
    for model, execution, replicas, group in cases[:1] if tiny else cases:
        replicas = 8 if tiny else replicas
        case = {"model": model, "replicas": replicas, "group_size": group, "tiny": tiny}
        found = ask("peak_memory", size="paper", execution=execution, **case)
        predicted = found["devices"] * memory_bytes(
            found["parameters"],
            found["share"],
            execution,
            group,
            numbers_saved(found["model"], found["n"]),
            numbers_live(found["model"], found["n"]),
            inputs=found["inputs"],
        )
        yield measurement(
            f"{model}: peak memory",
            found["peak_bytes"] / predicted,
            "× the formula",
            {"execution": execution, "replicas": replicas, "devices": found["devices"]},
            within=None if tiny else MEMORY_RANGE,
            details={
                "measured_MiB": found["peak_bytes"] / 2**20,
                "formula_MiB": predicted / 2**20,
            },
        )


def memory_bytes(
    parameters: int,
    replicas: int,
    execution: str,
    group: int,
    saved: int,
    live: int,
    *,
    batch: int = 64,
    inputs: int = 256,
) -> int:
    """Return the peak bytes of the replicas of one device with Adam, in float32.

    With P parameters, R replicas on the device and k of them computed at once (map: 1, chunked:
    the group, vmap: all), 64 MiB for the runtime and the largest of

    - starting: 12 P R + 20 P, the states and the draw of one of them;
    - training: 12 P R for parameters and Adam's two moments (chunked: twice that), 4 P k for
      gradients (16 P k if k < R: a copy of these replicas' states) and the residuals of the
      gradient, 4 k (rows of a batch) `saved`;
    - evaluating: 12 P R, 4 P k if k < R, and 4 k (inputs at once: 256 on a CPU, 4,096 elsewhere)
      `live`.
    """
    at_once = {"map": 1, "chunked": group, "vmap": replicas}[execution]
    inside = execution != "vmap"
    states = 12 * parameters * replicas
    gradients = (16 if inside else 4) * parameters * at_once
    held = states * (2 if execution == "chunked" else 1)
    copies = 4 * parameters * at_once if inside else 0
    return RUNTIME_BYTES + max(
        states + 20 * parameters,
        held + gradients + 4 * at_once * batch * saved,
        states + copies + 4 * at_once * inputs * live,
    )


def numbers_saved(model: Mapping[str, Any], n: int) -> int:
    """Return the approximate number of residuals per input that the gradient needs.

    These are the results of products stored in the forward pass and the activations of one layer.
    Transformer and Mixer recompute the rest, layer by layer, the Mixer also its products over
    tokens.
    """
    if model["name"] == "mlp":
        kept = sum(model["widths"])
    elif model["name"] == "transformer":
        tokens, inner = n + 1, model["heads"] * model["head_width"]
        per_token = 4 * inner + 3 * model["width"] + model["feed_forward_width"]
        kept = model["depth"] * tokens * (per_token + model["heads"] * tokens)
    else:
        kept = model["depth"] * n * (2 * model["width"] + model["channel_width"])
    return kept + numbers_live(model, n)


def numbers_live(model: Mapping[str, Any], n: int) -> int:
    """Return the peak number of activations per input in an evaluation."""
    if model["name"] == "mlp":
        widths = (n, *model["widths"], 1)
        return max(map(sum, itertools.pairwise(widths)))
    if model["name"] == "transformer":
        inner = model["heads"] * model["head_width"]
        return (n + 1) * (6 * inner + 2 * model["width"])
    return n * model["width"] * (2 * model["token_expansion"] + 1)


NOTES = """
- The formula of memory was read off XLA's own accounts of the programs (`memory_analysis`), in
  units of 4 P bytes: drawing states takes 5 of temporary memory beside the 3 R of the states (2 R
  while they were drawn all at once); training by `map` 4 (one state and its gradient), by `vmap`
  R, by `chunked` 3 R + 4 k, since `lax.map` keeps old and new states.
- Numbers per row that the gradient needs, by map and by vmap, beside `numbers_saved`: MLP 3,028
  (vmap) beside 3,648, Transformer 434,000 and 533,000 beside 413,000, Mixer 114,000 and 127,000
  beside 110,000. While layers kept everything they were 770,000 and 920,000 (map).
- Peaks are VmHWM, not getrusage, which in a child counts the memory of the parent at the fork
  too.
- A process that does next to nothing still takes 66 MiB between compiling and its end: the
  constant.
- The time to the first step holds the probe of `auto`, which compiles every mode that it tries.
  With three modes, and the start compiled anew for each, it was 18.6 s for the MLP and 41 s for
  the Transformer; with two modes and one start 8.7 s and 22 s.
"""
