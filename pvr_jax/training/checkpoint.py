"""Checkpoints of an ensemble: the only file that knows Orbax.

`DIRECTORY/<step>/` holds two separately loadable parts: `params`, and `optimizer` (all the rest of
the state). Steps that the caller wants to keep stay for good, with the parameters alone; the two
newest steps hold the optimiser too, so that a damaged newest one can be replaced by the one before.
"""

import contextlib
import errno
import logging
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as orbax

from pvr_jax.training.run_log import RunError
from pvr_jax.training.state import State

RESUMABLE = 2


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not ("exception was never retrieved" in message and "tensorstore" in message)


# For a damaged checkpoint the storage library leaves one failed task per parameter behind, each of
# which asyncio would print, whenever it is collected, as a page of its own.
logging.getLogger("asyncio").addFilter(_is_news)


class CheckpointError(RunError):
    """A checkpoint that cannot be written or read, in one line."""


class Checkpoints:
    """The checkpoints of one run directory.

    Args:
        directory: where they lie.
        run: the identity of the run; a checkpoint of another run is refused by name.
        kept: the steps to keep for good.
        read_only: leave unfinished writes of a (possibly still running) trainer alone.
    """

    def __init__(
        self, directory: Path, run: str, kept: Collection[int] = (), read_only: bool = False
    ) -> None:
        self._directory = Path(directory).absolute()
        self._run = run
        self._kept = frozenset(kept)
        if not read_only:
            self._directory.mkdir(parents=True, exist_ok=True)
        elif not self._directory.is_dir():
            raise CheckpointError(f"checkpoints: given {directory}; no such directory")
        with _quiet():
            self._checkpointer = orbax.training.Checkpointer(
                self._directory, cleanup_tmp_directories=not read_only
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After a failed write, closing raises the failure again, and would hide its own message.
        with _quiet(), contextlib.suppress(Exception) if kind else contextlib.nullcontext():
            self._checkpointer.close()

    def steps(self) -> list[int]:
        """Return the steps that have a finished checkpoint, ascending."""
        return sorted(metadata.step for metadata in self._checkpointer.checkpoints)

    def save(self, step: int, state: State) -> None:
        """Write the state of all replicas at `step`, then drop what is no longer needed.

        Raises:
            CheckpointError: it could not be written (a full disk, say); earlier ones are intact.
        """
        parts = _parts(state)
        self._require_space(step, state)
        identity = {"run": self._run, "digests": _digests(parts)}
        with _quiet():
            try:
                self._checkpointer.save_checkpointables(
                    step, parts, overwrite=True, force=True, custom_metadata=identity
                )
            except Exception as error:  # the libraries below raise many kinds for a failed write
                raise CheckpointError(self._not_written(step, _reason(error))) from error
            self._prune()

    def restore(self, abstract: State) -> tuple[State | None, list[str]]:
        """Load the newest usable state.

        Args:
            abstract: the state's shapes and dtypes (`jax.eval_shape`), with the leading axis R.

        Returns:
            The state (None: no usable checkpoint), and one line for every newer one passed over.
        """
        passed_over = []
        for step in reversed(self.steps()):
            try:
                with _quiet():
                    parts = self._load(step, _parts(abstract))
            except CheckpointError as error:
                passed_over.append(str(error))
                continue
            return State(params=parts["params"], **parts["optimizer"]), passed_over
        return None, passed_over

    def load_params(self, step: int, abstract_params: Any) -> Any:
        """Load the parameters at `step`, without the optimiser.

        Raises:
            CheckpointError: damaged, of another run, or of other shapes.
        """
        with _quiet():
            return self._load(step, {"params": abstract_params})["params"]

    def _load(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        try:
            found = self._checkpointer.checkpointables_metadata(step)
            stored, custom = found.metadata, found.custom_metadata or {}
        except Exception as error:
            raise CheckpointError(self._unusable(step, "damaged", _reason(error))) from error
        if not custom:
            raise CheckpointError(self._unusable(step, "damaged", "its metadata is missing"))
        if custom.get("run") != self._run:
            detail = f"it belongs to run {custom.get('run')}, this one is {self._run}"
            raise CheckpointError(self._unusable(step, "foreign", detail))
        for part in abstract:
            if part not in (stored or {}):
                raise CheckpointError(self._unusable(step, "incomplete", f"it has no {part}"))
        if mismatch := _first_mismatch(abstract["params"], stored["params"]):
            raise CheckpointError(self._unusable(step, *mismatch))
        device = jax.local_devices()[0]
        placed = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=SingleDeviceSharding(device)
            ),
            abstract,
        )
        try:
            parts = self._checkpointer.load_checkpointables(step, placed)
        except Exception as error:
            raise CheckpointError(self._unusable(step, "damaged", _reason(error))) from error
        for part, digest in _digests(parts).items():
            if digest != custom["digests"].get(part):
                detail = f"the numbers in {part} are not the ones that were saved"
                raise CheckpointError(self._unusable(step, "damaged", detail))
        return parts

    def _prune(self) -> None:
        own = [step for step in self.steps() if self._is_own(step)]
        for step in own[:-RESUMABLE]:
            if step in self._kept:
                self._checkpointer.delete(step, checkpointable_name="optimizer", missing_ok=True)
            else:
                self._checkpointer.delete(step, missing_ok=True)

    def _is_own(self, step: int) -> bool:
        """Return whether this run wrote the checkpoint: nothing else is ever deleted."""
        try:
            custom = self._checkpointer.checkpointables_metadata(step).custom_metadata
        except Exception:  # unreadable: not known to be ours
            return False
        return (custom or {}).get("run") == self._run

    def _require_space(self, step: int, state: State) -> None:
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            megabytes = f"it needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free"
            raise CheckpointError(self._not_written(step, f"the disk is full: {megabytes}"))

    def _not_written(self, step: int, reason: str) -> str:
        return (
            f"checkpoint {step} could not be written to {self._directory}: {reason}; what was "
            "saved before is intact: make room and give the same command again"
        )

    def _unusable(self, step: int, kind: str, detail: str) -> str:
        return f"checkpoint {self._directory / str(step)} is {kind}: {detail}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Orbax's log, a page of tracebacks for one failure: what matters is raised here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parts(state: State) -> dict[str, Any]:
    rest = state._asdict()
    return {"params": rest.pop("params"), "optimizer": rest}


def _first_mismatch(expected: Any, stored: Any) -> tuple[str, str] | None:
    """Return (kind, detail) of the first leaf that is missing or of another shape, or None."""
    key = jax.tree_util.keystr
    found = {key(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(stored)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        other = found.get(key(path))
        if other is None:
            return "damaged", f"it has lost the parameter {key(path)}"
        if tuple(other.shape) != tuple(leaf.shape) or other.dtype != leaf.dtype:
            return "foreign", (
                f"parameter {key(path)} is {other.dtype}{list(other.shape)}, "
                f"expected {leaf.dtype}{list(leaf.shape)}"
            )
    return None


@jax.jit
def _leaf_digests(leaves: list[jax.Array]) -> list[jax.Array]:
    def digest(leaf: jax.Array) -> jax.Array:
        unsigned = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
        bits = jax.lax.bitcast_convert_type(leaf, unsigned).astype(jnp.uint32).reshape(-1)
        # Odd weights: a changed bit, and two numbers that swapped places, both change the sum.
        weights = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1
        return jnp.sum(bits * weights, dtype=jnp.uint32)

    return [digest(leaf) for leaf in leaves]


def _digests(parts: dict[str, Any]) -> dict[str, list[int]]:
    """Return a checksum of every leaf: storage formats do not notice every flipped bit."""
    leaves = {part: _leaf_digests(jax.tree.leaves(tree)) for part, tree in parts.items()}
    return {part: [int(value) for value in values] for part, values in leaves.items()}


def _reason(error: Exception) -> str:
    """Return the first line that says why, from a chain of exceptions of libraries."""
    text, cause = str(error), error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return "the disk is full"
        text = str(cause) or text
        cause = cause.__cause__ or cause.__context__
    if "No space left" in text:
        return "the disk is full"
    lines = text.strip().strip('"').strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
