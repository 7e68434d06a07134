"""The table of results as LaTeX."""

import pandas as pd

from pvr_jax.reporting.tables import display_table, group_titles, table_notes

_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "½": r"$\frac{1}{2}$",
}


def render_latex(table: pd.DataFrame) -> str:
    """Return a summary table as a LaTeX tabular with booktabs rules, the notes as comments."""
    shown = display_table(table)
    count = len(shown.columns)
    lines = ["% needs \\usepackage{booktabs}"]
    lines += [f"% {note}" for note in table_notes(table)]
    lines += [f"\\begin{{tabular}}{{{'r' * count}}}", "\\toprule"]
    lines += [" & ".join(escape_latex(c) for c in shown.columns) + r" \\"]
    for title, index in group_titles(table):
        lines += ["\\midrule", f"\\multicolumn{{{count}}}{{l}}{{{escape_latex(title)}}} \\\\"]
        for row in shown.loc[index].to_numpy().tolist():
            lines.append(" & ".join(_number(cell) for cell in row) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}", ""]
    return "\n".join(lines)


def _number(cell: str) -> str:
    return escape_latex(cell.replace("-", "−"))


def escape_latex(text: str) -> str:
    """Return `text` with the characters that LaTeX treats specially escaped."""
    return "".join(_LATEX_ESCAPES.get(character, character) for character in text)
