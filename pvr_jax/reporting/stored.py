"""Results kept in the repository, and the README tables made from them.

python -m pvr_jax.reporting.stored keep WORKDIR/EXPERIMENT/RUN DIRECTORY
python -m pvr_jax.reporting.stored fill README.md
"""

import re
import shutil
import sys
from pathlib import Path

from pvr_jax.reporting import drawing, figures
from pvr_jax.reporting.reading import read_run
from pvr_jax.reporting.tables import render_text, replica_table, summary_table

KEPT = ("config.json", "run.json")
FIGURE = "error_against_influence.png"
_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def keep(run: Path, directory: Path) -> None:
    """Copy the small results of one finished run to `directory`.

    Kept are the table, every replica's final values, the figure of errors, the configuration, and
    run.json with versions, device and command; not the checkpoints.

    Raises:
        FileNotFoundError, ValueError: no finished run, or a damaged file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    found = read_run(run)
    table = summary_table([found])
    table.to_csv(directory / "table.csv", index=False, lineterminator="\n")
    replica_table([found]).to_csv(directory / "replicas.csv", index=False, lineterminator="\n")
    (directory / "table.md").write_text(_rows(render_text(table)))
    for name in KEPT:
        shutil.copyfile(run / name, directory / name)
    with drawing.style(FIGURE):
        figure = figures.error_against_influence([found], table)
        figure.savefig(directory / FIGURE, dpi=160)


def fill(text: str, root: Path) -> str:
    """Return `text` with every marked table replaced by the stored one.

    A table stands between `<!-- table: PATH -->`, the path being relative to `root`, and
    `<!-- end of table -->`.
    """
    return _MARKED.sub(lambda match: f"{match[1]}{(root / match[2]).read_text()}{match[3]}", text)


def _rows(text: str) -> str:
    """Return the lines of a rendered table that are table, without titles and notes."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("|"))


def main(arguments: list[str]) -> None:
    """Run `keep RUN DIRECTORY` or `fill FILE`."""
    match arguments:
        case ["keep", run, directory]:
            keep(Path(run), Path(directory))
        case ["fill", name]:
            path = Path(name)
            path.write_text(fill(path.read_text(), path.parent))
        case _:
            raise SystemExit(f"arguments: given {arguments}; allowed: {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
