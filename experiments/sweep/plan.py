"""Which cells are trained together, and by which shard: a function of the sweep alone.

So every job of an array finds the same plan, whenever it starts and whatever is done by then.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from experiments import registry
from experiments.sweep.definition import Cell
from pvr_jax import packing
from pvr_jax.building import replica_count
from pvr_jax.packing import Shape


class Pack(NamedTuple):
    """Cells of one program, and what they amount to; `cost` has the unit of `Shape`."""

    cells: tuple[Cell, ...]
    replicas: int
    cost: float


def plan(cells: Sequence[Cell]) -> list[Pack]:
    """Return the packs of all possible cells, in the order of their first cells.

    Cells of one key come together in their order, in as few packs as hold them, about equally
    full. A cell that is larger than a pack is one alone.
    """
    alike: dict[str, list[tuple[Cell, int]]] = {}
    shapes: dict[str, Shape] = {}
    for cell in cells:
        if cell.config is not None:
            key, replicas = _key(cell)
            alike.setdefault(key, []).append((cell, replicas))
            if key not in shapes:
                shapes[key] = _shape(cell)
    return [pack for key, group in alike.items() for pack in _packed(group, shapes[key])]


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


def _key(cell: Cell) -> tuple[str, int]:
    """Return what cells of one program have in common, and how many replicas a cell has."""
    experiment = registry.experiment_of(cell.config)
    try:
        key = packing.key_of(experiment, cell.config)
        return f"{experiment.name} {key}", replica_count(experiment, cell.config)
    except Exception:  # it fails alone, when its turn comes
        return cell.name, 1


def _shape(cell: Cell) -> Shape:
    try:
        return packing.shape_of(registry.experiment_of(cell.config), cell.config)
    except Exception:  # a network that cannot be built fails alone, when its turn comes
        return Shape(1, 1.0)


def _packed(group: Sequence[tuple[Cell, int]], shape: Shape) -> list[Pack]:
    total, limit = sum(replicas for _, replicas in group), shape.max_replicas
    full = math.ceil(total / math.ceil(total / limit))
    packs: list[Pack] = []
    for cell, replicas in group:
        cost, last = replicas * shape.cost, packs[-1] if packs else None
        if last is None or last.replicas >= full or last.replicas + replicas > limit:
            packs.append(Pack((cell,), replicas, cost))
        else:
            packs[-1] = Pack((*last.cells, cell), last.replicas + replicas, last.cost + cost)
    return packs
