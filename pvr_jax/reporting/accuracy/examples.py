"""Example inputs as HTML: what a model was shown, what it should have said and what it said."""

import base64
import struct
import zlib
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from pvr_jax.reporting import html
from pvr_jax.reporting.accuracy.cells import PARTS, RETRIEVAL, Arm, Cell
from pvr_jax.reporting.accuracy.labels import arm_labels, task_labels
from pvr_jax.reporting.accuracy.reading import Examples
from pvr_jax.reporting.accuracy.shown import grouped, percent
from pvr_jax.reporting.page_style import EXAMPLES_STYLE
from pvr_jax.reporting.reading import EXAMPLES_FILE, damaged
from pvr_jax.results.statistics import mean

TITLE = "Examples: inputs, labels and predictions"
PAGE = "examples.html"
VALUES = 10
CONDITIONAL = "conditional_pvr"
# The size, in pixels of the screen, that a picture is enlarged to by a whole factor.
_WIDTH, _HEIGHT = 528, 130

# Each names how the label follows from the values of the window.
_AGGREGATIONS: dict[str, tuple[Callable[[list[int]], int], str]] = {
    RETRIEVAL: (lambda w: w[0], "the value itself"),
    "mod_sum": (lambda w: sum(w) % 10, "sum modulo 10"),
    "min": (min, "smallest"),
    "max": (max, "largest"),
    "median": (lambda w: sorted(w)[(len(w) - 1) // 2], "lower median"),
    "majority_vote": (lambda w: min(w, key=lambda v: (-w.count(v), v)), "most frequent"),
}


def render_examples(examples: Sequence[Examples], cells: Sequence[Cell]) -> str:
    """Return the page of all examples: a section per arm, replicas and their parts apart in it.

    Raises ValueError where a label is not what its tokens say.
    """
    sections = [("about", "What is shown", f"<p>{_INTRODUCTION}</p>")]
    groups = _by_replica(examples)
    for number, arm in enumerate(dict.fromkeys(own[0].cell.arm for own in groups)):
        content = [
            f"<h3>{escape(_title(own[0]))}</h3>\n{_replica(own)}"
            for own in groups
            if own[0].cell.arm == arm
        ]
        sections.append((f"arm-{number}", _arm_title(arm, cells), "\n".join(content)))
    return html.document(TITLE, sections, EXAMPLES_STYLE)


def section(examples: Sequence[Examples], cells: Sequence[Cell]) -> str:
    """Return the section of the report: one replica's examples, and the link to all."""
    if not examples:
        return "<p>None: the runs have no examples.</p>"
    groups = _by_replica(examples)
    own = max(groups, key=_interest)
    link = f'<p>{len(groups)} replicas are on <a href="{PAGE}">a page of their own</a>.'
    return "\n".join(
        [
            f"{link} Here is one of them. {_INTRODUCTION}</p>",
            f"<h3>{escape(f'{_arm_title(own[0].cell.arm, cells)}: {_title(own[0])}')}</h3>",
            _replica(own, most=6),
        ]
    )


_INTRODUCTION = (
    "The inputs are the first that were drawn, not chosen; wrong predictions stand first. How many "
    "are wrong is counted over all test samples. Of tokens the pointer has a dashed box, the "
    "window boxes with a firm line; of conditional PVR the numbers along the way are shown, their "
    "places in small digits."
)


def _interest(own: Sequence[Examples]) -> tuple[int, int, int]:
    """Return what makes a replica worth showing: both parts, and some right and some wrong."""
    right = np.concatenate([part.probabilities.argmax(axis=1) == part.y for part in own])
    return len(own), int(0 < right.sum() < len(right)), int(own[0].cell.samples or 0)


def _by_replica(examples: Sequence[Examples]) -> list[list[Examples]]:
    groups: dict[tuple[object, ...], list[Examples]] = {}
    for part in examples:
        groups.setdefault((part.cell.arm.directory, part.replica.index), []).append(part)
    return list(groups.values())


def _arm_title(arm: Arm, cells: Sequence[Cell]) -> str:
    label = next(cell.task_label for cell in cells if cell.arm == arm)
    return f"{task_labels(cells)[label]}, {arm_labels(cells)[arm]}"


def _title(part: Examples) -> str:
    """Return what a replica learned, from how many samples, and its seed."""
    cell, subtask = part.cell, part.cell.subtask
    words = [subtask.words]
    if subtask.withheld:
        counted = subtask.complexity is not None
        words.append(f"{subtask.withheld} withheld" if counted else "positional holdout")
    shown = int(cell.steps[-1]) * cell.batch_size if cell.samples is None else cell.samples
    words.append(f"{grouped(shown)} {'fresh ' if cell.samples is None else ''}training samples")
    return ", ".join([*filter(None, words), f"seed {part.replica.seed}"])


def _replica(own: Sequence[Examples], most: int | None = None) -> str:
    return "\n".join(_part(part, most) for part in own)


def _part(part: Examples, most: int | None) -> str:
    """Return the examples of one part, wrong ones first; at most so many of either."""
    predicted = part.probabilities.argmax(axis=1)
    right = predicted == part.y
    wrong, correct = np.flatnonzero(~right), np.flatnonzero(right)
    places = [*wrong[:most], *correct[: None if most is None else max(most - len(wrong), 2)]]
    what = PARTS[part.part]
    if part.part == "withheld" and (words := part.cell.subtask.withheld_words):
        what = f"{what} ({words})"
    items = "\n".join(_example(part, place, int(predicted[place])) for place in places)
    return (
        f"<h4>{escape(what)}: {escape(_wrong_words(part))}</h4>\n"
        f'<div class="examples">\n{items}\n</div>'
    )


def _wrong_words(part: Examples) -> str:
    """Return how many test samples are wrong, of this replica and of its cell's mean."""
    cell = part.cell
    place = [replica.index for replica in cell.replicas].index(part.replica.index)
    counts = cell.confusion[part.part][place]
    if not np.isfinite(counts).all():
        return "no count of wrong ones"
    total, right = int(counts.sum()), int(np.trace(counts))
    text = f"{grouped(total - right)} of {grouped(total)} wrong ({percent(1 - right / total)} %)"
    share = float(mean(1 - cell.final(f"{part.part}_accuracy")))
    seeds = int(cell.counted.sum())
    return f"{text}; mean over {seeds} seeds {percent(share)} %" if seeds > 1 else text


def _example(part: Examples, place: int, predicted: int) -> str:
    x, label = part.x[place], int(part.y[place])
    probabilities = part.probabilities[place]
    if part.cell.alphabet is None:
        shown, computed = _picture(x), ""
    elif part.cell.task == CONDITIONAL:
        shown, computed = _hops(part, x.tolist(), label)
    else:
        shown, computed = _tokens(part, x.tolist(), label)
    right = predicted == label
    mark = "✓ right" if right else "✗ wrong"
    sure = _probability(probabilities[predicted])
    verdict = f"predicted <b>{predicted}</b> with probability {sure}"
    if not right:
        verdict += f"; {label} had {_probability(probabilities[label])}"
    return (
        f'<div class="example {"right" if right else "wrong"}">{shown}'
        f"<p>{computed}label <b>{label}</b></p>"
        f'<p><span class="mark">{mark}</span> {verdict}</p></div>'
    )


def _probability(value: float) -> str:
    return "below 0.01" if value < 0.005 else f"{value:.2f}"


def _tokens(part: Examples, tokens: list[int], label: int) -> tuple[str, str]:
    """Return an input's digits in boxes, and how the label follows from them.

    The window holds complexity + 1 values from place 1 + pointer on and goes on at the first value
    behind the last. Raises ValueError where it gives another label.
    """
    subtask = part.cell.subtask
    if subtask.complexity is None or len(tokens) != VALUES + 1:
        return _boxes(tokens, {}), ""
    places = [1 + (tokens[0] + i) % VALUES for i in range(subtask.complexity + 1)]
    kinds = {0: "pointer"} | dict.fromkeys(places, "window")
    window = [tokens[place] for place in places]
    rule, words = _AGGREGATIONS.get(subtask.aggregation or "", (None, ""))
    if rule is not None:
        _check(part, rule(window), label)
    values = " ".join(map(str, window))
    return (
        _boxes(tokens, kinds),
        f"pointer {tokens[0]} → window {values} → {words or subtask.aggregation}: ",
    )


def _hops(part: Examples, numbers: list[int], label: int) -> tuple[str, str]:
    """Return the numbers that conditional PVR goes along, with their places in the input."""
    places = [0]
    while numbers[places[-1]] > places[-1]:
        places.append(numbers[places[-1]])
    _check(part, len(places) - 1, label)
    boxes = "".join(
        f'<span class="digit {"window" if place != places[-1] else "pointer"}">{numbers[place]}'
        f"<small>{place}</small></span>"
        for place in places
    )
    path = " → ".join(map(str, places))
    return (
        f'<div class="digits">{boxes}</div>',
        f"hops {path}, where {numbers[places[-1]]} does not lead on: ",
    )


def _check(part: Examples, computed: int, label: int) -> None:
    if computed != label:
        reason = f"a label is {label} where the input of {part.replica.name} says {computed}"
        raise damaged(part.cell.arm.directory / EXAMPLES_FILE, ValueError(reason))


def _boxes(tokens: list[int], kinds: dict[int, str]) -> str:
    names = {"pointer": "pointer", "window": "window"}
    boxes = "".join(
        f'<span class="digit {kinds.get(place, "")}">{token}'
        f"<small>{names.get(kinds.get(place, ''), '')}</small></span>"
        for place, token in enumerate(tokens)
    )
    return f'<div class="digits">{boxes}</div>'


def _picture(pixels: np.ndarray) -> str:
    """Return a grey picture [height, width], 0 black to 1 white, as an enlarged image."""
    height, width = pixels.shape
    factor = max(1, round(min(_WIDTH / width, _HEIGHT / height)))
    data = base64.b64encode(png(pixels)).decode("ascii")
    return (
        f'<img alt="input" width="{factor * width}" height="{factor * height}" '
        f'src="data:image/png;base64,{data}">'
    )


def png(pixels: np.ndarray) -> bytes:
    """Return a grey picture [height, width], 0 black to 1 white, as a PNG file of 8 bits."""
    grey = np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    height, width = grey.shape
    lines = b"".join(b"\0" + row.tobytes() for row in grey)

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
