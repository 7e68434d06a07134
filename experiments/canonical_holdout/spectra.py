"""spectra.npz, written piece by piece: all spectra together need not fit into memory."""

import os
import shutil
import tempfile
import zipfile
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
        temporary = self._directory / f".spectra.{os.getpid()}.npz"
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
            "fortran_order": False,
            "shape": (len(self._steps), *self._shape),
        }
        with zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("coefficients.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, header)
                self._numbers.seek(0)
                shutil.copyfileobj(self._numbers, member, 1 << 20)
            for name, array in {"step": np.array(self._steps), **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        temporary.replace(self._directory / "spectra.npz")
