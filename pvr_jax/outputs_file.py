"""Outputs of networks in an .npz file that is written and read in pieces.

They need not fit into memory: a hundred spectra of n = 20 are 800 MB in float64.
"""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

# Files of earlier versions have the second.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class OutputsFile:
    """A file of the functions that replicas learned.

    Args:
        name: name of the file, such as "spectra.npz".
        array: name of its array [S, R, N] in float32, or [S, R, N, 2] of estimates with their
            standard errors; the file also has `step` [S].
        of: maps the outputs [r, N] to the kept rows.
    """

    name: str
    array: str
    of: Callable[[np.ndarray], np.ndarray] = np.asarray

    def read_last(self, directory: Path) -> Iterator[np.ndarray]:
        """Yield the last row [N] of each replica, in float64."""
        with (
            zipfile.ZipFile(directory / self.name) as archive,
            archive.open(f"{self.array}.npy") as numbers,
        ):
            version = np.lib.format.read_magic(numbers)
            (*steps, replicas, size), _, dtype = HEADERS[version](numbers)
            before = (int(np.prod(steps, dtype=int)) - 1) * replicas * size
            numbers.seek(before * dtype.itemsize, 1)
            for _ in range(replicas):
                row = numbers.read(size * dtype.itemsize)
                yield np.frombuffer(row, dtype).astype(np.float64)


class Writer:
    """Collects rows of consecutive replicas, step by step; `finish` writes the file."""

    def __init__(
        self, file: OutputsFile, directory: Path, replicas: int, beside: Mapping[str, Any]
    ) -> None:
        self._file, self._directory = file, directory
        self._replicas, self._beside = replicas, beside
        self._shape: tuple[int, ...] = ()
        self._steps: list[int] = []
        self._numbers: IO[bytes]

    def __enter__(self) -> Self:
        self._numbers = tempfile.TemporaryFile(dir=self._directory)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._numbers.close()

    def append(self, step: int, outputs: np.ndarray) -> None:
        """Add the outputs [r, N] of the next replicas at a step."""
        if step not in self._steps:
            self._steps.append(step)
        rows = np.ascontiguousarray(self._file.of(outputs), np.float32)
        self._shape = rows.shape[1:]
        self._numbers.write(rows.data)

    def finish(self) -> None:
        """Write the file."""
        self._numbers.flush()
        shape = (len(self._steps), self._replicas, *self._shape)
        rows = np.memmap(self._numbers, np.float32, "r", shape=shape)
        temporary = self._directory / f".{self._file.name}.{os.getpid()}.npz"
        arrays = {self._file.array: rows, "step": self._steps, **self._beside}
        np.savez(temporary, **arrays)
        temporary.replace(self._directory / self._file.name)
