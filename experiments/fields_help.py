"""Help on a configuration: its description, and its fields with the comments of configs/."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

import configs

WIDTH = 96
# A field: `"seeds": 3,  # comment` or `seeds=3,  # comment`; a section: `"train": …`, `def train(`.
FIELD = re.compile(r'^\s+"?(\w+)"?(?::|=)[^#]*?(?:#\s*(.*))?$')
SECTION = re.compile(r'^(?:\s+"(\w+)": (?:\{|sections)|def (\w+)\()')
COMMENT = re.compile(r"^\s+#\s*(.*)$")
IMPORT = re.compile(r"^from configs import (\w+)", re.MULTILINE)


def description(file: Path) -> str:
    """Return the docstring of a configuration's file, which lists the choices after the colon."""
    return ast.get_docstring(ast.parse(next(_sources(file), ""))) or f"{file} has no docstring."


def fields_help(config: ConfigDict, file: Path) -> str:
    """Return every field of a configuration: its flag, value and meaning.

    Args:
        config: the configuration.
        file: its file; comments of imported files of configs/ count too.
    """
    comments: dict[tuple[str, str], str] = {}
    for source in _sources(file):
        for section, field, comment in _comments(source):
            comments.setdefault((section, field), comment)
    lines = []
    for section, value in config.items():
        fields = value if isinstance(value, ConfigDict) else {"": value}
        for name, own in fields.items():
            place = (section, name) if name else ("", section)
            shown = ",".join(map(str, own)) if isinstance(own, tuple) else str(own)
            lines.append(f"--config.{'.'.join(filter(None, (section, name)))}={shown}")
            lines += textwrap.wrap(
                comments.get(place, ""), WIDTH, initial_indent="    ", subsequent_indent="    "
            )
    return "\n".join(lines)


def _sources(file: Path) -> Iterator[str]:
    """Yield a file and the files of configs/ that it imports, each once, itself first."""
    waiting, known = [file], set()
    while waiting:
        path = waiting.pop(0)
        if path.resolve() not in known and path.is_file():
            known.add(path.resolve())
            yield (source := path.read_text(encoding="utf-8"))
            places = [Path(place) for place in configs.__path__]
            waiting += [place / f"{name}.py" for name in IMPORT.findall(source) for place in places]


def _comments(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, field and comment; a comment continues in lines with nothing else."""
    section = field = comment = ""
    for line in [*source.splitlines(), ""]:
        if comment and (more := COMMENT.match(line)):
            comment += f" {more[1]}"
            continue
        if comment:
            yield section, field, comment
        field = comment = ""
        if found := SECTION.match(line):
            section = found[1] or found[2]
        elif found := FIELD.match(line):
            field, comment = found[1], found[2] or ""
