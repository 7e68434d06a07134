"""Check paths of data sets and results, before JAX is imported.

tensorflow_datasets would try the network for minutes if data are missing.
"""

import errno
import importlib.util
import json
import os
import re
import stat
import tempfile
from pathlib import Path

from pvr_jax.refusal import Refusal, format_value

LONGEST_NAME = 255  # bytes, of a file or directory
PACKAGES = ("tensorflow_datasets", "array_record")


def directory_for_results(name: str, given: str, *, writable: bool = True) -> Path:
    """Return a directory for results, which need not exist; "~" is expanded.

    Args:
        name: the flag or parameter, for the message, such as "--workdir".
        given: its value.
        writable: whether this machine must be able to write there.

    Raises:
        Refusal: a URL such as s3://…, a file or device, or a directory that cannot be written.
    """
    allowed = "allowed a directory on this machine, such as runs"
    if not given.strip():
        raise Refusal(f"{name}: given nothing; {allowed}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", given):
        raise Refusal(
            f"{name}: given {given!r}; allowed local paths only, such as runs: mount a bucket first"
        )
    try:
        directory = Path(given).expanduser()
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in directory.parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        there = directory.absolute()
        while (is_directory := _is_directory(there)) is None:
            there = there.parent
        if is_directory and writable:  # try it: permissions of the superuser say nothing
            tempfile.TemporaryDirectory(dir=there).cleanup()
    except (OSError, RuntimeError) as error:  # RuntimeError: "~" of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"{name}: given {given!r}, which cannot be ({reason}); {allowed}") from error
    if not is_directory:
        named = "which is" if there == directory.absolute() else f"and {there} is"
        raise Refusal(f"{name}: given {given!r}, {named} no directory; {allowed}")
    return directory


def _is_directory(path: Path) -> bool | None:
    """Return whether a path is a directory; None if it does not exist."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False if path.is_symlink() else None  # a broken link


def mnist(data_dir: str | None = None) -> Path:
    """Return the directory of the newest version of MNIST prepared as array_record.

    Args:
        data_dir: directory of tensorflow_datasets; None or "": TFDS_DATA_DIR, or
            ~/tensorflow_datasets.

    Raises:
        Refusal: it is not prepared, or a package that reads it is missing; the message says how to
            fix that.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise Refusal(
                f"source: given 'mnist'; allowed with the package {package}, which "
                "./launch.sh setup tfds installs"
            )
    if not isinstance(data_dir, str | os.PathLike | None):
        raise Refusal(f"data_dir: given {format_value(data_dir)}; allowed the path of a directory")
    given = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    directory = Path(given).expanduser().absolute()
    found = _prepared(directory / "mnist")
    if found is None:
        raise Refusal(
            f"source: given 'mnist'; allowed where it is prepared as array_record, which "
            f"{directory}/mnist is not; once, with the network: python -m venv prepare && "
            "prepare/bin/pip install tensorflow tensorflow-datasets importlib_resources && "
            'prepare/bin/python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('mnist', file_format='array_record', data_dir='{directory}')"
            '.download_and_prepare()"'
        )
    return found


def _prepared(directory: Path) -> Path | None:
    """Return the newest version of a data set that is prepared as array_record."""
    found = []
    for path in directory.glob("[0-9]*.[0-9]*.[0-9]*/dataset_info.json"):
        formats = json.loads(path.read_text())
        formats = [formats.get("fileFormat"), *formats.get("alternativeFileFormats", [])]
        if "array_record" in formats and (path.parent / "features.json").exists():
            found.append(path.parent)
    return max(found, key=lambda path: [int(part) for part in path.name.split(".")], default=None)
