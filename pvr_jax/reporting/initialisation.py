"""Where the error moves as networks start smaller: one column per init exponent."""

import math

import pandas as pd

from pvr_jax.number_text import exact
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
# What else tells two runs of one model apart, and how a name says it.
_SETTINGS = {
    "optimizer": str,
    "learning_rate": lambda rate: f"learning rate {exact(rate)}",
    "init_scale": lambda scale: f"init scale {exact(scale)}",
    "size": str,
}
READING = (
    "Generalization errors with their 95 % intervals by the init exponent α: weights and biases "
    "start uniform in ±fan_in^−α (α = 0.5 is PyTorch's), so networks start smaller to the right. "
    "On the left the exact ends of the way: the influence, which the low-degree hypothesis "
    "predicts, and the error of linear regression. Marks are those of the comparison."
)


def exponents(cells: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Return, by the name of the run, what is called a model but for its init exponent, and that.

    Only of scans, three exponents or more of what else is the same: model, optimizer, learning
    rate, init scale and size. The name says those of them in which scans of one model differ. Where
    runs of one exponent have a task and bit in common, they differ in something else, and nobody
    knows which of them belong together: these are no scan.
    """
    parts = {label: _without_exponent(label) for label in cells["model_in_full"].unique()}
    models = short_labels(dict.fromkeys(name for name, _ in parts.values()))
    rows = cells.assign(
        rest=cells["model_in_full"].map(lambda label: models[parts[label][0]]),
        alpha=cells["model_in_full"].map(lambda label: parts[label][1]),
    ).dropna(subset="alpha")
    groups = {
        key: own
        for key, own in rows.groupby(["rest", *_SETTINGS], dropna=False, sort=False)
        if own["alpha"].nunique() >= FEWEST_EXPONENTS
        and not own.duplicated(["alpha", "task_label", "frozen_bit"]).any()
    }
    found = {}
    for key, own in groups.items():
        alike = [other for other in groups if other[0] == key[0]]
        words = [
            write(value)
            for i, (value, write) in enumerate(zip(key[1:], _SETTINGS.values(), strict=True), 1)
            if not pd.isna(value) and len({str(other[i]) for other in alike}) > 1
        ]
        name = ", ".join([key[0], *words])
        found |= {run: (name, alpha) for run, alpha in zip(own["run"], own["alpha"], strict=True)}
    return found


def _without_exponent(label: str) -> tuple[str, float]:
    """Return the label of a model without its init exponent, and that; NaN if it has none."""
    name, parameters = split_label(label)
    rest = [item for item in parameters if not item.startswith("alpha=")]
    given = [item.partition("=")[2] for item in parameters if item.startswith("alpha=")]
    name += f" ({', '.join(rest)})" if rest else ""
    return name, float(given[0]) if given else math.nan


def initialisation_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row of text per task, frozen bit and model, with a column per init exponent.

    `cells` are the comparison's; empty where there is no scan of `exponents`.
    """
    found = exponents(cells)
    if not found:
        return pd.DataFrame()
    names = sorted({name for name, _ in found.values()}, key=natural)
    scanned = cells[cells["run"].isin(found)]
    alphas = sorted({alpha for _, alpha in found.values()})
    regression = f"{PREDICTION}{REGRESSION}"
    rows = []
    for (task, bit), group in scanned.groupby(["task_short", "frozen_bit"], sort=False):
        of_cell = cells[(cells["task_short"] == task) & (cells["frozen_bit"] == bit)]
        places = group["run"].map(found)
        by_place = dict(zip(places, error_texts(group), strict=True))
        predicted = {"influence": format_exact(group["influence"].iloc[0])}
        if regression in cells:
            predicted[heading(REGRESSION)] = format_number(of_cell[regression].mean())
        for name in [name for name in names if any(name == of for of, _ in by_place)]:
            errors = {
                f"α = {exact(alpha)} [95 %]": by_place.get((name, alpha), f"{MISSING}  ")
                for alpha in alphas
            }
            row = {"task": task, "frozen bit": str(bit), "model": name}
            rows.append(row | predicted | errors)
    table = pd.DataFrame(rows)
    table["task"] = first_of_each(table, "task")
    return table


def render_initialisation(table: pd.DataFrame) -> str:
    """Return the table as aligned Markdown with a title and how to read it."""
    title = "### From linear regression to the influence\n"
    return "\n".join([title, render_markdown(table), READING, ""])
