"""A new experiment is a folder and a configuration: it appears everywhere without another edit."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import configs
import experiments
from experiments import main, reproduce
from pvr_jax import results

pytestmark = pytest.mark.slow
SCRATCH = Path(__file__).parent / "scratch"
CONFIG = SCRATCH / "configs" / "masked_student.py"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    shutil.copytree(SCRATCH / "masked_student", folder / "masked_student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "__path__", [*experiments.__path__, str(folder)])
        patch.setattr(configs, "__path__", [*configs.__path__, str(CONFIG.parent)])
        assert main.main(["main", f"--config={CONFIG}", f"--workdir={folder}/runs"]) == 0
        yield folder / "runs"


def test_it_is_small():
    files = sorted(SCRATCH.rglob("*.py"))
    assert sum(len(path.read_text().splitlines()) for path in files) <= 120


def test_it_reaches_what_is_predicted(workdir):
    study = results.open(workdir)
    final = study.final().groupby("masked")["generalization_error"].mean()
    theory = study.array("predicted_generalization_error").sel(theory="best linear")
    # ½ (E f² − the squares of the linear coefficients that are shown), E f² = 1 + 1/4 + 1/16.
    expected = {0: 0.5 * (1 + 1 / 16), 1: 0.5 * (1 / 4 + 1 / 16), 2: 0.5 / 16}
    for masked, error in expected.items():
        assert theory.values[theory["masked"].values == masked] == pytest.approx([error] * 3)
        assert final[masked] == pytest.approx(error, rel=0.05) and final[masked] >= error
    weights = study.array("weights").isel(step=-1)
    shown = weights.values[weights["masked"].values == 2].mean(axis=0)
    np.testing.assert_allclose(shown[[0, 1, 3]], [1, 0.5, 0], atol=0.05)


def test_it_has_a_report_with_its_figures_and_findings(workdir):
    report = workdir / "masked_student" / "report"
    assert {path.name for path in report.iterdir()} >= {
        "report.html", "table.md", "table.csv", "table.tex", "findings.md", "replicas.csv",
    }  # fmt: skip
    assert (report / "figures" / "weights.svg").is_file()
    assert (report / "findings.md").read_text().count("Without coordinate") == 3
    assert "| masked |" in (report / "table.md").read_text()


def test_it_is_reproduced(workdir, tmp_path, capsys):
    assert "masked_student" in reproduce.names()
    assert (
        main.exit_status(lambda: reproduce.reproduce("masked_student", "small", tmp_path), tmp_path)
        == 0
    )
    assert "reproduced masked_student, size small: 1 runs" in capsys.readouterr().out
    mine = results.open(tmp_path / "masked_student-small" / "masked_student").final()
    theirs = results.open(workdir).final()
    assert mine["generalization_error"].tolist() == theirs["generalization_error"].tolist()


def test_its_cells_train_in_one_program(workdir, tmp_path):
    flags = ["--sweep=rates", f"--workdir={tmp_path}"]
    assert main.main(["main", f"--config={CONFIG}", *flags]) == 0
    sweeps = tmp_path / "sweeps"
    (pack,) = (sweeps / "packs").iterdir()
    cells = sorted(path.parent for path in (sweeps / "masked_student").glob("*/measures.nc"))
    assert len(cells) == 2 and pack.name.startswith("masked_student-")
    alone = next(workdir.glob("masked_student/*/measures.nc")).parent.name
    found, expected = (
        results.read(place / "masked_student" / alone / "measures.nc")
        for place in (sweeps, workdir)
    )
    error = "generalization_error"
    np.testing.assert_allclose(found[error].values, expected[error].values, rtol=1e-5)


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--config.data.masked=0,0", "config.data.masked: given (0, 0); allowed different"),
        ("--config.train.seeds=0", "config.train.seeds: given 0"),
        ("--config.task.expression=x9", "config.task.expression: given"),
    ],
)
def test_its_mistakes_are_one_line(workdir, tmp_path, capsys, flag, complaint):
    assert main.main(["main", f"--config={CONFIG}", flag, f"--workdir={tmp_path}"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {complaint}") and message.count("\n") == 1
