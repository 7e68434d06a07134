"""Verdicts on means: what one simultaneous interval says, and after how many seeds it says it.

The intervals of all cells of a study, at all looks, hold at once with 95 %, so every statement that
is read off them does too. In simulations of 11 cells, skewed seeds get less: log-normal ones of
σ = .3 get 93 %, of σ = .5 90 %.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from pvr_jax.refusal import Refusal
from pvr_jax.results import statistics
from pvr_jax.results.statistics import Scale

MARGIN = 0.1  # share of the level within which a mean is equal to it
FIRST_LOOK = 5
DECIDED = ("equal", "below", "above")
# Why there is no verdict, and more seeds may give one: too few, or two groups of seeds.
WAITING = ("undecided", "one", "groups")


class Decision(NamedTuple):
    """A verdict, and the interval that it is read off.

    Args:
        verdict: "equal", "below", "above" or "undecided"; or why there is none: "unfinished" (the
            fit), "one" (fewer than two seeds), "groups" (two groups of fewer than 20 seeds) or
            "constant" (all seeds are equal).
        seeds: the number of seeds at the look that decided, or at the last one; 0 before the first.
        low, high: the bounds of the simultaneous interval at that look; NaN without one.
        differs: "below" or "above" if the interval leaves the level out, even if the verdict is
            "equal"; else "".
    """

    verdict: str
    seeds: int = 0
    low: float = math.nan
    high: float = math.nan
    differs: str = ""


def looks_up_to(max_seeds: int) -> tuple[int, ...]:
    """Return the numbers of seeds to look at: 5, 10, 20, … and last `max_seeds`.

    >>> looks_up_to(40), looks_up_to(30), looks_up_to(3)
    ((5, 10, 20, 40), (5, 10, 20, 30), (3,))
    """
    if max_seeds < 2:
        raise Refusal(f"max_seeds: given {max_seeds}; allowed 2 or more")
    looks = [FIRST_LOOK]
    while looks[-1] < max_seeds:
        looks.append(2 * looks[-1])
    return (*looks[:-1], max_seeds)


def looks_of(text: str) -> tuple[int, ...]:
    """Return the looks that a text such as "5,10,20,40" lists; none for "", a fixed design."""
    return tuple(int(part) for part in text.split(",") if part)


def spending(looks: tuple[int, ...]) -> list[float]:
    """Return the share of α spent at each of K looks: 1, 2, …, K over their sum, K (K + 1) / 2.

    At four looks .1, .2, .3 and .4. Whatever the looks are, the shares sum to 1, and by the union
    bound the chance of a wrong interval at any look is at most α. They are planned: looks that are
    added after looking void the bound.

    Source: Lan and DeMets 1983 spend α by a function chosen beforehand.
    """
    return [2 * i / (len(looks) * (len(looks) + 1)) for i in range(1, len(looks) + 1)]


def _reached(looks: tuple[int, ...], seeds: int) -> list[tuple[int, float]]:
    """Return the looks for which there are seeds, with the shares of α spent there."""
    if not looks:
        return [(seeds, 1.0)]
    shares = zip(looks, spending(looks), strict=True)
    return [(look, share) for look, share in shares if look <= seeds]


def decide(
    values: np.ndarray,
    level: float,
    margin: float = MARGIN,
    cells: int = 1,
    looks: tuple[int, ...] = (),
    scale: Scale = "positive",
) -> Decision:
    """Compare the mean of a cell with a level: equal within a margin, below, above or undecided.

    Of one interval that holds for all cells of the study and all looks at once, at 1 − α share /
    cells: "equal" if it lies within level ± margin · |level|, else "below" or "above" if it leaves
    the level out. The first look that decides has the last word, even if more seeds follow.

    Args:
        values: [S] of a cell, or [C, S] for the mean over C cells with seeds as units, in the order
            of the seeds; NaN where a seed is missing.
        level: what the mean is compared with.
        margin: share of the level; 0 never finds a mean equal.
        cells: how many verdicts hold at once.
        looks: the planned numbers of seeds to look at; (): one look, at all seeds.
        scale: the range of the quantity, see `statistics.mean_interval`.

    >>> import numpy as np
    >>> decide(np.array([0.93, 0.97, 0.95, 0.94, 0.96]), level=1.0)[:2]
    ('equal', 5)
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    found = Decision("undecided")
    for seeds, share in _reached(looks, values.shape[-1]):
        found = _at(values[:, :seeds], level, margin, cells / share, scale)
        if found.verdict in DECIDED:
            break
    return found


def _at(
    values: np.ndarray, level: float, margin: float, comparisons: float, scale: Scale
) -> Decision:
    """Return the verdict of one look."""
    count = values.shape[-1]
    seeds = statistics.seed_means(values) if np.isfinite(values).any() else np.array([])
    if np.isfinite(seeds).sum() < 2:
        return Decision("one", count)
    if not statistics.can_be_judged(seeds):
        return Decision("groups", count)
    confidence = statistics.simultaneous(comparisons)
    low, high = statistics.interval_over_seeds(values, scale, confidence)
    side = statistics.against(low, high, level)
    if not side:
        return Decision("constant", count)
    differs = "" if side == "inside" else side
    room = margin * abs(level)
    is_equal = room > 0 and level - room <= low and high <= level + room
    return Decision("equal" if is_equal else differs or "undecided", count, low, high, differs)


def next_look(decisions: Iterable[Decision], looks: tuple[int, ...]) -> int | None:
    """Return the number of seeds to train next; None if all is decided, or the last look is over.

    Cells whose fit is not finished, or whose seeds are all equal, do not ask for more seeds.

    Args:
        decisions: of all cells; none before any training.
        looks: the planned looks.
    """
    decisions = list(decisions)
    waiting = [found.seeds for found in decisions if found.verdict in WAITING]
    if decisions and not waiting:
        return None
    return next((look for look in looks if look > min(waiting, default=0)), None)


def least(
    values: Mapping[str, np.ndarray], cells: int = 1, looks: tuple[int, ...] = ()
) -> tuple[list[str], dict[str, float]]:
    """Return which of several paired quantities is smallest, as `statistics.smallest` does.

    Its intervals hold for all cells at once and, as each look has its own share of α, at whatever
    look training stopped; none before the first.

    Args:
        values: [C, S] per cell and seed, in the order of the seeds, by name; NaN where unknown.
        cells: how many such answers hold at once.
        looks: see `decide`.
    """
    count = max((own.shape[-1] for own in values.values()), default=0)
    if not (reached := _reached(looks, count)):
        return [], {}
    seeds, share = reached[-1]
    return statistics.smallest({n: own[:, :seeds] for n, own in values.items()}, cells / share)
