"""spectra.npz, written piece by piece: all spectra together need not fit into memory."""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np


class SpectraFile:
    """Collects spectra [r, 2^n] of consecutive replicas, step after step, in float32.

    `finish` makes spectra.npz of them: `step` [S], `coefficients` [S, R, 2^n] and further arrays.
    Until then nothing is in its place.
    """

    def __init__(self, directory: Path, replicas: int, n: int) -> None:
        self._directory = directory
        self._shape = (replicas, 2**n)
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

    def append(self, step: int, coefficients: np.ndarray) -> None:
        """Add the spectra of the next replicas at a step."""
        if step not in self._steps:
            self._steps.append(step)
        self._numbers.write(np.ascontiguousarray(coefficients, np.float32).data)

    def finish(self, **arrays: Any) -> None:
        """Write spectra.npz with everything appended, and `arrays` beside it."""
        self._numbers.flush()
        shape = (len(self._steps), *self._shape)
        coefficients = np.memmap(self._numbers, np.float32, "r", shape=shape)
        temporary = self._directory / f".spectra.{os.getpid()}.npz"
        np.savez(temporary, coefficients=coefficients, step=self._steps, **arrays)
        temporary.replace(self._directory / "spectra.npz")
