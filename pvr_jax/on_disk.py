"""Which data sets lie prepared on disk. Looked at before JAX or tensorflow_datasets is imported.

tensorflow_datasets, asked for data that are not there, tries the network for minutes.
"""

import importlib.util
import json
import os
from pathlib import Path

from pvr_jax.refusal import Refusal, shown

PACKAGES = ("tensorflow_datasets", "array_record")


def mnist(data_dir: str | None = None) -> Path:
    """Return the directory of MNIST as array_record, the newest version that is there.

    Args:
        data_dir: where tensorflow_datasets keeps it; None or "": TFDS_DATA_DIR, or
            ~/tensorflow_datasets.

    Raises ValueError where it is not prepared, or a package that reads it is not installed: one
    line, "source: given 'mnist'; allowed ...", that says how to mend that.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise Refusal(
                f"source: given 'mnist'; allowed with the package {package}, which "
                "./launch.sh setup tfds installs"
            )
    if data_dir is not None and not isinstance(data_dir, str):
        raise Refusal(f"data_dir: given {shown(data_dir)}; allowed the path of a directory")
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
    """Return the newest version of a data set that is there as array_record."""
    found = []
    for path in directory.glob("[0-9]*.[0-9]*.[0-9]*/dataset_info.json"):
        formats = json.loads(path.read_text())
        formats = [formats.get("fileFormat"), *formats.get("alternativeFileFormats", [])]
        if "array_record" in formats and (path.parent / "features.json").exists():
            found.append(path.parent)
    return max(found, key=lambda path: [int(part) for part in path.name.split(".")], default=None)
