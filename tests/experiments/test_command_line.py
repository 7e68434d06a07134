"""Every mistake on the command line ends in one line that says what to type instead."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import command_line, main, reports, reproduce
from experiments.canonical_holdout import experiment
from experiments.main import prepared
from pvr_jax import checks
from pvr_jax.refusal import Refusal
from pvr_jax.training import fields, hosts, trackers

CONFIGS = Path(__file__).parents[2] / "configs"
QUICKSTART = f"--config={CONFIGS / 'quickstart.py'}"
CANONICAL = f"--config={CONFIGS / 'canonical_holdout.py'}"


def complaint(capsys, *arguments):
    """Run the command line; return its only line of error output."""
    assert main.main(["main", *arguments]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    return lines[0]


MISTAKES = [
    # unknown keys
    ("--config.train.seedz=5", ["config.train.seedz: no such field", "did you mean seeds?"]),
    ("--config.tran.seeds=5", ["config.tran: no such field", "did you mean train?"]),
    ("--config.train.seeds.x=5", ["config.train.seeds is a value and has no fields"]),
    ("--wokdir=x", ["--wokdir: no such flag", "did you mean --workdir?"]),
    ("train", ["argument: given 'train'"]),
    ("--log=tensorbord", ["--log: given 'tensorbord'; allowed tensorboard, wandb (did you mean t"]),
    ("--stage=fit", ["--stage=fit", "all|train|analyse|predict|report"]),
    # wrong types
    ("--config.train.seeds=abc", ["config.train.seeds: given 'abc'; allowed a whole number"]),
    ("--config.train.seeds=1.5", ["config.train.seeds: given '1.5'; allowed a whole number"]),
    ("--config.train.seeds=None", ["config.train.seeds: given 'None'; allowed a whole number"]),
    ("--config.train.learning_rates=fast", ["config.train.learning_rates: given ('fast',)"]),
    ("--config.data.drop_remainder=maybe", ["config.data.drop_remainder: given 'maybe'"]),
    ("--config.train=3", ["config.train: given '3'; allowed its fields one by one"]),
    # out of range
    ("--config.train.seeds=0", ["config.train.seeds: given 0; allowed a whole number of at lea"]),
    ("--config.train.epochs=-1", ["config.train.epochs: given -1"]),
    ("--config.train.learning_rate=1", ["no such field", "did you mean learning_rates?"]),
    ("--config.train.learning_rates=0", ["config.train.learning_rates: given (0,); allowed diff"]),
    ("--config.train.learning_rates=1,1", ["config.train.learning_rates: given (1, 1)"]),
    ("--config.train.init_scales=-1", ["config.train.init_scales: given (-1,)"]),
    ("--config.train.dtype=float16", ["config.train.dtype: given 'float16'; allowed float32"]),
    ("--config.train.learning_rates=nan", ["config.train.learning_rates: given"]),
    (
        "--config.train.optimizer=adamW",
        ["config.train.optimizer: given 'adamW'; allowed adabelief"],
    ),
    (
        "--config.train.loss=hingge",
        ["config.train.loss: given 'hingge'; allowed squared_error", "(did you mean 'hinge'?)"],
    ),
    (
        "--config.train.loss=cross_entropy",
        ["config.train.loss: given 'cross_entropy'; allowed squared_error, absolute_error, hin"],
    ),
    ("--config.train.loss=my:loss", ["config.train.loss: given 'my:loss'; allowed a module th"]),
    (
        "--config.train.loss=hinge",
        ["config.train.loss: given 'hinge'; allowed a loss of any numbers, as a label of pvr is 0"],
    ),
    ("--config.train.execution=pmap", ["config.train.execution: given 'pmap'; allowed auto"]),
    ("--config.holdout.value=0", ["config.holdout.value: given 0; allowed 1, -1"]),
    ("--config.data.order=random", ["config.data.order: given 'random'; allowed fixed, shuff"]),
    ("--config.checkpoint.count=1", ["config.checkpoint.count: given 1"]),
    ("--config.model.widths=0,3", ["config.model.widths: given (0, 3)"]),
    ("--config.model.initialisation=he", ["config.model.initialisation: given 'he'"]),
    ("--config.experiment=nothing", ["config.experiment: given 'nothing'"]),
    (
        "--config.experiment=sweep",
        ["config.experiment: given 'sweep'; allowed atlas, can"],
    ),
    (
        "--config.experiment=main",
        ["config.experiment: given 'main'; allowed atlas, can"],
    ),
    (
        "--config.experiment=canonical_holdout.report",
        ["; allowed atlas, canonical"],
    ),
    ("--config.experiment=", ["config.experiment: given ''; allowed atlas, can"]),
    # what no computer word holds
    ("--config.train.seeds=9223372036854775808", ["config.train.seeds: given 92233720368547"]),
    ("--config.train.epochs=-10000000000000000000", ["number of up to 64 bits"]),
    ("--config.task.window=100000000000000000000", ["number of up to 64 bits"]),
    ("--config.model.widths=3,9223372036854775808", ["config.model.widths: given (3, 92233"]),
    ("--config.train.seeds=" + "9" * 5000, ["config.train.seeds: given", "a whole number"]),
    # impossible combinations
    ("--config.holdout.bits=11", ["config.holdout.bits: given 11; allowed all, none (the"]),
    ("--config.holdout.bits=-1", ["config.holdout.bits: given -1; allowed all, none (the"]),
    ("--config.holdout.bits=1,1", ["config.holdout.bits: given '1,1', one of them twice"]),
    ("--config.holdout.bits=some", ["config.holdout.bits: given 'some'; allowed all, none"]),
    ("--config.task.window=9", ["config.task.window: given 9; allowed 1 to 8"]),
    ("--config.task.pointer_bits=0", ["config.task.pointer_bits: given 0; allowed 1 to"]),
    ("--config.task.aggregation=mean", ["config.task.aggregation: given 'mean'; allowed parity"]),
    ("--config.task.name=pvrr", ["config.task.name: given 'pvrr'", "did you mean 'pvr'"]),
    ("--config.task.tie=2", ["config.task.tie: given 2"]),
]


@pytest.mark.parametrize("flag, fragments", MISTAKES, ids=[flag for flag, _ in MISTAKES])
def test_a_wrong_flag_is_named_with_what_is_allowed(capsys, flag, fragments):
    line = complaint(capsys, QUICKSTART, flag)
    for fragment in fragments:
        assert fragment in line


@pytest.mark.parametrize("flag", ["--stage=analyse", "--sweep=bits"])
def test_what_trains_no_single_run_is_not_logged(capsys, monkeypatch, flag):
    monkeypatch.setattr(trackers, "named", lambda text, installed: (text,))
    line = complaint(capsys, CANONICAL, "--log=tensorboard", flag)
    assert line == "error: --log: given tensorboard; allowed where one run is trained"


def test_a_library_that_is_missing_is_named_with_what_to_type(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    line = complaint(capsys, QUICKSTART, "--log=wandb", f"--workdir={tmp_path}")
    assert line == (
        "error: --log: given wandb, which is not installed; allowed after ./launch.sh setup log, "
        "or pip install wandb"
    )
    assert main.main(["main", QUICKSTART, "--log=wandb", "--check"]) == 0  # for another machine
    assert list(tmp_path.iterdir()) == []


def test_values_may_follow_their_flag_as_absl_allows(capsys):
    line = complaint(capsys, QUICKSTART, "--config.train.seeds", "abc")
    assert "config.train.seeds: given 'abc'; allowed a whole number" in line


def test_a_batch_larger_than_the_data_with_dropped_remainder(capsys):
    line = complaint(
        capsys, QUICKSTART, "--config.data.batch_size=4096", "--config.data.drop_remainder=True"
    )
    assert "config.data.batch_size: given 4096; allowed 1 to 1900" in line


def test_a_shuffled_stream_of_fresh_rows(capsys):
    line = complaint(
        capsys, QUICKSTART, "--config.data.source=fresh", "--config.data.order=shuffled"
    )
    assert "config.data.order: given 'shuffled'; allowed fixed" in line


UNSEEN = f"--config={CONFIGS / 'unseen_domain.py'}"
BLAMED = [
    (
        (UNSEEN, "--config.data.source=fresh"),
        "config.data.order: 'shuffled' of the configuration does not go with "
        "--config.data.source=fresh; allowed fixed: give --config.data.order too",
    ),
    (
        (f"{UNSEEN}:setting=user", "--config.task.name=parity"),
        "config.task.expression: 'x0*x1' of the configuration does not go with "
        "--config.task.name=parity; allowed parameters of parity are n, degree, coordinates: "
        "choose task=parity after the colon of --config=configs/unseen_domain.py instead",
    ),
    (
        (QUICKSTART, "--config.task.name=parity"),
        "config.task.aggregation: 'majority' of the configuration does not go with "
        "--config.task.name=parity; allowed parameters of parity are n, degree, coordinates: "
        "choose task=parity after the colon of --config=configs/canonical_holdout.py instead",
    ),
    (
        (UNSEEN, "--config.holdout.name=random"),
        "config.holdout.condition: 'x0 = 1 or x1 = 1' of the configuration does not go with "
        "--config.holdout.name=random; allowed parameters of random are fraction, seed: choose "
        "holdout=random after the colon of --config=configs/unseen_domain.py instead",
    ),
    (
        (f"{UNSEEN}:setting=user,holdout=subcube", "--config.holdout.coordinates=0,3"),
        "config.holdout.values: (1,) of the configuration does not go with "
        "--config.holdout.coordinates=0,3; allowed 2 values, one per coordinate: give "
        "--config.holdout.values too",
    ),
    (
        (QUICKSTART, "--config.data.samples=10", "--config.data.drop_remainder=True"),
        "config.data.batch_size: 64 of the configuration does not go with --config.data.samples=10 "
        "--config.data.drop_remainder=True; allowed 1 to 10 (samples) with drop_remainder: give "
        "--config.data.batch_size too",
    ),
    (
        (f"{CANONICAL}:task=polynomial", "--config.task.n=2"),
        "config.task.expression: 'x2' of the configuration does not go with --config.task.n=2; "
        "allowed x0 to x1 with n = 2",
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), BLAMED, ids=[given[-1] for given, _ in BLAMED])
def test_a_message_names_what_was_given_and_what_to_change(capsys, arguments, expected):
    assert complaint(capsys, *arguments).removeprefix("error: ").startswith(expected)


def test_a_function_after_the_colon_is_not_asked_for_by_a_flag(capsys, monkeypatch, tmp_path):
    (tmp_path / "tokens_of_mine.py").write_text("def past(tokens):\n    return tokens[5]\n")
    monkeypatch.chdir(tmp_path)
    chosen = f"--config={CONFIGS / 'token_pvr.py'}:size=small,task=tokens_of_mine:past"
    line = complaint(capsys, chosen, "--config.task.length=5")
    assert "does not go with --config.task.length=5" in line and "it reads index 5" in line
    assert "give --config" not in line


@pytest.mark.parametrize("missing", ["task", "holdout"])
def test_a_function_that_is_not_there_is_no_matter_of_other_flags(
    capsys, monkeypatch, tmp_path, missing
):
    (tmp_path / "functions_of_mine.py").write_text(
        "def task(x):\n    return x[..., 0]\ndef holdout(x):\n    return x[..., 0] > 0\n"
    )
    monkeypatch.chdir(tmp_path)
    names = {name: f"functions_of_mine:{name}" for name in ("task", "holdout")}
    names[missing] += "s"
    choices = ",".join(f"{name}={value}" for name, value in names.items())
    line = complaint(capsys, f"{UNSEEN}:setting=user,{choices}", "--config.task.n=9")
    assert line.startswith(f"error: config.{missing}.name: given 'functions_of_mine:{missing}s'; ")
    assert f"('{missing}s' is not there)" in line


def test_what_a_message_tells_to_type_is_allowed(monkeypatch):
    for arguments in (
        [UNSEEN, "--config.data.source=fresh", "--config.data.order=fixed"],
        [f"{UNSEEN}:setting=user,task=parity"],
        [f"{UNSEEN}:task=parity"],
        [f"{CANONICAL}:task=parity"],
        [f"{UNSEEN}:holdout=random"],
        [
            f"{UNSEEN}:setting=user,holdout=subcube",
            "--config.holdout.coordinates=0,3",
            "--config.holdout.values=1,1",
        ],
    ):
        assert prepared(command_line.parse(["main", *arguments]))


def test_a_cell_of_a_sweep_names_what_was_given(capsys):
    line = complaint(capsys, f"{CANONICAL}:task=polynomial", "--config.task.n=2", "--sweep=bits")
    assert "'x2' of the configuration does not go with --config.task.n=2" in line


@pytest.mark.parametrize(
    "arguments",
    [
        [QUICKSTART, "--config.task.window=2"],
        [
            f"{CANONICAL}:task=polynomial",
            "--config.task.expression=(x0)*(x3)",
            "--config.task.n=5",
        ],
    ],
)
def test_all_bits_at_once_are_of_the_same_task(capsys, arguments):
    alone = command_line.parse(["main", *arguments, "--config.holdout.bits=0,3"])
    assert prepared(alone)
    words = shlex.split(capsys.readouterr().err.partition("./launch.sh run configs/")[2])
    both = command_line.parse(["main", f"--config={CONFIGS / words[0]}", *words[1:]])
    assert prepared(both)
    assert both.config.task.to_dict() == alone.config.task.to_dict()


def test_several_bits_are_said_to_be_frozen_one_at_a_time(capsys):
    assert prepared(command_line.parse(["main", QUICKSTART]))
    assert prepared(command_line.parse(["main", CANONICAL, "--config.holdout.bits=all"]))
    assert prepared(command_line.parse(["main", CANONICAL, "--config.holdout.bits=3"]))
    assert capsys.readouterr().err == ""
    flags = ["--config.holdout.bits=0,3", "--config.holdout.value=-1"]
    assert prepared(command_line.parse(["main", f"{CANONICAL}:task=pvr", *flags]))
    note = capsys.readouterr().err
    assert note.startswith("note: holdout.bits=0,3 freezes these bits one at a time")
    assert note.count("\n") == 1
    # What it says to type for both at once is one seen set with both bits at this value.
    words = shlex.split(note.partition("./launch.sh run configs/")[2])
    both = command_line.parse(["main", f"--config={CONFIGS / words[0]}", *words[1:]])
    assert prepared(both)
    assert both.config.holdout.to_dict() == {
        "name": "subcube",
        "coordinates": (0, 3),
        "values": (-1, -1),
    }
    assert both.config.task.to_dict()["name"] == "pvr"


@pytest.mark.parametrize(
    "config, fragments",
    [
        ("", ["--config: given nothing; allowed a file such as configs/quickstart.py"]),
        ("--config=nowhere.py", ["--config: given 'nowhere.py', no such file"]),
        (CANONICAL + ":task=pvrr", ["task after the colon: given 'pvrr'; allowed pvr_maj"]),
        (CANONICAL + ":model=cnn", ["model after the colon: given 'cnn'; allowed mlp"]),
        (CANONICAL + ":tsk=pvr", ["choice after the colon: given tsk=pvr; allowed task"]),
        (QUICKSTART + ":small", ["choice after the colon: given small; allowed tiny"]),
        (CANONICAL + ":task=no_such_module:f", ["config.task.", "no_such_module"]),
        (CANONICAL + ":task=truth_table", ["config.task.path"]),
    ],
)
def test_a_wrong_config_is_named(capsys, config, fragments):
    line = complaint(capsys, *([config] if config else []))
    assert "Traceback" not in line
    for fragment in fragments:
        assert fragment in line


def place(directory, kind):
    """Return a path below a directory at which no work directory can be."""
    (directory / "file").touch()
    (directory / "loop").symlink_to(directory / "loop")
    (directory / "broken").symlink_to(directory / "nowhere")
    return {
        "a file": directory / "file",
        "below a file": directory / "file" / "runs" / "today",
        "a name of 300 characters": directory / ("x" * 300),
        "below a name of 300 characters": directory / "new" / ("x" * 300) / "runs",
        "a loop of links": directory / "loop",
        "below a loop of links": directory / "loop" / "runs",
        "a link to nothing": directory / "broken",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "a file",
        "below a file",
        "a name of 300 characters",
        "below a name of 300 characters",
        "a loop of links",
        "below a loop of links",
        "a link to nothing",
    ],
)
@pytest.mark.parametrize("program", [main, reproduce], ids=["run", "reproduce"])
def test_a_workdir_that_cannot_be_is_named(capsys, tmp_path, program, kind):
    workdir = place(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    words = [QUICKSTART] if program is main else ["pvr_majority"]
    assert program.main(["program", *words, f"--workdir={workdir}"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: --workdir: given '{workdir}', ")
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("program", [main, reproduce], ids=["run", "reproduce"])
@pytest.mark.parametrize("flagfile", ["absent", "."])
def test_a_flagfile_that_cannot_be_read_is_named(capsys, tmp_path, program, flagfile):
    assert program.main(["program", f"--flagfile={tmp_path / flagfile}"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / flagfile) in error and error.count("\n") == 1


def write_config(directory, *lines):
    """Write a config file, the quickstart after some lines on `config`; return its flag."""
    body = "".join(f"    {line}\n" for line in ["config.unlock()", *lines, "return config"])
    path = directory / "own.py"
    path.write_text(
        "import numpy as np\nfrom ml_collections import ConfigDict\nfrom configs import quickstart"
        "\n\n\ndef get_config(arg=None):\n    config = quickstart.get_config(arg)\n" + body
    )
    return f"--config={path}"


@pytest.mark.parametrize(
    "line, fragment",
    [
        ("config.own = np.arange(10000).reshape(-1, 2)", "config.own: given array([[ "),
        ("config.own = {1, 2}", "config.own: given {1, 2}; allowed a text, a number"),
        ("config.own = lambda x: x", "config.own: given <function "),
        ("config.own = (1, (2, {3}))", "config.own: given (1, (2, {3})); allowed"),
        ("config.task.own = np.int64(3)", "config.task.own: given np.int64(3); allowed"),
        ("config.own = 2**64", "config.own: given 18446744073709551616; allowed"),
        ("config.own = 10**5000", "config.own: given a value of type int; allowed"),
        ("config.train.learning_rates = ([1],)", "config.train.learning_rates: given ([1],)"),
        ("del config.task['name']", "config.task.name: given None; allowed a text"),
        ("del config.model['name']", "config.model.name: given None; allowed a text"),
        ("del config.holdout['bits']", "config.holdout.bits: given None; allowed all, none"),
        ("del config['task']", "config.task: given None; allowed a section"),
        (
            "del config['experiment']",
            "config.experiment: given None; allowed atlas, can",
        ),
        ("config.model.n = 5", "config.model.n: given 5; allowed nothing: it follows from the ta"),
        ("exit()", "which raises SystemExit(None); allowed a file such as"),
        ("import sys; sys.exit(0)", "which raises SystemExit(0); allowed a file such as"),
        ("raise BaseException('one\\ntwo')", "which raises BaseException('one\\ntwo')"),
        ("1 / 0", "which raises ZeroDivisionError('division by zero')"),
        ("raise ValueError('size: given 7')", "error: size: given 7"),
        ("np.zeros(-1)", "own.py', which raises ValueError('negative dimensions"),
        ("int('a')", "own.py', which raises ValueError(\"invalid literal for int()"),
        ("config.unlock()[None] = 3", "own.py', which raises TypeError("),
        ("config.self = config", "config: given a section that holds itself; allowed numbers"),
        ("return ConfigDict()", "config.experiment: given None; allowed atlas, can"),
        ("return {}", "own.py', which gives no ConfigDict; allowed a file such as"),
        ("config.unlock()[5] = 3", "config: given a field whose name is no text; allowed names"),
        ("config.train.unlock()[1, 2] = 3", "config.train: given a field whose name is no text"),
    ],
)
def test_a_config_file_that_no_run_can_have_is_named(capsys, tmp_path, line, fragment):
    config = write_config(tmp_path, line)
    assert fragment in complaint(capsys, config, f"--workdir={tmp_path / 'runs'}")
    assert not (tmp_path / "runs").exists()


def test_a_config_file_that_fails_is_named_beside_fields_too(capsys, tmp_path):
    config = write_config(tmp_path, "1 / 0")
    line = complaint(capsys, config, "--config.train.seeds=5", f"--workdir={tmp_path / 'runs'}")
    assert "own.py', which raises ZeroDivisionError('division by zero')" in line


@pytest.mark.parametrize("address", ["host0", "host0:", "host0:99999", "host0:0", ":9876", "a:b"])
def test_an_address_without_a_port_is_named(capsys, monkeypatch, address):
    given = {hosts.ADDRESS: address, hosts.COUNT: "2", hosts.INDEX: "0"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main.main(["main", QUICKSTART, "--hosts=all"]) == 1
    assert f"given {hosts.ADDRESS}={address}; allowed HOST:PORT" in capsys.readouterr().err


def test_a_process_past_the_last_is_named(capsys, monkeypatch):
    given = {hosts.ADDRESS: "host0:9876", hosts.COUNT: "2", hosts.INDEX: "2"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main.main(["main", QUICKSTART, "--hosts=all"]) == 1
    assert f"given {hosts.INDEX}=2; allowed 0 to" in capsys.readouterr().err


@pytest.mark.parametrize("when", ["checked", "run"])
def test_an_error_of_a_library_is_not_shown_as_one_of_the_configuration(
    capsys, monkeypatch, tmp_path, when
):
    def broken(*_):
        return np.zeros(3) + np.zeros(4)

    replaced = (experiment, "task_of") if when == "checked" else (main, "run_stage")
    monkeypatch.setattr(*replaced, broken)
    with pytest.raises(ValueError, match="could not be broadcast") as raised:
        main.main(["main", QUICKSTART, f"--workdir={tmp_path}"])
    assert raised.value.__notes__ == [main.NOT_THE_CONFIGURATION]
    assert "error: " not in capsys.readouterr().err


def test_a_prefix_is_for_refusals_alone():
    with pytest.raises(ValueError, match=r"^invalid literal"):
        fields.prefix_errors("config.task.", lambda: int("x"))
    with pytest.raises(Refusal, match=r"^config.task.n: given 3; allowed 4$"):
        fields.prefix_errors("config.task.", lambda: checks.integer(4, 4, "4").check("n", 3))


def test_memory_that_runs_out_is_one_line(capsys, monkeypatch, tmp_path):
    def too_large(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(main, "run_stage", too_large)
    assert main.main(["main", QUICKSTART, f"--workdir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: memory ran out (RESOURCE_EXHAUSTED") and error.count("\n") == 1


def test_a_polynomial_is_never_evaluated_as_code(capsys):
    line = complaint(
        capsys, CANONICAL + ":task=polynomial", "--config.task.expression=__import__('os')"
    )
    assert line.startswith("error: config.task.expression: given")


def test_no_mistake_is_no_complaint():
    parsed = command_line.parse(
        ["main", QUICKSTART, "--config.holdout.bits=all", "--config.model.widths=3,4"]
    )
    assert parsed.config.holdout.bits == "all"
    assert parsed.config.model.widths == (3, 4)
    assert parsed.stage == "all"


def test_a_mistake_ends_before_anything_is_written(run, tmp_path):
    done = run(QUICKSTART, "--config.train.seeds=0", f"--workdir={tmp_path / 'w'}", check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert not (tmp_path / "w").exists()


def test_a_run_that_is_refused_before_it_begins_leaves_nothing(capsys, tmp_path):
    flags = ("--config.train.freeze=Dense_77", "--stage=train", f"--workdir={tmp_path}")
    assert main.main(["main", f"{QUICKSTART}:tiny", *flags]) == 1
    assert "freeze: given 'Dense_77'; allowed beginnings of" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/*"))


def test_a_report_of_nothing_says_what_to_type(run, tmp_path):
    done = run("--stage=report", f"--workdir={tmp_path}", check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {tmp_path} holds no run; make one: ./launch.sh run --workdir={tmp_path}\n"
    )


@pytest.mark.parametrize("experiment", ["unseen_domain", "degree_curriculum", "pointer_value"])
def test_a_report_of_nothing_names_the_command(experiment, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no finished run in .*\./launch\.sh run CONFIG"):
        reports.report(tmp_path / experiment)


def test_help_tells_the_fields_of_a_configuration(capsys):
    file = Path(__file__).parents[2] / "configs" / "quickstart.py"
    with pytest.raises(SystemExit):
        command_line.parse(["main", f"--config={file}", "--help"])
    output = capsys.readouterr().out
    before, _, fields = output.partition("Fields of ")
    assert "Numbers:   every field is in configs/canonical_holdout.py" in before
    said = fields.splitlines()
    assert said[said.index("--config.data.drop_remainder=False") + 1] == (
        "    drop the last, smaller batch of an epoch"
    )
    assert said[said.index("--config.train.momentum=0.9") + 1] == "    of sgd"
    assert said[said.index("--config.data.batch_size=64") + 1].startswith("--config.")
    assert max(map(len, output.splitlines())) <= 100 and "--workdir" in output
