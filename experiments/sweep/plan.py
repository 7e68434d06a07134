"""Which cells are trained together, and by which shard: a function of the sweep alone.

So every job of an array finds the same plan, whenever it starts and whatever is done by then.
"""

import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from experiments import registry
from experiments.sweep.definition import Cell


class Pack(NamedTuple):
    """Cells of equal shape, and what they amount to; `cost` has the unit of `shape_of`."""

    cells: tuple[Cell, ...]
    replicas: int
    cost: float


@cache
def packing_of(experiment: str) -> Any:
    """Return the module that packs configurations of an experiment, None if it has none."""
    if importlib.util.find_spec(f"experiments.{experiment}.packing") is None:
        return None
    return registry.load_experiment(experiment, "packing")


def plan(cells: Sequence[Cell]) -> list[Pack]:
    """Return the packs of all possible cells, in the order of their first cells.

    Cells of one key come together in their order, in as few packs as hold them, about equally
    full. A cell that is larger than a pack is one alone.
    """
    alike: dict[str, list[tuple[Cell, int, float]]] = {}
    limits: dict[str, int] = {}
    for cell in cells:
        if cell.config is None:
            continue
        key, replicas, most, cost = _shape(cell)
        alike.setdefault(key, []).append((cell, replicas, cost))
        limits[key] = most
    return [pack for key, group in alike.items() for pack in _packed(group, limits[key])]


def deal(packs: Sequence[Pack], shards: int) -> list[list[Pack]]:
    """Return the packs of each shard, of about equal cost: the costliest first, to the least busy.

    Within a shard they keep their order.
    """
    busy = [0.0] * shards
    dealt: list[list[int]] = [[] for _ in range(shards)]
    for index in sorted(range(len(packs)), key=lambda index: -packs[index].cost):
        shard = min(range(shards), key=lambda shard: (busy[shard], len(dealt[shard]), shard))
        busy[shard] += packs[index].cost
        dealt[shard].append(index)
    return [[packs[index] for index in sorted(own)] for own in dealt]


def _shape(cell: Cell) -> tuple[str, int, int, float]:
    """Return key, replicas, most replicas of a pack and cost of a possible cell."""
    packing = packing_of(cell.config.experiment)
    if packing is None:
        return cell.name, 1, 1, 1.0
    try:
        key, *numbers = packing.shape_of(cell.config)
    except Exception:  # a network that cannot be built fails alone, when its turn comes
        return cell.name, 1, 1, 1.0
    return f"{cell.config.experiment} {key}", *numbers


def _packed(group: Sequence[tuple[Cell, int, float]], most: int) -> list[Pack]:
    total = sum(replicas for _, replicas, _ in group)
    full = math.ceil(total / math.ceil(total / most))
    packs: list[Pack] = []
    for cell, replicas, cost in group:
        last = packs[-1] if packs else None
        if last is None or last.replicas >= full or last.replicas + replicas > most:
            packs.append(Pack((cell,), replicas, cost))
        else:
            packs[-1] = Pack((*last.cells, cell), last.replicas + replicas, last.cost + cost)
    return packs
