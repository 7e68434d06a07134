"""Results kept in the repository, and the README tables made from them.

python -m pvr_jax.reporting.stored keep WORKDIR/EXPERIMENT[/RUN] DIRECTORY
python -m pvr_jax.reporting.stored fill README.md
"""

import re
import sys
from pathlib import Path

from pvr_jax.reporting import accuracy, unseen

# Experiments whose reports are still their own.
KEEPERS = {
    "unseen_domain": unseen.keep,
    "pointer_value": accuracy.keep,
}
_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def keep(source: Path, directory: Path) -> None:
    """Copy the small results of all runs of an experiment to `directory`.

    Raises:
        FileNotFoundError, ValueError: no finished run, or a damaged file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # An experiment's directory has its name, and so has the one around a run.
    for name in (source.resolve().name, source.resolve().parent.name):
        if name in KEEPERS:
            KEEPERS[name](source, directory)
            return


def fill(text: str, root: Path) -> str:
    """Return `text` with every marked table replaced by the stored one.

    A table stands between `<!-- table: PATH -->`, the path being relative to `root`, and
    `<!-- end of table -->`.
    """
    return _MARKED.sub(lambda match: f"{match[1]}{(root / match[2]).read_text()}{match[3]}", text)


def main(arguments: list[str]) -> None:
    """Run `keep RUN_OR_EXPERIMENT DIRECTORY` or `fill FILE`."""
    match arguments:
        case ["keep", source, directory]:
            keep(Path(source), Path(directory))
        case ["fill", name]:
            path = Path(name)
            path.write_text(fill(path.read_text(), path.parent))
        case _:
            raise SystemExit(f"arguments: given {arguments}; allowed: {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
