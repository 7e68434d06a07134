"""An edited file or function under the same name is never mixed with what was trained before."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from run_directories import only_run

from configs import canonical_holdout
from experiments import main
from experiments.canonical_holdout.experiment import EXPERIMENT as CANONICAL
from pvr_jax import results, stages, tasks
from pvr_jax.tasks import contents
from pvr_jax.training import losses

ROOT = Path(__file__).parents[2]
TARGET = "import jax.numpy as jnp\n\n\ndef target(x):\n    return {}\n"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(module, text):
    """Write a module of the user's own, for a process that has not imported it yet."""
    Path(f"{module}.py").write_text(text)
    sys.modules.pop(module, None)


def own_target(module, n, text):
    write(module, TARGET.format(text))
    return contents.of_problem(tasks.make(f"{module}:target", n=n))["task.name"]


def own_seen_set(module, n, text):
    write(module, TARGET.format(text))
    seen = tasks.make_seen_set(f"{module}:target", n=n)
    return contents.of_problem(tasks.make("parity", n=n), seen)["holdout.name"]


def command(config, *flags, status=0):
    arguments = ["main", f"--config={ROOT}/configs/{config}", "--workdir=runs", *flags]
    assert main.main(arguments) == status


def test_built_in_names_need_no_content():
    assert contents.of_problem(tasks.make("pvr"), tasks.make_seen_set("random", n=11)) == {}


@pytest.mark.parametrize("n", [5, 30])
@pytest.mark.parametrize("other", ["5 * x[..., 0] * x[..., 2]", "x[..., 0] * x[..., 1] + 1e-9"])
def test_another_target_has_another_content(n, other):
    first = own_target("own_edited", n, "x[..., 0] * x[..., 1]")
    assert first.has_become(own_target("own_edited", n, "x[..., 1] * x[..., 0]")) == ""
    changed = first.has_become(own_target("own_edited", n, other))
    assert changed == "own_edited:target has other values, and its source has changed"


def test_terms_in_another_order_are_the_same_target():
    first = own_target("own_order", 4, "0.1 * x[..., 0] + 0.2 * x[..., 1] + 0.3 * x[..., 2]")
    other = own_target("own_order", 4, "0.3 * x[..., 2] + 0.2 * x[..., 1] + 0.1 * x[..., 0]")
    assert first.digest != other.digest  # in the last bits
    assert first.has_become(other) == ""
    other = own_target("own_order", 4, "0.3 * x[..., 2] + 0.2 * x[..., 1] + 0.10000001 * x[..., 0]")
    assert first.has_become(other)


@pytest.mark.parametrize(("n", "is_doubted"), [(20, False), (30, True)])
def test_an_edit_that_shows_at_no_point_is_told_where_not_all_are_compared(n, is_doubted):
    thin = "x[..., 0] * (x[..., 3:] @ jnp.asarray({}) > x.shape[-1] - 4)"
    pattern = [1.0, -1.0] * 13 + [1.0]
    first = own_target("own_thin", n, thin.format(pattern[: n - 3]))
    other = own_target("own_thin", n, "2 * " + thin.format(pattern[: n - 3]))
    assert bool(first.has_become(other)) != is_doubted
    assert bool(first.may_have_become(other)) == is_doubted
    assert first.may_have_become(first) == ""


def test_one_of_a_thousand_inputs_is_enough():
    first = own_seen_set("own_shown", 10, "x[..., 0] > 0")
    other = own_seen_set("own_shown", 10, "(x[..., 0] > 0) | jnp.all(x < 0, axis=-1)")
    assert "own_shown:target has other values" in first.has_become(other)


@pytest.mark.parametrize(
    ("shape", "before", "after"),
    [
        ((), "(p - y) ** 2", "(p - y) ** 2 + 1e-9 * (p > 3)"),
        ((), "jnp.maximum(0, 1 - p * y)", "jnp.maximum(0, 2 - p * y)"),
        ((3,), "-jnp.log(p[y])", "-jnp.log(p[y] * jnp.asarray([1.0, 1.0, 1.1])[y])"),
    ],
)
def test_another_loss_has_another_content(shape, before, after):
    def content(text):
        write("own_loss", f"import jax.numpy as jnp\n\n\ndef loss(p, y):\n    return {text}\n")
        return contents.of_loss("own_loss:loss", losses.by_name("own_loss:loss"), shape)

    first = content(before)
    assert first.has_become(content(before)) == ""
    changed = first.has_become(content(after))
    assert changed == "own_loss:loss has other values, and its source has changed"


def test_the_content_of_a_loss_is_that_of_its_field():
    write("own_error", "def loss(p, y):\n    return (p - y) ** 4\n")
    config = canonical_holdout.get_config("task=parity,tiny")
    config.train.loss = "own_error:loss"
    ((field, content),) = CANONICAL.contents(config).items()
    assert field == "train.loss" and content.stands_for(content)
    other = config.copy_and_resolve_references()
    other.train.loss = ""
    assert CANONICAL.contents(other) == {}
    assert stages.what_is_named(config) != stages.what_is_named(other)


@pytest.mark.parametrize("sign", [">", "<"])
def test_a_rare_seen_set_of_many_coordinates(sign):
    # One of 2^27 inputs is seen, then one of 2^28: random inputs would show neither.
    rare = f"jnp.all(x[..., 3:30] {sign} 0, axis=-1)"
    first = own_seen_set("own_rare", 30, rare)
    other = own_seen_set("own_rare", 30, f"{rare} & (x[..., 0] > 0)")
    assert first.has_become(other)


def test_what_a_function_reads_is_part_of_it(workplace):
    """The source stays the same while a file beside it changes."""
    text = TARGET.format("float(TABLE[0]) * x[..., 0] + jnp.sin(x[..., 1])").replace(
        "jnp\n", "jnp\nimport numpy as np\n\nTABLE = np.load('own.npy')\n", 1
    )

    def content(value):
        np.save("own.npy", np.array([value]))
        write("own_reader", text)
        return contents.of_problem(tasks.make("own_reader:target", n=4))["task.name"]

    first = content(0.5)
    assert "what it imports or reads has changed" in first.has_become(content(2.5))
    assert "what it imports or reads has changed" in first.has_become(content(0.50001))
    # Other hardware rounds in the last bits of float32; that is no other function.
    assert first.digest != content(0.5 + 1e-8).digest
    assert first.has_become(content(0.5 + 1e-8)) == ""


def test_every_digit_of_a_file_counts_and_the_sign_of_zero_does_not():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    first = contents.of_file("own.npy", values)
    assert first.has_become(contents.of_file("own.npy", np.array([-0.0, 1, 2, 3]))) == ""
    changed = contents.of_file("own.npy", values + np.array([0, 0, 0, 4e-16]))
    assert first.has_become(changed) == "what own.npy holds has changed"


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_truth_table(capsys):
    x = tasks.make("parity", n=3)
    np.save("table.npy", np.asarray(tasks.truth_table(x)))
    flags = ("--config.task.path=table.npy", "--config.train.epochs=2")
    config = "canonical_holdout.py:task=truth_table,tiny"
    command(config, *flags, "--stage=train")
    directory = only_run("runs")
    weights = (directory / "run.json").read_text()
    np.save("table.npy", 5 * np.asarray(tasks.truth_table(x)))
    for stage in ("train", "analyse", "all"):
        capsys.readouterr()
        command(config, *flags, f"--stage={stage}", status=1)
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line == (
            f"error: config.task.path: what table.npy holds has changed since {directory} was "
            f"begun; give another --workdir, or start over: rm -r {directory}"
        )
    assert (directory / "run.json").read_text() == weights
    assert not (directory / "measures.nc").exists()
    np.save("table.npy", np.asarray(tasks.truth_table(x)))  # as it was: the run goes on
    command(config, *flags, "--stage=analyse")
    assert set(results.read(directory / "measures.nc")["influence"].values) == {1.0}


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_loss(capsys):
    write("own_power", "def loss(p, y):\n    return (p - y) ** 4\n")
    flags = ("--config.train.epochs=1", "--config.train.loss=own_power:loss")
    command("canonical_holdout.py:task=parity,tiny", *flags, "--stage=train")
    write("own_power", "def loss(p, y):\n    return abs(p - y) ** 3\n")
    command("canonical_holdout.py:task=parity,tiny", *flags, "--stage=analyse", status=1)
    message = capsys.readouterr().err
    assert "config.train.loss: own_power:loss has other values, and its source" in message


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_seen_set(capsys):
    write("own_half", TARGET.format("x[..., 0] > 0"))
    config = "unseen_domain.py:setting=user,task=parity,holdout=own_half:target,tiny"
    flags = ("--config.task.n=5", "--config.train.epochs=1")
    command(config, *flags, "--stage=train")
    write("own_half", TARGET.format("x[..., 1] > 0"))
    command(config, *flags, "--stage=analyse", status=1)
    message = capsys.readouterr().err
    assert "config.holdout.name: own_half:target has other values, and its source" in message
    assert "start over: rm -r runs/unseen_domain/" in message


@pytest.mark.slow
def test_a_run_of_an_earlier_version_says_that_it_kept_no_digest(capsys):
    write("own_earlier", TARGET.format("x[..., 0]"))
    config = "canonical_holdout.py:task=own_earlier:target,tiny"
    flags = ("--config.task.n=3", "--config.train.epochs=1", "--stage=train")
    command(config, *flags)
    assert "note" not in capsys.readouterr().err
    (only_run("runs") / "contents.json").unlink()
    command(config, *flags)
    assert "whether own_earlier:target has changed since is not known" in capsys.readouterr().err
    command(config, *flags)
    assert "note" not in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_never_trained_may_still_be_edited():
    """A run that could not begin holds nobody to its first content."""
    write("own_first", TARGET.format("x[..., 0]"))
    config = "canonical_holdout.py:task=own_first:target,tiny"
    flags = ("--config.task.n=3", "--config.train.epochs=1", "--stage=train")
    command(config, *flags)
    directory = only_run("runs")
    for path in ("run.json", "train.done"):
        (directory / path).unlink()
    write("own_first", TARGET.format("x[..., 1]"))
    kept = json.loads((directory / "contents.json").read_text())
    command(config, *flags)
    assert json.loads((directory / "contents.json").read_text()) != kept


@pytest.mark.slow
def test_two_targets_never_have_one_name_in_a_report(capsys):
    """Runs beside each other, whatever their model, name the same target by the same name."""
    write("own_shared", TARGET.format("x[..., 0] * x[..., 1]"))
    config = "canonical_holdout.py:task=own_shared:target,tiny"
    flags = ("--config.train.epochs=1", "--config.holdout.bits=0", "--stage=train")
    command(config, "--config.task.n=4", *flags)
    first = only_run("runs")
    write("own_shared", TARGET.format("2 * x[..., 0] * x[..., 2]"))
    other = config.replace(",tiny", ",model=deep_linear,tiny")
    command(other, "--config.task.n=4", *flags, status=1)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: config.task.name: own_shared:target has other values, and its source has changed "
        f"since {first} was begun; give another --workdir, or start over: rm -r {first}"
    )
    assert only_run("runs") == first
    command(other, "--config.task.n=5", *flags)  # another target anyway, and titled so
    (first / "contents.json").write_text("{")  # of which only its own run has to tell
    command(other, "--config.task.n=4", *flags)


@pytest.mark.slow
def test_two_seen_sets_never_have_one_name_in_a_report(capsys):
    write("own_rows", TARGET.format("x[..., 0] > 0"))
    config = "unseen_domain.py:setting=user,task=parity,holdout=own_rows:target,tiny"
    flags = ("--config.task.n=5", "--config.train.epochs=1", "--stage=train")
    command(config, *flags)
    write("own_rows", TARGET.format("(x[..., 0] > 0) | (x[..., 1] > 0)"))
    command(config, *flags, "--config.train.learning_rates=0.01,", status=1)
    message = capsys.readouterr().err
    assert "config.holdout.name: own_rows:target has other values, and its source" in message
