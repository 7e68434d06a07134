"""What arms, tasks and the panels of figures are called, so short that they still differ."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pvr_jax.number_text import exact
from pvr_jax.reporting.accuracy.cells import Arm, Cell, arms_of
from pvr_jax.reporting.labels import short_labels


def arm_labels(cells: Sequence[Cell]) -> dict[Arm, str]:
    """Return a label of every arm: the model, and what tells it apart from others of its task.

    Learning rate, init scale, source of samples, holdouts, optimizer and at last the digits of the
    configuration are added where two arms of one task would have the same label. Of runs that have
    no cell in common the digits are not needed: their tasks or sizes tell them apart.
    """
    arms = arms_of(cells)
    first = {arm: own[0] for arm, own in arms.items()}
    models = short_labels(cell.model_label for cell in first.values())
    labels = {arm: models[cell.model_label] for arm, cell in first.items()}
    settings: tuple[Callable[[Arm], str], ...] = (
        lambda arm: f"rate {exact(arm.learning_rate)}",
        lambda arm: f"init scale {exact(arm.init_scale)}",
        lambda arm: "fresh samples" if first[arm].is_fresh else "",
        lambda arm: "holdouts" if any(cell.subtask.withheld for cell in arms[arm]) else "",
        lambda arm: first[arm].optimizer,
        lambda arm: arm.directory.name.rsplit("-", 1)[-1],
    )
    for setting in settings:
        alike: dict[tuple[str, str], list[Arm]] = {}
        for arm, label in labels.items():
            alike.setdefault((first[arm].task_label, label), []).append(arm)
        for group in alike.values():
            words = {arm: setting(arm) for arm in group}
            if setting is settings[-1] and not _have_a_cell_in_common([arms[a] for a in group]):
                continue
            if len(set(words.values())) > 1:
                labels |= {a: ", ".join(filter(None, (labels[a], words[a]))) for a in group}
    return labels


def _have_a_cell_in_common(groups: Sequence[Sequence[Cell]]) -> bool:
    keys = [{(cell.subtask, cell.samples) for cell in own} for own in groups]
    return sum(map(len, keys)) > len(set().union(*keys))


def task_labels(cells: Iterable[Cell]) -> dict[str, str]:
    """Return, for every task in words, a short form: up to a comma or parenthesis if that will do.

    "token PVR, bounded pointer" becomes "token PVR" where no other task becomes the same.
    """
    full = list(dict.fromkeys(cell.task_label for cell in cells))
    short = {label: re.split(r" ?[,(]", label)[0] for label in full}
    counts = Counter(short.values())
    return {label: text if counts[text] == 1 else label for label, text in short.items()}


def panel_title(arm: Arm, words: Sequence[str], cells: Sequence[Cell], width: float = 3.1) -> str:
    """Return the title of a panel of `width` inches: the arm if there are others, and `words`.

    Lines are broken between these where they would be too long.
    """
    labels = arm_labels(cells)
    parts = [labels[arm]] if len(labels) > 1 else []
    parts += [word for word in words if word]
    lines = [""]
    for part in parts or [labels[arm]]:
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(longer) > 15 * width:
            lines.append(part)
        else:
            lines[-1] = longer
    return ",\n".join(lines)
