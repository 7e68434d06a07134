"""Which cells a sweep has, what is packed together, and which shard does what: nothing trains."""

import importlib.util
import json
from pathlib import Path

import pytest

from experiments import command_line, main
from experiments.canonical_holdout.experiment import EXPERIMENT
from experiments.sweep import definition, execute
from experiments.sweep.plan import deal, plan
from pvr_jax import packing
from pvr_jax.building import replica_count

CONFIGS = Path(__file__).parents[2] / "configs"
CANONICAL = f"--config={CONFIGS / 'canonical_holdout.py'}"


def request_of(*arguments):
    return command_line.parse(["main", *arguments]).sweep


def expand(*arguments):
    return definition.expand(request_of(*arguments))


def complaint(capsys, *arguments):
    assert main.main(["main", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.out == ""
    return captured.err


def write_config(directory, generators):
    path = directory / "small.py"
    path.write_text(
        "from configs import canonical_holdout as base\n\n\n"
        'def get_config(arg=None):\n    return base.get_config(",".join(filter(None, '
        '["tiny", arg])))\n\n\n' + generators
    )
    return f"--config={path}"


@pytest.fixture(scope="module")
def thousands():
    return expand(CANONICAL + ":size=small", "--sweep=tasks,models,bits,rates,scales")


def test_names_combine_by_product_in_their_order():
    cells = expand(CANONICAL + ":tiny", "--sweep=rates,bits", "--config.train.seeds=3")
    assert len(cells) == 44 == len({cell.name for cell in cells})
    assert [cell.settings["holdout.bits"] for cell in cells[:11]] == [str(k) for k in range(11)]
    assert {cell.settings["train.learning_rates"] for cell in cells[:11]} == {(2e-5,)}
    assert all(cell.config.train.seeds == 3 for cell in cells)
    for cell in cells:
        assert cell.config.holdout.bits == cell.settings["holdout.bits"]
        assert cell.config.train.learning_rates == cell.settings["train.learning_rates"]


def test_a_cell_is_the_run_that_its_settings_as_flags_give():
    cell = expand(CANONICAL, "--sweep=tasks,bits")[-1]
    flags = [f"--config.{k}={v}" for k, v in cell.settings.items() if "." in k]
    alone = command_line.parse(["main", f"{CANONICAL}:task=polynomial", *flags]).config
    assert alone.to_dict() == cell.config.to_dict()


@pytest.mark.slow
def test_thousands_of_cells_are_packed_each_once(thousands, packs):
    assert len(thousands) == 8 * 3 * 11 * 4 * 4
    packed = [cell.name for pack in packs for cell in pack.cells]
    assert sorted(packed) == sorted(cell.name for cell in thousands)
    for pack in packs:
        assert len({packing.key_of(EXPERIMENT, cell.config) for cell in pack.cells}) == 1
        replicas = [replica_count(EXPERIMENT, cell.config) for cell in pack.cells]
        assert pack.replicas == sum(replicas) <= packing.MAX_REPLICAS
    # As few programs as hold the replicas: 3 models, 1408 cells of 4 replicas each.
    assert len(packs) == 3 * 1408 * 4 // packing.MAX_REPLICAS


@pytest.fixture(scope="module")
def packs(thousands):
    return plan(thousands)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 7, 400])
def test_shards_share_the_packs_and_are_balanced(thousands, packs, shards):
    dealt = deal(packs, shards)
    names = [tuple(cell.name for cell in pack.cells) for own in dealt for pack in own]
    assert sorted(names) == sorted(tuple(cell.name for cell in pack.cells) for pack in packs)
    costs = [sum(pack.cost for pack in own) for own in dealt]
    # Greedy dealing: the busiest is ahead of the least busy by no more than one pack.
    assert max(costs) - min(costs) <= max(pack.cost for pack in packs)
    assert deal(plan(thousands), shards) == dealt


def test_shards_of_a_small_sweep_share_its_packs():
    cells = expand(CANONICAL + ":tiny", "--sweep=rates,bits")
    packs, dealt = plan(cells), deal(plan(cells), 3)
    assert sorted(map(repr, packs)) == sorted(repr(pack) for own in dealt for pack in own)
    assert deal(plan(cells), 3) == dealt


def test_what_is_compiled_differently_is_not_packed(tmp_path):
    generators = (
        "def sweep_all():\n"
        '    yield {"holdout.bits": "0"}\n'
        '    yield {"holdout.bits": "none"}\n'
        '    yield {"holdout.value": -1}\n'
        '    yield {"model": "mixer"}\n'
        '    yield {"task": "staircase"}\n'
        '    yield {"data.samples": 90}\n'
        '    yield {"train.epochs": 3}\n'
        '    yield {"train.optimizer": "sgd"}\n'
        '    yield {"train.first_seed": 5, "train.init_scales": (2.0,), "holdout.bits": "1,2"}\n'
        '    yield {"train.learning_rates": (1.0, 2.0), "task": "parity", "holdout.bits": "7"}\n'
    )
    cells = expand(write_config(tmp_path, generators), "--sweep=all")
    assert not any(cell.refused for cell in cells)
    packs = [[cells.index(cell) for cell in pack.cells] for pack in plan(cells)]
    assert packs == [[0, 8, 9], *([k] for k in range(1, 8))]


def test_equal_cells_are_one(tmp_path):
    generators = "def sweep_twice():\n    return [{'holdout.bits': '1'}, {'holdout.bits': '1'}]\n"
    assert len(expand(write_config(tmp_path, generators), "--sweep=twice")) == 1


def test_a_check_names_the_cells_that_are_refused(tmp_path, capsys):
    generators = "def sweep_bits():\n    yield from ({'holdout.bits': k} for k in ('0', '11'))\n"
    written = write_config(tmp_path, generators)
    assert main.main(["main", written, "--sweep=bits", "--check"]) == 0
    note = capsys.readouterr().err
    assert note.startswith("note: 1 of 2 cells are refused: holdout.bits=11: config.holdout.bits")


def test_a_cell_alone_is_refused_with_its_reason(tmp_path):
    generators = (
        "def sweep_bits():\n"
        "    for bit in ('0', '11', 3):\n        yield {'holdout.bits': bit}\n"
        "    yield {'holdout.bit': '0'}\n    yield {'model': 'cnn'}\n"
    )
    good, *refused = expand(write_config(tmp_path, generators), "--sweep=bits")
    assert good.config is not None and not good.refused
    assert all(cell.config is None for cell in refused)
    for cell, text in zip(
        refused,
        (
            "config.holdout.bits: given 11; allowed",
            "config.holdout.bits: given 3; allowed a value of the kind of '0,2'",
            "config.holdout.bit: no such field; allowed fields of config.holdout are bits, value",
            "model after the colon: given 'cnn'; allowed",
        ),
        strict=True,
    ):
        assert text in cell.refused and "\n" not in cell.refused


MISTAKES = [
    (["--sweep=nothing"], "--sweep: given 'nothing'; allowed for "),
    (["--sweep=nothing"], "tasks, models, bits, rates, scales"),
    (["--sweep="], "--sweep: given nothing; allowed names such as"),
    (["--sweep=bits,bits"], "--sweep: given bits, which sets holdout.bits, as does bits"),
    (["--sweep=bits", "--config.holdout.bits=1"], "as does the command line; allowed one of"),
    (["--shard=0/2"], "--shard: given without a sweep"),
    (["--sweep=bits", "--shard=2/2"], "--shard: given '2/2'; allowed i/n with i from 0 to n - 1"),
    (["--sweep=bits", "--shard=1"], "--shard: given '1'; allowed i/n"),
    (["--sweep=bits", "--stage=predict"], "--stage: given predict; allowed with --sweep: all, "),
    (["--sweep=bits", "--config.train.seeds=0"], "config.train.seeds: given 0; allowed a whole"),
    (["--sweep=bits", "--config.train.seedz=1"], "config.train.seedz: no such field"),
    (["--swep=bits"], "--swep: no such flag"),
    (["--sweep=bits", "--hosts=all"], "--hosts: given all; allowed one with --sweep"),
]


@pytest.mark.parametrize("arguments, text", MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_line_before_anything_is_written(capsys, tmp_path, arguments, text):
    workdir = tmp_path / "runs"
    assert text in complaint(capsys, CANONICAL, f"--workdir={workdir}", *arguments)
    assert not workdir.exists()


@pytest.mark.parametrize(
    "generator, wrong",
    [
        ("def sweep_own(): return None", "raises TypeError: 'NoneType' object is not iterable"),
        ("def sweep_own(): return 5", "raises TypeError: 'int' object is not iterable"),
        ("def sweep_own(): return 'abc'", "yields 'a'"),
        ("def sweep_own(): yield ('holdout.bits', '3')", "yields ('holdout.bits', '3')"),
        ("def sweep_own(): yield {1: 2}", "yields {1: 2}"),
        ("def sweep_own(x): yield {}", "raises TypeError: sweep_own() missing 1 required"),
        ("def sweep_own(): yield 1 / 0", "raises ZeroDivisionError: division by zero"),
        ("def sweep_own(): exit(3)", "raises SystemExit: 3"),
        ("sweep_own = 5", "raises TypeError: 'int' object is not callable"),
    ],
)
def test_a_generator_that_yields_no_settings_is_named(capsys, tmp_path, generator, wrong):
    config = write_config(tmp_path, f"{generator}\n")
    line = complaint(capsys, config, "--sweep=own", f"--workdir={tmp_path / 'runs'}")
    assert f"--sweep: given own, and sweep_own() of {tmp_path / 'small.py'} {wrong}" in line
    assert not (tmp_path / "runs").exists()


def test_a_cell_with_values_that_no_run_can_have_is_refused(tmp_path):
    generators = (
        "def sweep_own():\n    yield {'holdout.bits': '0'}\n    yield {'train.seeds': 10**19}\n"
        "    yield {'train.learning_rates': ({1},)}\n"
    )
    good, large, odd = expand(write_config(tmp_path, generators), "--sweep=own")
    assert good.config is not None
    assert large.refused.startswith("config.train.seeds: given 10000000000000000000; allowed")
    assert odd.refused.startswith("config.train.learning_rates: given ({1},); allowed")


def test_more_shards_than_memory_has_room_for_are_dealt_as_few(tmp_path):
    request = request_of(CANONICAL + ":tiny", "--sweep=bits,rates", f"--shard=0/{10**15}")
    cells = definition.expand(request)
    first = execute.Sweep(request, cells, tmp_path)
    alone = deal(plan(cells), len(plan(cells)) + 2)
    assert first._packs == alone[0] and alone[-1] == []
    last = execute.Sweep(request._replace(shard=10**15 - 1), cells, tmp_path)
    assert last._packs == [] and last._own == []


def test_a_choice_is_given_once(capsys):
    line = complaint(capsys, f"{CANONICAL}:task=parity", "--sweep=tasks")
    assert "--sweep: given tasks, which sets task, as does the command line" in line


def test_a_sweep_needs_a_config_with_generators(capsys):
    assert "--config: given nothing" in complaint(capsys, "--sweep=bits")
    line = complaint(capsys, f"--config={CONFIGS / 'quickstart.py'}", "--sweep=bits")
    assert "the file has no function sweep_NAME" in line


def test_a_pack_is_the_same_after_its_document_was_written_and_read(tmp_path):
    configs = [cell.config for cell in expand(CANONICAL + ":size=small", "--sweep=bits")[:7]]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(packing.document_of(EXPERIMENT, configs)))
    read = execute.read_pack(path)
    assert read.directory == tmp_path
    assert [config.to_dict() for config in read.configs] == [c.to_dict() for c in configs]
    assert packing.identity(EXPERIMENT, read.configs) == packing.identity(EXPERIMENT, configs)


def generators_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [name.removeprefix("sweep_") for name in vars(module) if name.startswith("sweep_")]


SWEEPS = [(path, name) for path in sorted(CONFIGS.glob("*.py")) for name in generators_of(path)]


@pytest.mark.parametrize("path, name", SWEEPS, ids=lambda value: getattr(value, "stem", value))
def test_every_sweep_beside_a_config_has_possible_cells(path, name):
    cells = expand(f"--config={path}", f"--sweep={name}")
    assert len(cells) > 1
    assert not [cell.refused for cell in cells if cell.refused]


def test_tables_of_different_sweeps_have_names_of_their_own():
    def name(choices="", **overrides):
        request = command_line.SweepRequest("configs/small.py", choices, ("bits",), overrides)
        return execute.table_name(request)

    assert name() == "small-bits" and name("tiny,task=parity") == "small-tiny,task=parity-bits"
    named = {name("task=my:f"), name("task=my_f"), name("task=my:f,size=small")}
    named |= {name(**{"train.seeds": seeds}) for seeds in (1, 2)}
    named |= {name(f"task={'m' * 300}:{function}") for function in "fg"}
    assert len(named) == 7 and all(len(text) < 120 for text in named)


def test_files_of_one_name_have_tables_of_their_own(tmp_path):
    def name(file):
        return execute.table_name(command_line.SweepRequest(str(file), "", ("bits",), {}))

    known = execute.CONFIGS / "canonical_holdout.py"
    assert name(known) == "canonical_holdout-bits"
    others = [name(tmp_path / folder / file) for folder in "ab" for file in (known.name, "my.py")]
    assert len({name(known), *others}) == 5
