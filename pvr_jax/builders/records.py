"""The records of a prepared data set, in order, for any process and thread."""

import bisect
import itertools
import os
import threading
from collections.abc import Sequence
from typing import Any, SupportsIndex

from array_record.python.array_record_module import ArrayRecordReader

# array_record reads with a thread pool, which a forked process lacks: if its parent has read
# anything, it hangs or crashes. Reading one record at a time, without the pool, avoids that.
OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
BUFFER_BYTES = 32_768


class Records(Sequence):
    """The bytes of each record.

    Every process and thread opens the files itself; a pickle has their names only.

    Args:
        files: `filename`, `skip` and `take` (records) of each, as in tensorflow_datasets.
    """

    def __init__(self, files: Sequence[Any]) -> None:
        self._files = [(os.fspath(file.filename), file.skip) for file in files]
        self._ends = list(itertools.accumulate(file.take for file in files))
        self._own = threading.local()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: SupportsIndex) -> bytes:
        row = row.__index__()
        if not 0 <= row < len(self):
            raise IndexError(f"row: given {row}; allowed 0 to {len(self) - 1}")
        file = bisect.bisect_right(self._ends, row)
        reader = self._reader(file)
        reader.seek(self._files[file][1] + row - (self._ends[file - 1] if file else 0))
        return reader.read()

    def __getitems__(self, rows: Sequence[SupportsIndex]) -> list[bytes]:
        """Return the records of many rows; PyTorch uses this for batches."""
        return [self[row] for row in rows]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_own"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _own=threading.local())

    def _reader(self, file: int) -> ArrayRecordReader:
        own = self._own
        if getattr(own, "process", None) != os.getpid():  # forked, it shares a place in the file
            own.process, own.readers = os.getpid(), {}
        if file not in own.readers:
            own.readers[file] = ArrayRecordReader(
                self._files[file][0], options=OPTIONS, file_reader_buffer_size=BUFFER_BYTES
            )
        return own.readers[file]
