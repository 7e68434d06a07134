"""The table of results as LaTeX."""

import pandas as pd

from pvr_jax.reporting.tables import display_table, escape_latex, group_titles, table_notes


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
