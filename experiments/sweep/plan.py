"""Plan a sweep: which cells train together, and in which shard.

The plan is a function of the sweep alone: all jobs of an array find the same plan at any time.
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
    """Cells of one program, with their replicas and cost, as in `Shape`."""

    cells: tuple[Cell, ...]
    replicas: int
    cost: float


def plan(cells: Sequence[Cell]) -> list[Pack]:
    """Return the packs of all valid cells, in the order of their first cells.

    Cells of one key are packed in order, into as few packs as possible, about equally full. A cell
    larger than a pack has its own.
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
    """Distribute packs over shards of about equal cost: the costliest first, to the cheapest shard.

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
    """Return the key of a cell's program, and its number of replicas."""
    experiment = registry.experiment_of(cell.config)
    try:
        key = packing.key_of(experiment, cell.config)
        return f"{experiment.name} {key}", replica_count(experiment, cell.config)
    except Exception:  # it will fail alone
        return cell.name, 1


def _shape(cell: Cell) -> Shape:
    try:
        return packing.shape_of(registry.experiment_of(cell.config), cell.config)
    except Exception:  # a network that cannot be built will fail alone
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
