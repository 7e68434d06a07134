"""Where the error moves as networks start smaller: one column per init exponent."""

from collections import Counter

import pandas as pd

from pvr_jax.reporting.comparison import error_texts
from pvr_jax.reporting.definitions import heading
from pvr_jax.reporting.labels import natural, short_labels, split_label
from pvr_jax.reporting.tables import (
    MISSING,
    PREDICTION,
    first_of_each,
    format_exact,
    format_number,
    render_markdown,
)

REGRESSION = "linear_regression"
FEWEST_EXPONENTS = 3
READING = (
    "Generalization errors with their 95 % intervals by the init exponent α: weights and biases "
    "start uniform in ±fan_in^−α (α = 0.5 is PyTorch's), so networks start smaller to the right. "
    "On the left the exact ends of the way: the influence, which the low-degree hypothesis "
    "predicts, and the error of linear regression. Marks are those of the comparison."
)


def exponents(cells: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Return, by model label, the label without its init exponent, and that exponent.

    Only of models that a study has with three exponents or more.
    """
    found = {}
    for label in cells["model_label"].unique():
        name, parameters = split_label(label)
        rest = [item for item in parameters if not item.startswith("alpha=")]
        for item in parameters:
            if item.startswith("alpha="):
                found[label] = (f"{name} ({', '.join(rest)})", float(item.partition("=")[2]))
    counts = Counter(name for name, _ in found.values())
    return {label: pair for label, pair in found.items() if counts[pair[0]] >= FEWEST_EXPONENTS}


def initialisation_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per task, frozen bit and model, with a column per init exponent.

    `cells` are the comparison's; empty where no model has three exponents.
    """
    found = exponents(cells)
    if not found:
        return pd.DataFrame()
    names = short_labels(dict.fromkeys(name for name, _ in found.values()))
    scanned = cells[cells["model_label"].isin(found)]
    alphas = sorted({alpha for _, alpha in found.values()})
    regression = f"{PREDICTION}{REGRESSION}"
    rows = []
    for (task, bit), group in scanned.groupby(["task_short", "frozen_bit"], sort=False):
        of_cell = cells[(cells["task_short"] == task) & (cells["frozen_bit"] == bit)]
        texts = dict(zip(group["model_label"], error_texts(group), strict=True))
        by_place = {found[label]: text for label, text in texts.items()}
        exact = {"influence": format_exact(group["influence"].iloc[0])}
        if regression in cells:
            exact[heading(REGRESSION)] = format_number(of_cell[regression].mean())
        for name in sorted(names, key=natural):
            errors = {
                f"α = {alpha:g} [95 %]": by_place.get((name, alpha), f"{MISSING}  ")
                for alpha in alphas
            }
            row = {"task": task, "frozen bit": str(bit), "model": names[name]}
            rows.append(row | exact | errors)
    table = pd.DataFrame(rows)
    table["task"] = first_of_each(table, "task")
    return table


def render_initialisation(table: pd.DataFrame) -> str:
    """Return the table as aligned Markdown with a title and how to read it."""
    title = "### From linear regression to the influence\n"
    return "\n".join([title, render_markdown(table), READING, ""])
