"""Sentences that set models beside each other, by the cells that all of a group have."""

from collections.abc import Sequence

import numpy as np

from pvr_jax.reporting.accuracy.cells import Arm, Cell, arms_of
from pvr_jax.reporting.accuracy.labels import arm_labels, task_labels
from pvr_jax.reporting.accuracy.shown import percent_interval
from pvr_jax.reporting.accuracy.verdicts import (
    SIMULTANEOUS,
    all_fitted,
    by_seed,
    not_told_apart,
)
from pvr_jax.reporting.labels import joined
from pvr_jax.reporting.tables import seeds_text
from pvr_jax.results import statistics


def model_findings(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Return the models beside each other, by the cells that all of a group have."""
    labels, short, found = arm_labels(cells), task_labels(cells), []
    for task in dict.fromkeys(cell.task_label for cell in cells):
        groups: list[dict[Arm, dict[tuple[object, ...], Cell]]] = []
        for arm, own in arms_of([c for c in cells if c.task_label == task]).items():
            keyed = {(c.subtask, c.samples, c.is_fresh): c for c in own}
            for group in groups:
                common = set(keyed).intersection(*(other.keys() for other in group.values()))
                models = {next(iter(o.values())).model_label for o in group.values()}
                if common and own[0].model_label not in models:
                    group[arm] = keyed
                    break
            else:
                groups.append({arm: keyed})
        for group in groups:
            if len(group) < 2:
                continue
            first = next(iter(group.values()))
            common = [key for key in first if all(key in other for other in group.values())]
            for part in ("iid", "withheld"):
                if text := _model_sentence(group, common, labels, f"{part}_accuracy"):
                    name = "i.i.d." if part == "iid" else "withheld"
                    found.append((f"Models on {short[task]}, {name} accuracy", text))
    return found


def _model_sentence(group: dict, common: list, labels: dict[Arm, str], name: str) -> str:
    """Return the models' mean accuracies over common cells, best first; "" without any."""
    known = [
        key
        for key in common
        if any(np.isfinite(own[key].final(name)).any() for own in group.values())
    ]
    if not known:
        return ""
    seeds = sorted({seed for own in group.values() for key in known for seed in own[key].seeds})
    compared = {arm: [own[key] for key in known] for arm, own in group.items()}
    values = {
        arm: by_seed(own, seeds, lambda cell: cell.final(name)) for arm, own in compared.items()
    }
    order = sorted(values, key=lambda arm: -statistics.mean_over_cells(values[arm]))
    shown = []
    for arm in order:
        mean = statistics.mean_over_cells(values[arm])
        interval = statistics.interval_over_seeds(values[arm], "unit")
        seeds_shown = seeds_text(statistics.seed_means(values[arm]), percent=True)
        shown.append(f"{labels[arm]} {percent_interval(mean, *interval)} %{seeds_shown}")
    cells = "the one cell" if len(known) == 1 else f"the {len(known)} cells"
    return (
        f"Means over {cells} that all have, by their size: {joined(shown)}. Intervals are over "
        f"seeds. {_best(compared, [values[arm] for arm in order], [labels[a] for a in order])}"
    )


def _best(
    compared: dict[Arm, list[Cell]], values: Sequence[np.ndarray], names: Sequence[str]
) -> str:
    """Return which of some arms, by their means, is the most accurate, as far as it is shown."""
    unfinished = sum(not all_fitted(cells) for cells in compared.values())
    if unfinished:
        return (
            f"The fit of {unfinished} of {len(compared)} models is not finished everywhere, so "
            "there is no verdict on which is the most accurate."
        )
    places = not_told_apart(values)
    others = [names[place] for place in places[1:]]
    if others:
        return f"{names[places[0]]} is not told apart from {joined(others)} (paired over seeds)."
    return f"{names[places[0]]} is the most accurate (paired over seeds, {SIMULTANEOUS})."
