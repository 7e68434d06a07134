"""The documents of the repository, and how a link finds a heading in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Those whose blocks are carried out, and all others that are written by hand.
GUIDES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*/README.md")),
]
DOCUMENTS = [*GUIDES, *sorted(set(ROOT.glob("*.md")) - set(GUIDES))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in DOCUMENTS}
_BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def blocks(text):
    """Return (line number, language, content) of every block of a document."""
    return [(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in _BLOCK.finditer(text)]


def prose(text):
    """Return a document without its blocks."""
    return _BLOCK.sub("", text)


def anchors(text):
    """Return what links to the headings of a document end with, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
