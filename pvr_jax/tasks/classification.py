"""Tasks whose inputs are drawn and whose labels are classes: Pointer Value Retrieval and others.

The registry of these tasks. A task has subtasks that share inputs and classes, such as aggregations
and complexities, so that one program trains replicas on all of them.
"""

import inspect
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pvr_jax import checks
from pvr_jax.refusal import did_you_mean
from pvr_jax.tasks import (
    conditional_pvr,
    digit_images,
    own_tokens,
    token_holdouts,
    token_measures,
    token_pvr,
    visual_pvr,
)
from pvr_jax.tasks.contents import Content
from pvr_jax.tasks.drawn_sets import Draw, Example
from pvr_jax.tasks.token_measures import Distribution, Estimate

RETRIEVAL = "retrieval"
POSITIONAL_DESCRIPTION = "1, 2, 3 top right, 4, 5, 6 bottom left and 7, 8, 9, 0 bottom right"


class Inputs(NamedTuple):
    """The form of an input: tokens, or a gray image.

    Tokens are int32 in 0 .. alphabet - 1; of images, float32 [height, width] in 0 to 1, the
    alphabet is None.
    """

    shape: tuple[int, ...]
    alphabet: int | None


class Subtask(NamedTuple):
    """What a replica trains on. `withheld`: permutations, or 1 for another holdout.

    A task without aggregations has None for aggregation and complexity. With complexity 0 every
    aggregation is plain retrieval.
    """

    aggregation: str | None
    complexity: int | None
    withheld: int

    @property
    def name(self) -> str:
        """Its name, such as "mod_sum-m1-withheld2"."""
        parts = [] if self.aggregation is None else [self.aggregation, f"m{self.complexity}"]
        return "-".join([*parts, f"withheld{self.withheld}"])

    @property
    def conditions(self) -> dict[str, int]:
        """Its conditions for `draw`, as numbers; they may be traced."""
        if self.aggregation is None:
            return {"withheld": self.withheld}
        known = token_pvr.AGGREGATIONS
        number = known.index(self.aggregation) if self.aggregation in known else 0
        return {
            "aggregation": number,
            "complexity": self.complexity,
            "withheld": self.withheld,
        }


class Facts(NamedTuple):
    """Exact facts about a subtask.

    `description` says what is withheld ("" for nothing), `share_removed` is its share of all
    inputs. The label distribution is that of training, except for the few repaired windows of token
    tasks; noise sensitivity (None if undefined) is for uniform inputs. `share_bounds` is the 95 %
    interval of a share that is sampled.
    """

    description: str
    share_removed: float
    label_distribution: Distribution
    noise_sensitivity: Estimate | None
    share_bounds: tuple[float, float] | None = None


class Classification(NamedTuple):
    """A task: its inputs, its number of classes, and how one example is drawn.

    `draw(key, part, conditions) -> {"x": [*shape], "y": int32}` is pure; `part` is one of
    `drawn_sets.PARTS`, `conditions` those of a subtask. `facts(subtask, delta)` computes what is
    known of a subtask, noise sensitivity at delta. `is_withheld(key, conditions) -> bool` tells
    whether the training example of a key is one that training must not show. `label` is the task in
    words, `contents()` what stands behind the names of the user's own functions.
    """

    name: str
    label: str
    inputs: Inputs
    classes: int
    subtasks: tuple[Subtask, ...]
    draw: Draw
    facts: Callable[[Subtask, float], Facts]
    is_withheld: Callable[[jax.Array, dict[str, Any]], jax.Array]
    contents: Callable[[], dict[str, Content]] = dict


def names() -> tuple[str, ...]:
    """Return the names of all registered tasks; a user's own 'module:function' comes on top."""
    return tuple(sorted(_TASKS))


def make(name: str, **params: Any) -> Classification:
    """Return the task `name` with its subtasks.

    Raises ValueError for a task, a parameter or a value that does not exist; one line,
    "<parameter>: given <value>; allowed <what>".
    """
    is_own = isinstance(name, str) and ":" in name
    if name not in _TASKS and not is_own:
        hint = did_you_mean(name, _TASKS)
        allowed = f"{', '.join(names())}, or your own 'module:function'{hint}"
        raise checks.invalid("name", name, allowed)
    maker = partial(own_task, name) if is_own else _TASKS[name]
    known = inspect.signature(maker).parameters
    for parameter, value in params.items():
        if parameter not in known:
            allowed = f"parameters of {name}: {', '.join(known)}"
            raise checks.invalid(parameter, value, allowed)
    return maker(**params)


def token_task(
    aggregations: tuple[str, ...] = ("mod_sum",),
    complexities: tuple[int, ...] = (0,),
    withheld: tuple[int, ...] = (0,),
    boundary: str = "bounded",
) -> Classification:
    """Token PVR: every aggregation with every complexity and number of withheld permutations."""
    subtasks = _subtasks(aggregations, complexities, withheld)
    checks.one_of(*token_pvr.BOUNDARIES).check("boundary", boundary)
    return Classification(
        name="token_pvr",
        label=f"token PVR, {boundary} pointer",
        inputs=Inputs((token_pvr.LENGTH,), token_pvr.DIGITS),
        classes=token_pvr.DIGITS,
        subtasks=subtasks,
        draw=partial(_token_example, boundary),
        facts=partial(_token_facts, boundary),
        is_withheld=partial(_is_withheld, boundary),
    )


def strip_task(
    aggregations: tuple[str, ...] = ("mod_sum",),
    complexities: tuple[int, ...] = (0,),
    withheld: tuple[int, ...] = (0,),
    boundary: str = "bounded",
    source: str = "digits",
    data_dir: str | None = None,
) -> Classification:
    """The token task in images: a strip of eleven digit images, each shifted at random."""
    tokens = token_task(aggregations, complexities, withheld, boundary)
    pools = _pools(source, data_dir)

    def draw(key: jax.Array, part: str, conditions: dict[str, Any]) -> Example:
        token_key, image_key = jax.random.split(key)
        example = tokens.draw(token_key, part, conditions)
        strip = visual_pvr.strip_example(image_key, pools[part], example["x"])
        return {"x": strip, "y": example["y"]}

    return tokens._replace(
        name="picture_strip",
        label=f"strip of eleven pictures ({source}), {boundary} pointer",
        inputs=Inputs(_shape_of(draw, tokens.subtasks[0]), None),
        draw=draw,
        is_withheld=lambda key, conditions: tokens.is_withheld(
            jax.random.split(key)[0], conditions
        ),
    )


def visual_task(
    withheld: tuple[int, ...] = (0,), source: str = "digits", data_dir: str | None = None
) -> Classification:
    """Visual PVR in block style; withheld 1 is the positional holdout."""
    for value in _several("withheld", withheld):
        checks.one_of(0, 1).check("withheld", value)
    pools = _pools(source, data_dir)

    def draw(key: jax.Array, part: str, conditions: dict[str, Any]) -> Example:
        example = visual_pvr.block_example(key, pools[part], part, conditions["withheld"])
        return {"x": example["x"], "y": example["y"]}

    def is_withheld(key: jax.Array, conditions: dict[str, Any]) -> jax.Array:
        example = visual_pvr.block_example(key, pools["train"], "train", conditions["withheld"])
        return (conditions["withheld"] > 0) & visual_pvr.is_withheld(example["digits"])

    def facts(subtask: Subtask, delta: float) -> Facts:
        return Facts(
            POSITIONAL_DESCRIPTION if subtask.withheld else "",
            visual_pvr.share_removed(pools["train"], subtask.withheld),
            Distribution(visual_pvr.label_distribution(pools["train"], subtask.withheld), True),
            None,
        )

    subtasks = tuple(Subtask(None, None, value) for value in withheld)
    return Classification(
        name="visual_pvr",
        label=f"visual PVR, 2 x 2 pictures ({source})",
        inputs=Inputs(_shape_of(draw, subtasks[0]), None),
        classes=10,
        subtasks=subtasks,
        draw=draw,
        facts=facts,
        is_withheld=is_withheld,
    )


def conditional_task(length: int = 100) -> Classification:
    """Conditional PVR on `length` numbers (Abnar et al. 2023: 100); the label is the hops made."""
    length = checks.integer(2, 1000).check("length", length)

    def draw(key: jax.Array, part: str, conditions: dict[str, Any]) -> Example:
        numbers = conditional_pvr.draw(key, length)
        return {"x": numbers, "y": conditional_pvr.label(numbers)}

    def facts(subtask: Subtask, delta: float) -> Facts:
        noise = token_measures.sampled_noise_sensitivity(
            lambda key: conditional_pvr.draw(key, length), conditional_pvr.label, delta
        )
        shares = conditional_pvr.label_distribution(length)
        return Facts("", 0.0, Distribution(shares, True), noise)

    return Classification(
        name="conditional_pvr",
        label=f"conditional PVR on {length} numbers",
        inputs=Inputs((length,), length),
        classes=length,
        subtasks=(Subtask(None, None, 0),),
        draw=draw,
        facts=facts,
        is_withheld=lambda key, conditions: jnp.bool_(False),
    )


def own_task(
    name: str, /, length: int = 11, alphabet: int = 10, classes: int = 10, withheld: str = ""
) -> Classification:
    """The user's own label of uniform tokens, 'module:function'; and so what is `withheld`."""
    length = checks.integer(1, 1000).check("length", length)
    alphabet = checks.integer(2, 1000).check("alphabet", alphabet)
    classes = checks.integer(2, 1000).check("classes", classes)
    withheld = checks.text(empty=True).check("withheld", withheld)
    own = own_tokens.make(name, withheld, length, alphabet, classes)

    def facts(subtask: Subtask, delta: float) -> Facts:
        removed = own.share_removed()
        return Facts(
            f"where {withheld} is True" if withheld else "",
            removed.value,
            own.label_distribution(classes),
            own.noise_sensitivity(delta, (alphabet,) * length),
            (removed.low, removed.high),
        )

    return Classification(
        name=name,
        label=f"{name} of {length} tokens",
        inputs=Inputs((length,), alphabet),
        classes=classes,
        subtasks=(Subtask(None, None, int(bool(withheld))),),
        draw=own.draw,
        facts=facts,
        is_withheld=own.is_withheld,
        contents=lambda: own_tokens.contents(
            own, {"name": name, "withheld": withheld}, length, alphabet
        ),
    )


# One line adds a task.
_TASKS: dict[str, Callable[..., Classification]] = {
    "token_pvr": token_task,
    "picture_strip": strip_task,
    "visual_pvr": visual_task,
    "conditional_pvr": conditional_task,
}


def _subtasks(
    aggregations: tuple[str, ...], complexities: tuple[int, ...], withheld: tuple[int, ...]
) -> tuple[Subtask, ...]:
    """Return the product of the three, without duplicate tasks.

    With complexity 0 all aggregations are the same task, and with complexity 1 the lower median
    and the smallest of the most frequent digits are the minimum.
    """
    aggregations = _several("aggregations", aggregations)
    for complexity in _several("complexities", complexities):
        checks.integer(0, token_pvr.MAX_COMPLEXITY).check("complexities", complexity)
        for count in _several("withheld", withheld):
            token_holdouts.check_withheld(count, complexity)
    found = []
    for aggregation, complexity, count in itertools.product(aggregations, complexities, withheld):
        token_pvr.aggregation_number(aggregation)
        name = same_as(aggregation, complexity)
        found.append(Subtask(name, complexity, count))
    return tuple(dict.fromkeys(found))


def _several(parameter: str, given: Any) -> tuple[Any, ...]:
    """Return one or more values as a tuple."""
    allowed = "one or more values separated by commas"
    chosen = checks.sequence(parameter, given, allowed)
    if not chosen:
        raise checks.invalid(parameter, given, allowed)
    return chosen


def same_as(aggregation: str, complexity: int) -> str:
    """Return the canonical name of an aggregation that equals others."""
    if complexity == 0:
        return RETRIEVAL
    if complexity == 1 and aggregation in ("median", "majority_vote"):
        return "min"
    return aggregation


def _token_example(boundary: str, key: jax.Array, part: str, conditions: dict[str, Any]) -> Example:
    complexity, withheld = conditions["complexity"], conditions["withheld"]
    if part == "withheld":
        tokens = token_holdouts.withheld_input(key, withheld, complexity, boundary)
    else:
        tokens = token_pvr.draw(key, complexity, boundary)
        tokens = token_holdouts.repair(tokens, withheld, complexity)
    return {"x": tokens, "y": token_pvr.label(tokens, conditions["aggregation"], complexity)}


def _is_withheld(boundary: str, key: jax.Array, conditions: dict[str, Any]) -> jax.Array:
    tokens = _token_example(boundary, key, "train", conditions)["x"]
    return token_holdouts.is_withheld(tokens, conditions["withheld"], conditions["complexity"])


def _token_facts(boundary: str, subtask: Subtask, delta: float) -> Facts:
    complexity, withheld = subtask.complexity, subtask.withheld
    aggregation = token_pvr.AGGREGATIONS[subtask.conditions["aggregation"]]
    return Facts(
        token_holdouts.description(withheld, complexity),
        token_holdouts.share_removed(withheld, complexity),
        token_measures.label_distribution(aggregation, complexity),
        token_measures.noise_sensitivity(aggregation, complexity, delta, boundary),
    )


def _pools(source: str, data_dir: str | None) -> dict[str, Any]:
    """Return the digit images of every part: those of test inputs are in no training input."""
    images = digit_images.load(source, data_dir)
    train, test = visual_pvr.pool_of(images.train), visual_pvr.pool_of(images.test)
    return {"train": train, "iid": test, "withheld": test}


def _shape_of(draw: Draw, subtask: Subtask) -> tuple[int, ...]:
    conditions = jax.tree.map(jnp.int32, subtask.conditions)
    return jax.eval_shape(lambda key: draw(key, "train", conditions), jax.random.key(0))["x"].shape
