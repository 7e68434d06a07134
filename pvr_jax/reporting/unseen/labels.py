"""Short names for the tasks, models and monomials of a study on unseen domains."""

from collections.abc import Callable, Sequence

from pvr_jax.reporting.labels import consecutive, natural, short_labels
from pvr_jax.reporting.unseen.runs import Cell

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

# What tells two models of one name apart on a task, tried in this order.
_SETTINGS: tuple[Callable[[Cell], str], ...] = (
    lambda cell: cell.size,
    lambda cell: cell.directory.name.rsplit("-", 1)[-1],
)


def monomial_text(coordinates: tuple[int, ...]) -> str:
    """Return the product of the coordinates, such as x₀x₁ or x₀…x₁₄; the empty one is 1."""
    if not coordinates:
        return "1"
    names = [
        [f"x{str(i).translate(_SUBSCRIPTS)}" for i in part] for part in consecutive(coordinates)
    ]
    return "".join(f"{n[0]}…{n[-1]}" if len(n) > 3 else "".join(n) for n in names)


def task_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return, by the name of a cell, its published setting, or the target where it has none.

    Equal names of different domains get the number of bits and the seen inputs added.
    """
    names = {cell.name: _product(cell.setting or cell.task_label) for cell in cells}
    domains: dict[str, set[tuple[object, ...]]] = {}
    for cell in cells:
        domains.setdefault(names[cell.name], set()).add(_domain(cell))
    return {
        cell.name: f"{names[cell.name]} (n = {cell.n}, seen: {_product(cell.seen)})"
        if len(domains[names[cell.name]]) > 1
        else names[cell.name]
        for cell in cells
    }


def task_notes(cells: Sequence[Cell]) -> list[str]:
    """Return a note per task: target, number of bits, what was seen, how it was evaluated."""
    names = task_names(cells)
    notes = {}
    for cell in in_order(cells):
        evaluated = "every input is evaluated"
        if not cell.exact:
            points = "" if cell.points is None else f"{cell.points:,} ".replace(",", "\u2009")
            evaluated = f"evaluated on {points}random inputs"
        notes.setdefault(
            names[cell.name],
            f"{names[cell.name]}: {_product(cell.task_label)} on n = {cell.n} bits; seen: "
            f"{_product(cell.seen) or '–'}; {evaluated}.",
        )
    return list(notes.values())


def arm_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return, by the name of a cell, a label of the model that was trained.

    Of models of one name that were trained on a task by several optimizers, these are part of the
    label. Cells of one label never share task, learning rate and init scale: where two would, the
    size, then the digits of the configuration are added to all labels.
    """
    labels, tasks = model_names(cells), task_names(cells)
    trained = {(labels[c.name], tasks[c.name], c.optimizer) for c in cells}
    if len(trained) > len({(label, task) for label, task, _ in trained}):
        labels = _longer(cells, labels, lambda cell: cell.optimizer)
    for setting in _SETTINGS:
        if not _clashes(cells, labels):
            break
        longer = _longer(cells, labels, setting)
        if _clashes(cells, longer) < _clashes(cells, labels):
            labels = longer
    return labels


def _longer(
    cells: Sequence[Cell], labels: dict[str, str], setting: Callable[[Cell], str]
) -> dict[str, str]:
    return {c.name: ", ".join(filter(None, (labels[c.name], setting(c)))) for c in cells}


def model_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return, by the name of a cell, its model with those parameters in which models differ.

    Without configurations that differ, the short form of the model's label.
    """
    short = short_labels(cell.model_label for cell in cells)
    names = {}
    for cell in cells:
        own = _parameters(cell)
        others = [_parameters(other) for other in cells if other.model == cell.model]
        shown = [
            f"{key}={value}"
            for key, value in own.items()
            if any(other.get(key) != value for other in others)
        ]
        names[cell.name] = (
            f"{cell.model} ({', '.join(shown)})" if shown else short[cell.model_label]
        )
    return names


def _parameters(cell: Cell) -> dict[str, object]:
    section = cell.config.get("model")
    return section if isinstance(section, dict) else {}


def in_order(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells by task, model, learning rate and init scale."""
    tasks, arms = task_names(cells), arm_names(cells)
    return sorted(
        cells,
        key=lambda cell: (
            natural(tasks[cell.name]),
            natural(arms[cell.name]),
            cell.learning_rate or 0.0,
            cell.init_scale or 0.0,
            cell.name,
        ),
    )


def _clashes(cells: Sequence[Cell], labels: dict[str, str]) -> int:
    tasks = task_names(cells)
    keys = [(labels[c.name], tasks[c.name], c.learning_rate, c.init_scale) for c in cells]
    return len(keys) - len(set(keys))


def _domain(cell: Cell) -> tuple[object, ...]:
    return cell.task_label, cell.n, cell.seen


def _product(text: str) -> str:
    # An asterisk would start italics in Markdown, a bar would end a cell.
    return text.replace("**", "^").replace("*", "·").replace("|", "or")
