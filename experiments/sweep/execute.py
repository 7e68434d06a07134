"""Run a sweep: missing cells, pack by pack; failures are reported, the others continue."""

import errno
import hashlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from experiments import registry
from experiments.command_line import SweepRequest
from experiments.sweep.definition import Cell, reason_of
from experiments.sweep.plan import deal, plan
from pvr_jax import frame, packing, stages
from pvr_jax.reporting import sweeps
from pvr_jax.reporting.sweeps import DONE, FAILED, FAILED_FILE, MISSING, Status, SweepCell
from pvr_jax.tasks.contents import Content
from pvr_jax.training import run_log
from pvr_jax.training.run_log import RunBusyError, RunError

# Below WORKDIR; contains packs, tables, and runs by experiment as in a work directory.
SWEEPS, PACKS, TABLES = "sweeps", "packs", "tables"
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STAGES = ("train", "analyse")
LONGEST_TABLE = 80  # characters of a table's directory, at most 255 bytes
PACK_REMEDY = "remove it and give the same command again"


class Together(NamedTuple):
    """Configurations to train in one program, and where; a single one is an ordinary run."""

    configs: tuple[ConfigDict, ...]
    directory: Path


class StopSweep(Exception):
    """Wraps an error that ends the whole sweep: a signal, or a full disk."""


class Sweep:
    """The cells of a sweep, of which this process runs one shard."""

    def __init__(self, request: SweepRequest, cells: Sequence[Cell], workdir: Path) -> None:
        self.cells = list(cells)
        self._root = workdir / SWEEPS
        self._name = ",".join(request.names)
        self._overrides = request.overrides
        self._tables = self._root / TABLES / table_name(request)
        packs = plan(cells)
        dealt = deal(packs, min(request.shards, len(packs)))  # no empty shards
        self._packs = dealt[request.shard] if request.shard < len(dealt) else []
        refused = [cell for cell in cells if cell.config is None]
        # A share of the invalid cells: an array of jobs reports each once.
        self._own = [cell for pack in self._packs for cell in pack.cells]
        self._own += refused[request.shard :: request.shards]
        self._shard = f", shard {request.shard}/{request.shards}" if request.shards > 1 else ""
        self._busy: dict[str, str] = {}
        self._console = Console(highlight=False, soft_wrap=True)

    def run(self, stages: Sequence[str]) -> None:
        """Run stages of missing cells in this shard, then write the table of all cells.

        Raises:
            RunError: the contents behind a name changed, cells of this shard failed (the table is
                written), a signal arrived, or a checkpoint could not be written.
        """
        self._console.print(
            f"sweep {self._name}{self._shard}: {len(self._own)} of {len(self.cells)} cells in "
            f"{len(self._packs)} programs"
        )
        self._hold_to_contents()
        for number, pack in enumerate(self._packs, 1):
            missing = [cell for cell in pack.cells if self._status(cell).status != DONE]
            if stages and missing:
                self._console.rule(
                    f"pack {number}/{len(self._packs)}: {len(missing)} of {len(pack.cells)} cells",
                    align="left",
                )
                self._run_pack(missing, stages)
        self._finish()

    def _hold_to_contents(self) -> None:
        """Refuse to continue if cells of any shard were trained on other contents."""
        known: dict[str, dict[str, Content]] = {}
        for cell in self.cells:
            if cell.config is None:
                continue
            config, directory = cell.config, self._directory(cell)
            key = stages.what_is_named(config)
            if key not in known:
                try:
                    known[key] = registry.experiment_of(config).contents(config)
                except Exception:  # its cells will fail alone, and say why
                    known[key] = {}
                stages.hold_to_neighbors(directory, known[key])
            if (directory / stages.CONTENTS_FILE).is_file():
                stages.hold_to_contents(directory, known[key])

    def _run_pack(self, cells: Sequence[Cell], stages: Sequence[str]) -> None:
        for together in self._together(cells):
            self._attempt(together, stages)
            jax.clear_caches()  # packs share no programs

    def _together(self, cells: Sequence[Cell]) -> list[Together]:
        """Return what to run for cells without results: first packs that were begun, unchanged.

        The sweep may have been enlarged, or packed differently, since then.
        """
        found: dict[Path, Together] = {}
        fresh = []
        for cell in cells:
            own = self._directory(cell)
            if (own / "checkpoints").is_dir():
                found[own] = Together((cell.config,), own)
            elif cell.name in self._begun:
                path = self._begun[cell.name]
                found.setdefault(path.parent, read_pack(path))
            else:
                fresh.append(cell.config)
        return [*found.values(), *self._fresh(fresh)]

    @cached_property
    def _begun(self) -> dict[str, Path]:
        """Return the config.json of begun packs, by the names of their cells."""
        found = {}
        for path in sorted((self._root / PACKS).glob("*/config.json")):
            if not (path.parent / FAILED_FILE).is_file():
                with run_log.damage_named(path, PACK_REMEDY):
                    found |= dict.fromkeys(map(str, run_log.read_json(path)["names"]), path)
        return found

    def _fresh(self, configs: Sequence[ConfigDict]) -> list[Together]:
        """Return how to run configurations of one shape whose training has not begun."""
        alone = [Together((config,), self._directory_of(config)) for config in configs]
        if len(configs) < 2:
            return alone
        experiment = registry.experiment_of(configs[0])
        name = f"{experiment.name}-{packing.identity(experiment, configs)}"
        directory = self._root / PACKS / name
        if (directory / FAILED_FILE).is_file():  # one cell made the others fail
            return alone
        return [Together(tuple(configs), directory)]

    def _attempt(self, together: Together, stages: Sequence[str]) -> None:
        """Run the stages of cells together; if that fails, of each alone."""
        configs, directory = together
        names = [self._directory_of(config).name for config in configs]
        if "train" not in stages and not run_log.is_done(directory, "train"):
            return
        try:
            self._run_stages(together, stages)
        except StopSweep as stop:
            raise stop.__cause__ from None
        except RunBusyError as error:
            self._console.print(f"skipped: {error}", markup=False)
            self._busy |= dict.fromkeys(names, str(error))
        except Exception as error:  # whatever a program raises fails its own cells alone
            reason, details = reason_of(error), traceback.format_exc()
            sweeps.mark_failed(directory, reason, details)
            if len(configs) == 1:
                self._console.print(f"failed: {names[0]}: {reason}", markup=False)
                return
            self._console.print(
                f"a pack of {len(configs)} cells failed, now one by one: {reason}", markup=False
            )
            for config in configs:
                jax.clear_caches()
                self._attempt(Together((config,), self._directory_of(config)), stages)

    def _run_stages(self, together: Together, stages: Sequence[str]) -> None:
        configs, directory = together
        outputs = [self._directory_of(config) for config in configs]
        experiment = registry.experiment_of(configs[0])
        for stage in (stage for stage in stages if stage in experiment.stages):
            if len(configs) == 1:
                (directory / FAILED_FILE).unlink(missing_ok=True)
                alone = {"extends": False} if stage == "train" else {}
                work = partial(frame.STAGES[stage], experiment, configs[0], self._root, **alone)
            elif stage == "train":
                work = partial(packing.train_pack, experiment, configs, directory)
            else:
                work = partial(packing.analyse_pack, experiment, configs, directory, outputs)
            _guarded(work, stage)
        if "analyse" in stages:
            for output in outputs:
                (output / FAILED_FILE).unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write the table; repeat if another shard changed its contents in the meantime."""
        records = [self._record(cell) for cell in self.cells]
        statuses, written = self._statuses(), None
        while statuses != written:
            table = sweeps.sweep_table(records, statuses)
            paths = sweeps.write_sweep_table(table, self._tables)
            statuses, written = self._statuses(), statuses
        self._summarize(statuses)
        for path in paths:
            self._console.print(f"table: {path}", markup=False)
        failed = [
            (cell.name, status.reason)
            for cell in self._own
            if (status := self._status(cell)).status == FAILED
        ]
        for name, reason in failed:
            print(f"failed: {name}: {reason}", file=sys.stderr)
        if failed:
            raise RunError(
                f"{len(failed)} of {len(self._own)} cells failed; the others went on; mend the "
                "cause and give the same command again: it does only what is missing"
            )

    def _summarize(self, statuses: Sequence[Status]) -> None:
        own = sweeps.count_statuses([self._status(cell) for cell in self._own])
        all_cells = sweeps.count_statuses(statuses)
        table = Table("cells", *all_cells)
        if self._shard:
            table.add_row(self._shard.removeprefix(", "), *map(str, own.values()))
        table.add_row("all", *map(str, all_cells.values()))
        self._console.print(table)

    def _statuses(self) -> list[Status]:
        return [self._status(cell) for cell in self.cells]

    def _status(self, cell: Cell) -> Status:
        status = sweeps.status_of(self._record(cell))
        if status.status == MISSING and cell.name in self._busy:
            return Status(MISSING, self._busy[cell.name])
        return status

    def _record(self, cell: Cell) -> SweepCell:
        directory = None if cell.config is None else self._directory(cell)
        return SweepCell(cell.name, directory, _columns(cell, self._overrides), cell.refused)

    def _directory(self, cell: Cell) -> Path:
        return self._root / cell.config.experiment / cell.name

    def _directory_of(self, config: ConfigDict) -> Path:
        return stages.run_directory(registry.experiment_of(config), config, self._root)


def _guarded(work: Callable[[], Any], stage: str) -> None:
    """Run `work`; turn errors that would affect all cells into `StopSweep`.

    These are a full disk and all errors of training (a signal, a checkpoint that cannot be
    written), except a directory that another process has locked.
    """
    try:
        work()
    except RunBusyError:
        raise
    except (RunError, OSError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if full or (isinstance(error, RunError) and stage == "train"):
            raise StopSweep from error
        raise


def _columns(cell: Cell, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a cell without results: flags, settings, task, model."""
    known = {}
    if cell.config is not None:
        known = {"task": cell.config.task.name, "model": cell.config.model.name}
    return {**overrides, **cell.settings, **known}


def table_name(request: SweepRequest) -> str:
    """Return the name of the directory of a sweep's table: config file, choices, generators.

    8 hexadecimal digits follow if flags set fields, if the name has unsafe characters or is too
    long, or if the file is not in configs/, so that its name may not be unique.
    """
    file = Path(request.file)
    parts = (file.stem, request.choices, ",".join(request.names))
    text = "-".join(filter(None, parts))
    name = re.sub(r"[^\w.,=-]+", "_", text)[:LONGEST_TABLE]
    paths = [] if file.resolve().parent == CONFIGS else [file.resolve()]
    if name == text and not request.overrides and not paths:
        return name
    given = json.dumps([text, request.overrides, *paths], sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(given.encode()).hexdigest()[:8]}"


def read_pack(path: Path) -> Together:
    """Return the configurations of a pack, from its config.json."""
    with run_log.damage_named(path, PACK_REMEDY):
        documents = run_log.read_json(path)["cells"]
        configs = tuple(ConfigDict(_with_tuples(document)) for document in documents)
    return Together(configs, path.parent)


def _with_tuples(value: Any) -> Any:
    """Return a JSON document with tuples for lists, as configurations have them."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
