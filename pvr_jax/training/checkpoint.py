"""Checkpoints of an ensemble; the only module that uses Orbax.

`DIRECTORY/<step>/` holds two parts that load separately: `params`, and `optimizer` (the rest of the
state). Kept steps retain their parameters for good. The two newest steps also retain the optimizer,
so a run can resume from the second newest if the newest is damaged.

Every process writes and reads its share of a checkpoint; the primary does all other file work. The
padding of the replicas is saved as is, and truncated or zero-filled when a checkpoint is read on
another number of devices.

A finished checkpoint has a manifest: its run and a checksum of every file. Checkpoints whose
manifest does not match never reach Orbax, which misses some flipped bits and reports a damaged file
as long tracebacks from background threads.
"""

import contextlib
import errno
import logging
import shutil
import zlib
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding
from orbax import checkpoint as orbax_checkpoint
from orbax.checkpoint import v1 as orbax

from pvr_jax.training import hosts, run_log
from pvr_jax.training.run_log import RunError
from pvr_jax.training.state import State

ORBAX = Path(orbax_checkpoint.__file__).parent
RESUMABLE = 2
# Retention of an old checkpoint.
KEEP, DROP_OPTIMIZER, DROP = 0.0, 1.0, 2.0
MANIFEST = "seal.json"  # the name on disk, as in checkpoints of earlier versions
METADATA = "_CHECKPOINT_METADATA"  # Orbax reads this file of every checkpoint first


class CheckpointError(RunError):
    """One line: a checkpoint that cannot be written or read."""


class Checkpoints:
    """The checkpoints of one run directory.

    Args:
        directory: the directory of the checkpoints.
        run: identity of the run; checkpoints of another run are rejected. None: the run of the
            first readable checkpoint.
        kept: steps to keep for good.
        read_only: do not touch unfinished writes of a trainer that may still be running.
    """

    def __init__(
        self,
        directory: Path,
        run: str | None = None,
        kept: Collection[int] = (),
        read_only: bool = False,
    ) -> None:
        self._directory = Path(directory).absolute()
        self._kept = frozenset(kept)
        if not read_only:
            self._directory.mkdir(parents=True, exist_ok=True)
        elif not self._directory.is_dir():
            raise CheckpointError(f"checkpoints: given {directory}; no such directory")
        self._context = _context()
        self._checkpointer = None
        if not read_only:
            hosts.on_primary(self._set_aside_unreadable)
            # Until closed: Orbax cleans up in a thread that may begin later.
            with contextlib.ExitStack() as quiet:
                quiet.enter_context(_quiet())
                self._checkpointer = orbax.training.Checkpointer(
                    self._directory, context=self._context, cleanup_tmp_directories=True
                )
                self._quiet = quiet.pop_all()
        manifests = map(self._read_manifest, self.steps() if run is None else ())
        self._run = next((manifest["run"] for manifest in manifests if manifest), run)

    def _set_aside_unreadable(self) -> None:
        """Rename unreadable metadata, with which Orbax would open none of the checkpoints."""
        for path in self._directory.glob(f"[0-9]*/{METADATA}"):
            if not _is_readable(path):
                path.replace(path.with_name(f"{METADATA}.damaged"))

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._checkpointer is None:
            return
        # After a failed write, closing raises the failure again and would hide our message.
        with self._quiet, contextlib.suppress(Exception) if kind else contextlib.nullcontext():
            self._checkpointer.close()

    def steps(self) -> list[int]:
        """Return the steps that have a finished checkpoint, ascending."""
        if self._checkpointer is None:
            names = (path.name for path in self._directory.iterdir())
            return sorted(int(name) for name in names if name.isdigit())
        return sorted(metadata.step for metadata in self._checkpointer.checkpoints)

    def save(self, step: int, state: State, count: int | None = None) -> None:
        """Write the state at `step`, then delete what is no longer needed.

        Args:
            step: the training step.
            state: the state of all replicas.
            count: replicas on the leading axis, the rest being padding; None: no padding.

        Raises:
            CheckpointError: it could not be written, e.g. on a full disk; earlier ones are intact.
        """
        count = jax.tree.leaves(state)[0].shape[0] if count is None else count
        hosts.on_primary(partial(self._require_space, step, state))
        with _quiet():
            try:
                self._checkpointer.save_checkpointables(
                    step, _parts(state), overwrite=True, force=True
                )
                hosts.on_primary(partial(self._write_manifest, step, count))
            except hosts.PeerError:
                raise
            except Exception as error:  # a failed write raises many types
                raise CheckpointError(self._not_written(step, _reason(error))) from error
            self._prune()

    def restore(self, abstract: State, count: int | None = None) -> tuple[State | None, list[str]]:
        """Load the newest usable state.

        Args:
            abstract: shapes and dtypes of the state (`jax.eval_shape`), with the leading axis R;
                with shardings unless it goes to one device.
            count: replicas on the leading axis, the rest being padding; None: no padding.

        Returns:
            The state (None: no usable checkpoint), and one line per newer checkpoint skipped.
        """
        passed_over = []
        for step in reversed(self.steps()):
            try:
                return self.load(step, abstract, count), passed_over
            except (CheckpointError, hosts.PeerError) as error:
                passed_over.append(str(error))
        return None, passed_over

    def load(self, step: int, abstract: State, count: int | None = None) -> State:
        """Load the state at `step`; see `restore`.

        Raises:
            CheckpointError: damaged, from another run, or with other shapes.
        """
        with _quiet():
            parts = self._load(step, _parts(abstract), count)
        return State(params=parts["params"], **parts["optimizer"])

    def load_params(self, step: int, abstract_params: Any) -> Any:
        """Load the parameters at `step`, without the optimizer.

        Raises:
            CheckpointError: damaged, from another run, or with other shapes.
        """
        with _quiet():
            return self._load(step, {"params": abstract_params})["params"]

    def load_arrays(self, step: int, count: int) -> Any:
        """Load the parameters of `count` replicas at `step` as NumPy arrays, without the padding.

        Needs neither the shapes nor the devices of the run.

        Raises:
            CheckpointError: damaged, from another run, or with another number of replicas.
        """
        with _quiet():
            manifest, stored = self._intact(step, ("params",))
            saved = manifest.get("replicas") or jax.tree.leaves(stored["params"])[0].shape[0]
            if saved != count:
                detail = f"it has {saved} replicas, run.json names {count}"
                raise CheckpointError(self._unusable(step, "foreign", detail))
            abstract = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), stored["params"])
            params = self._read(step, {"params": abstract})["params"]
        return jax.tree.map(lambda leaf: leaf[:count], params)

    def _load(
        self, step: int, abstract: dict[str, Any], count: int | None = None
    ) -> dict[str, Any]:
        count = jax.tree.leaves(abstract)[0].shape[0] if count is None else count
        hosts.on_primary(partial(self._verify, step, abstract, count))
        here = SingleDeviceSharding(jax.local_devices()[0])
        placed = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf.sharding or here
            ),
            abstract,
        )
        return self._read(step, placed)

    def _read(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        try:
            with self._context:
                return orbax.load_checkpointables(self._directory / str(step), abstract)
        except Exception as error:  # a failed read raises many types
            raise CheckpointError(self._unusable(step, "damaged", _reason(error))) from error

    def _write_manifest(self, step: int, count: int) -> None:
        root = self._directory / str(step)
        files = {path.relative_to(root).as_posix(): _checksum(path) for path in _files(root)}
        manifest = {"run": self._run, "replicas": count, "files": files}
        run_log.write_json(root / MANIFEST, manifest)

    def _verify(self, step: int, abstract: dict[str, Any], count: int) -> None:
        """Raise CheckpointError unless the parts of a checkpoint are intact and as expected."""
        manifest, stored = self._intact(step, abstract)
        if missing := abstract.get("optimizer", {}).keys() - stored.get("optimizer", {}).keys():
            detail = f"it has no {missing.pop()}, being of an earlier version"
            raise CheckpointError(self._unusable(step, "foreign", detail))
        saved = manifest.get("replicas")  # None in older checkpoints, which have no padding
        if mismatch := _first_mismatch(abstract["params"], stored["params"], count, saved):
            raise CheckpointError(self._unusable(step, "foreign", mismatch))

    def _intact(self, step: int, parts: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the manifest of a checkpoint and the shapes of its arrays.

        Raises:
            CheckpointError: the parts are not of this run, or not intact.
        """
        root = self._directory / str(step)
        manifest = self._read_manifest(step)
        if manifest is None:
            detail = "it has no readable manifest: its writing never finished"
            raise CheckpointError(self._unusable(step, "damaged", detail))
        if manifest["run"] != self._run:
            detail = f"it belongs to run {manifest['run']}, this one is {self._run}"
            raise CheckpointError(self._unusable(step, "foreign", detail))
        for part in parts:
            if not (root / part).is_dir():
                raise CheckpointError(self._unusable(step, "incomplete", f"it has no {part}"))
        for name, checksum in manifest["files"].items():
            path, part = root / name, name.split("/")[0]
            # Orbax rewrites its own file at the top when the optimizer is dropped.
            intact = _is_readable(path) if name == METADATA else _checksum(path) == checksum
            if (part == name or part in parts) and not intact:
                detail = f"its file {name} is not as it was saved"
                raise CheckpointError(self._unusable(step, "damaged", detail))
        try:
            with self._context:
                return manifest, orbax.checkpointables_metadata(root).metadata
        except Exception as error:  # a failed read raises many types
            raise CheckpointError(self._unusable(step, "damaged", _reason(error))) from error

    def _read_manifest(self, step: int) -> dict[str, Any] | None:
        try:
            manifest = run_log.read_json(self._directory / str(step) / MANIFEST)
        except (OSError, ValueError):
            return None
        known = (
            isinstance(manifest, dict)
            and "run" in manifest
            and isinstance(manifest.get("files"), dict)
        )
        return manifest if known else None

    def _prune(self) -> None:
        steps = self.steps()
        # The primary decides from the files, which other processes may see later.
        retention = hosts.largest(
            *(hosts.on_primary(partial(self._retention, steps)) or [0.0] * len(steps))
        )
        for step, action in zip(steps, retention, strict=True):
            if action == DROP_OPTIMIZER:
                self._checkpointer.delete(step, checkpointable_name="optimizer", missing_ok=True)
            elif action == DROP:
                self._checkpointer.delete(step, missing_ok=True)

    def _retention(self, steps: list[int]) -> list[float]:
        """Return the retention of every step: `KEEP`, `DROP_OPTIMIZER` or `DROP`."""
        own = [step for step in steps if self._is_own(step)]
        old = {step: DROP_OPTIMIZER if step in self._kept else DROP for step in own[:-RESUMABLE]}
        return [old.get(step, KEEP) for step in steps]

    def _is_own(self, step: int) -> bool:
        """Return whether this run wrote the checkpoint; no other is ever deleted."""
        manifest = self._read_manifest(step)
        return manifest is not None and manifest["run"] == self._run

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


def _context() -> orbax.Context:
    """Return the Orbax context: padding may differ; detached processes work alone."""
    context = orbax.Context()
    context.array.loading.enable_padding_and_truncation = True
    # It takes half the time of a save, and parameters shrink by a twelfth.
    context.array.saving.use_compression = False
    if jax.process_count() > 1 and not hosts.together():
        own = jax.process_index()
        context.multiprocessing.primary_host = own
        context.multiprocessing.active_processes = {own}
        context.multiprocessing.barrier_sync_key_prefix = f"process{own}"
    return context


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Orbax's log, a page of tracebacks for one failure: what matters is raised here.

    Orbax writes to the logger that all users of absl share, whose other records pass.
    """

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return not Path(record.pathname).is_relative_to(ORBAX)

    logger = logging.getLogger("absl")
    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)


def _parts(state: State) -> dict[str, Any]:
    rest = state._asdict()
    if not jax.tree.leaves(state.carry):
        del rest["carry"]  # older checkpoints have none
    return {"params": rest.pop("params"), "optimizer": rest}


def _first_mismatch(expected: Any, stored: Any, count: int, saved: int | None) -> str | None:
    """Describe the first leaf that is missing or has another shape; None if there is none.

    `count` replicas are expected, `saved` were saved (None: the size of the stored leaves).
    """
    key = jax.tree_util.keystr
    found = {key(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(stored)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        other = found.get(key(path))
        if other is None:
            return f"it has no parameter {key(path)}"
        shape = [saved or other.shape[0], *other.shape[1:]]
        wanted = [count, *leaf.shape[1:]]
        if shape != wanted or other.dtype != leaf.dtype:
            return f"parameter {key(path)} is {other.dtype}{shape}, expected {leaf.dtype}{wanted}"
    return None


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)


def _is_readable(path: Path) -> bool:
    """Return whether Orbax can read a checkpoint's metadata."""
    try:
        document = run_log.read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and isinstance(document.get("item_handlers"), dict)


def _checksum(path: Path) -> int | None:
    """Return the CRC-32 of a file, read in pieces; None if it cannot be read."""
    value = 0
    try:
        with path.open("rb") as handle:
            while piece := handle.read(1 << 20):
                value = zlib.crc32(piece, value)
    except OSError:
        return None
    return value


def _reason(error: Exception) -> str:
    """Return the reason, in one line, from a chain of exceptions."""
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
