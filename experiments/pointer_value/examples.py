"""Examples as HTML: inputs, labels and predictions."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from experiments.pointer_value.frames import SPLITS
from pvr_jax.refusal import Refusal
from pvr_jax.results import Study

VALUES = 10
OPEN = 4  # inputs of a split shown at first; the others are collapsed
# Size on the screen, in pixels, to which images are enlarged by an integer factor.
WIDTH, HEIGHT = 528, 130
# The label as a function of the values of the window.
AGGREGATIONS: dict[str, tuple[Callable[[list[int]], int], str]] = {
    "retrieval": (lambda w: w[0], "the value itself"),
    "mod_sum": (lambda w: sum(w) % 10, "sum modulo 10"),
    "min": (min, "smallest"),
    "max": (max, "largest"),
    "median": (lambda w: sorted(w)[(len(w) - 1) // 2], "lower median"),
    "majority_vote": (lambda w: min(w, key=lambda v: (-w.count(v), v)), "most frequent"),
}
INTRODUCTION = (
    "The first inputs that were drawn, not chosen; those that some network gets wrong stand first. "
    "Of tokens the pointer has a dashed box and the window firm ones; of conditional PVR the "
    "numbers along the way are shown, their places in small digits. One replica of every condition "
    "answers, with the largest training set."
)
STYLE = """
.examples { display: flex; flex-wrap: wrap; gap: .7rem; margin: .5rem 0; }
.example { padding: .5rem .7rem; border: 1px solid var(--line); border-left: 5px solid #0072b2;
  border-radius: 4px; background: var(--wash); font-size: .82rem; max-width: 100%; }
.example.wrong { border-left: 5px double #d55e00; }
.example p { margin: .35rem 0 0; max-width: 28rem; }
.example img { display: block; image-rendering: pixelated; max-width: 100%; }
.answer.wrong b { color: var(--mark); } .answer.right b { color: var(--link); }
.digits { display: flex; flex-wrap: wrap; gap: 3px; }
.digit { display: flex; flex-direction: column; align-items: center; min-width: 1.9rem;
  padding: .1rem .2rem; border: 1px solid var(--line); border-radius: 3px;
  background: var(--paper); font-variant-numeric: tabular-nums; }
.digit small { font-size: .6rem; line-height: 1; min-height: .6rem; color: var(--quiet); }
.digit.pointer { border: 2px dashed var(--mark); }
.digit.window { border: 2px solid var(--link); font-weight: 700; }
"""


@dataclass
class Example:
    """An input, its label, and predictions: network, predicted class, all probabilities."""

    x: np.ndarray
    label: int
    replica: pd.Series
    answers: list[tuple[str, int, np.ndarray]] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        """Whether some network misclassifies it."""
        return any(predicted != self.label for _, predicted, _ in self.answers)


@dataclass
class Block:
    """The inputs of a test set of a function, each once, and the number of errors."""

    function: str
    title: str
    examples: dict[bytes, Example] = field(default_factory=dict)
    wrong: dict[str, float] = field(default_factory=dict)


def render(study: Study, replicas: pd.DataFrame) -> str:
    """Return all examples of a study as self-contained HTML.

    Args:
        study: its runs, with examples.
        replicas: a row per replica, with the string columns `network` and `function`.

    Raises:
        Refusal: a label does not match its input.
    """
    blocks = _blocks(study, replicas)
    if not blocks:
        return ""
    functions = {name: [b for b in blocks if b.function == name] for name in _names(blocks)}
    opened = max(functions.values(), key=_interest)
    head = [f"<style>{STYLE}</style><p>{escape(INTRODUCTION)}</p>"]
    head += [_block(block, slice(OPEN)) for block in opened]
    rest = [_block(b, slice(OPEN if b in opened else 0, None)) for b in [*opened, *blocks]]
    rest = list(dict.fromkeys(filter(None, rest)))
    count = sum(len(block.examples) for block in blocks)
    folded = f"<details><summary>All {count} inputs</summary>{''.join(rest)}</details>"
    return Markup("\n".join([*head, folded if rest else ""]))


def _blocks(study: Study, replicas: pd.DataFrame) -> list[Block]:
    rows = replicas.set_index(["run", "replica"])
    blocks: dict[tuple[str, ...], Block] = {}
    for run in study.runs:
        for split in (s for s in SPLITS if f"{s}_example_input" in run):
            inputs, labels, probabilities = (
                run[f"{split}_example_{n}"].values for n in ("input", "label", "probability")
            )
            for index, name in enumerate(run["shown"].values.tolist()):
                row = rows.loc[(run.attrs["run"], name)]
                if row["diverged_at"] >= 0 or (labels[index] < 0).any():
                    continue
                withheld = row["withheld_words"] if split == "withheld" else ""
                title = SPLITS[split] + (f": {withheld}" if withheld else " inputs")
                function = ", ".join(filter(None, (row["task"], row["function"])))
                block = blocks.setdefault((function, title), Block(function, title))
                network = _network(row)
                block.wrong[network] = 1 - row[f"{split}_accuracy"]
                for x, label, probability in zip(
                    inputs[index], labels[index], probabilities[index], strict=True
                ):
                    known = Example(x, int(label), row.rename(f"{run.attrs['run']}, {name}"))
                    example = block.examples.setdefault(x.tobytes(), known)
                    example.answers.append((network, int(probability.argmax()), probability))
    return list(blocks.values())


def _names(blocks: Sequence[Block]) -> list[str]:
    return list(dict.fromkeys(block.function for block in blocks))


def _interest(blocks: Sequence[Block]) -> tuple[int, int]:
    """Return the sort key of a function: with withheld inputs, with right and wrong ones."""
    examples = [example for block in blocks for example in block.examples.values()]
    return len(blocks), len({example.wrong for example in examples})


def _network(row: pd.Series) -> str:
    parts = [row["network"] or row["model"]]
    parts += [f"{row['withheld']:.0f} withheld"] if row["withheld"] else []
    return ", ".join([*parts, f"{row['samples']:,.0f} samples".replace(",", "\u2009")])


def _block(block: Block, chosen: slice) -> str:
    """Return examples of a block, misclassified ones first; "" if there are none."""
    ordered = sorted(block.examples.values(), key=lambda e: not e.wrong)[chosen]
    if not ordered:
        return ""
    wrong = "; ".join(f"{name}: {100 * share:.2f} %" for name, share in block.wrong.items())
    return (
        f"<h3>{escape(block.function)}: {escape(block.title)}</h3>\n"
        f'<p class="quiet">Wrong of all test inputs: {escape(wrong)}</p>\n'
        f'<div class="examples">\n{"".join(map(_example, ordered))}</div>\n'
    )


def _example(example: Example) -> str:
    if example.x.ndim == 2:
        shown, computed = _image(example.x), ""
    elif example.replica["task"] == "conditional_pvr":
        shown, computed = _hops(example, example.x.tolist())
    else:
        shown, computed = _tokens(example, example.x.tolist())
    answers = "".join(_answer(example.label, *answer) for answer in example.answers)
    return (
        f'<div class="example {"wrong" if example.wrong else "right"}">{shown}'
        f"<p>{escape(computed)}label <b>{example.label}</b></p>{answers}</div>\n"
    )


def _answer(label: int, network: str, predicted: int, probability: np.ndarray) -> str:
    right = predicted == label
    shares = f"{_share(probability[predicted])}"
    shares += "" if right else f"; {label} had {_share(probability[label])}"
    return (
        f'<p class="answer {"right" if right else "wrong"}">{"✓ right" if right else "✗ wrong"}: '
        f"<b>{predicted}</b> with probability {shares} ({escape(network)})</p>"
    )


def _share(value: float) -> str:
    return "below 0.01" if value < 0.005 else f"{value:.2f}"


def _tokens(example: Example, tokens: list[int]) -> tuple[str, str]:
    """Return an input's digits in boxes, and how the label follows from them.

    The window has complexity + 1 values from position 1 + pointer on, cyclically.
    """
    complexity, aggregation = (example.replica[name] for name in ("complexity", "aggregation"))
    if pd.isna(complexity) or len(tokens) != VALUES + 1:
        return _boxes(tokens, {}), ""
    places = [1 + (tokens[0] + i) % VALUES for i in range(int(complexity) + 1)]
    window = [tokens[place] for place in places]
    rule, words = AGGREGATIONS[aggregation]
    _check(example, rule(window))
    values = " ".join(map(str, window))
    kinds = {0: "pointer"} | dict.fromkeys(places, "window")
    return _boxes(tokens, kinds), f"pointer {tokens[0]} → window {values} → {words}: "


def _hops(example: Example, numbers: list[int]) -> tuple[str, str]:
    """Return the path of conditional PVR, with positions in the input."""
    places = [0]
    while numbers[places[-1]] > places[-1]:
        places.append(numbers[places[-1]])
    _check(example, len(places) - 1)
    boxes = "".join(
        f'<span class="digit {"window" if place != places[-1] else "pointer"}">{numbers[place]}'
        f"<small>{place}</small></span>"
        for place in places
    )
    path = " → ".join(map(str, places))
    words = f"hops {path}, where {numbers[places[-1]]} does not lead on: "
    return f'<div class="digits">{boxes}</div>', words


def _check(example: Example, computed: int) -> None:
    if computed != example.label:
        raise Refusal(
            f"damaged examples of {example.replica.name}: a label is {example.label} where the "
            f"input says {computed}; delete measures.nc and analyse.done of the run, then give "
            "its command again"
        )


def _boxes(tokens: Sequence[int], kinds: dict[int, str]) -> str:
    boxes = "".join(
        f'<span class="digit {kinds.get(place, "")}">{token}'
        f"<small>{kinds.get(place, '')}</small></span>"
        for place, token in enumerate(tokens)
    )
    return f'<div class="digits">{boxes}</div>'


def _image(pixels: np.ndarray) -> str:
    """Return a gray image uint8[height, width], enlarged, as HTML."""
    height, width = pixels.shape
    factor = max(1, round(min(WIDTH / width, HEIGHT / height)))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<img alt="input" width="{factor * width}" height="{factor * height}" '
        f'src="data:image/png;base64,{data}">'
    )
