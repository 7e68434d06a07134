"""What takes the place of an environment, and reads what was recorded."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = ("", "cuda", "tpu", "tfds", "test", "torch", "bench")


def write_program(path, text):
    """Write a shell script that can be called by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}")
    path.chmod(0o755)


def environment_of(place, python, root=ROOT):
    """Make what launch.sh takes for a finished environment; its Python is the given script."""
    write_program(place / "bin" / "python", python)
    files = [(root / name).read_bytes() for name in ("requirements.lock", "setup.py")]
    stamp = subprocess.run(["cksum"], input=b"".join(files), capture_output=True, check=True)
    for extra in EXTRAS:
        (place / f"installed-{extra}").write_bytes(stamp.stdout)
    return place


def arguments_in(path):
    """Return the words that a recording program was called with."""
    return Path(path).read_text().split("\0")[:-1]


def one_line_error(done):
    """Return the error that launch.sh ended with; it has to be one line, and the status 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line
