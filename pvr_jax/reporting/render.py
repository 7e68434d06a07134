"""Render tables as Markdown, LaTeX, CSV, and for a terminal."""

import io
import re
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable

from pvr_jax.reporting.exhibits import Made

TERMINAL_WIDTH = 100
DIGITS = 12  # of a number in CSV; further digits of a mean depend on the processor
_NUMBER = re.compile(r"^[−\-–\d]")


def markdown(table: Made) -> str:
    """Return a table in Markdown, without its title."""
    cells = [[_in_markdown(cell.text) for cell in row] for row in table.rows]
    headings = [_in_markdown(heading) for heading in table.headings]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    right = numeric(table)
    rules = [
        f"{'-' * (w + 1)}:" if r else f":{'-' * (w + 1)}"
        for w, r in zip(widths, right, strict=True)
    ]
    lines = ["|".join(["", *rules, ""])]
    for row in (headings, *cells):
        padded = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right, strict=True)
        ]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join([lines[1], lines[0], *lines[2:]]) + "\n"


def csv(table: Made) -> str:
    """Return the numbers of a table, with the bounds of intervals."""
    numbers = table.frame.map(lambda x: float(f"{x:.{DIGITS}g}") if isinstance(x, float) else x)
    return numbers.to_csv(index=False, lineterminator="\n")


def latex(table: Made, name: str) -> str:
    """Return a LaTeX table with its caption, label and notes, at most as wide as the text.

    A document needs the packages booktabs and graphicx.
    """
    alignment = "".join("r" if right else "l" for right in numeric(table))
    rows = [" & ".join(_in_latex(cell.text) for cell in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_in_latex(table.title)}}}",
            rf"\label{{tab:{name}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(map(_in_latex, table.headings)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\begin{flushleft}\footnotesize",
            *(rf"{_in_latex(note)}\par" for note in table.notes),
            r"\end{flushleft}",
            r"\end{table}",
            "",
        ]
    )


def terminal(table: Made, brief: Sequence[str] = (), width: int = TERMINAL_WIDTH) -> str:
    """Return a table for a terminal: as many columns, from the left, as fit.

    Args:
        table: the table.
        brief: headings to show, besides the keys; by default all.
        width: columns of the terminal.
    """
    chosen = [i for i, h in enumerate(table.headings) if i < table.keys or not brief or h in brief]
    while len(chosen) > 1 and _width(table, chosen) > width:
        chosen.pop()
    right = numeric(table)
    drawn = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False)
    for i in chosen:
        drawn.add_column(
            table.headings[i], justify="right" if right[i] else "left", overflow="fold"
        )
    for row in table.rows:
        drawn.add_row(*(row[i].text.strip() for i in chosen))
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, color_system=None).print(drawn)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _width(table: Made, chosen: Sequence[int]) -> int:
    columns = [[table.headings[i], *(row[i].text.strip() for row in table.rows)] for i in chosen]
    return sum(max(map(len, column)) + 2 for column in columns)


def numeric(table: Made) -> list[bool]:
    """Return which columns are numeric, and so right-aligned."""
    return [
        all(_NUMBER.match(row[i].text.strip() or "0") for row in table.rows)
        for i in range(len(table.headings))
    ]


def _in_markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {character: f"${character}$" for character in "<>|"}
_LATEX |= {"−": "$-$", "–": "--", "…": r"\dots{}", "\u2009": r"\,", "²": "$^2$", "½": r"$\frac12$"}
_LATEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$", "◇": r"$\diamond$"}
_LATEX |= {"±": r"$\pm$", "·": r"$\cdot$", "×": r"$\times$", "≥": r"$\ge$", "≤": r"$\le$"}
_LATEX |= {"∪": r"$\cup$", "α": r"$\alpha$", "δ": r"$\delta$", "σ": r"$\sigma$"}
_LATEX |= {"ρ̂": r"$\hat\rho$", "ρ": r"$\rho$"}
_LATEX |= {digit: f"$_{i}$" for i, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")}
_SPECIAL = re.compile("|".join(map(re.escape, _LATEX)))


def _in_latex(text: str) -> str:
    escaped = _SPECIAL.sub(lambda found: _LATEX[found[0]], text.strip())
    return re.sub(r"(?<![\w-])-(?=[\d.])", "$-$", escaped)
