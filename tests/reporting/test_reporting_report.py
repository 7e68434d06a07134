"""Writing reports: where, from what, the same twice, without JAX, and the errors."""

import json
import shutil
import subprocess
import sys

import pytest
from synthetic_runs import write_run

from experiments import main
from pvr_jax.reporting import read_run, read_runs, write_report
from pvr_jax.reporting.page import render_page
from pvr_jax.reporting.study import study_of


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def small_run(workdir, **options):
    return write_run(workdir, seeds=2, influences={0: 0.5}, steps=(0, 30), **options)


def test_report_lies_beside_its_runs_with_the_promised_files(reported):
    directory = reported.paths.directory
    assert directory == reported.workdir / "canonical_holdout" / "report"
    assert {p.name for p in directory.iterdir()} == {
        "table.csv",
        "table.md",
        "table.tex",
        "comparison.md",
        "twins.csv",
        "twins.md",
        "replicas.csv",
        "figures",
        "report.html",
    }
    assert reported.paths.tables["table.md"].read_text(encoding="utf-8") in reported.paths.text
    assert not [name for name in contents(directory) if "tmp" in name]


@pytest.mark.slow
def test_writing_twice_gives_the_same_bytes(tmp_path):
    small_run(tmp_path, diverged={"bit0-seed1": 30})
    first = contents(write_report(tmp_path)["canonical_holdout"].directory)
    second = contents(write_report(tmp_path)["canonical_holdout"].directory)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_root_may_be_one_experiment_and_out_elsewhere(tmp_path):
    small_run(tmp_path / "runs")
    experiment = tmp_path / "runs" / "canonical_holdout"
    direct = write_report(experiment, tmp_path / "a")["canonical_holdout"]
    nested = write_report(tmp_path / "runs", tmp_path / "b")["canonical_holdout"]
    assert direct.directory == tmp_path / "a"
    assert nested.directory == tmp_path / "b" / "canonical_holdout"
    link = '../runs/canonical_holdout/pvr_majority-mlp-0123abcd/config.json"'
    assert f'href="{link}' in direct.page.read_text(encoding="utf-8")
    assert not (experiment / "report").exists()


def test_config_and_run_record_may_be_missing(tmp_path):
    directory = small_run(tmp_path)
    (directory / "config.json").unlink()
    (directory / "run.json").unlink()
    run = read_run(directory)
    assert run.optimizer == "–"
    page = render_page([run], [], study_of([run]), [], tmp_path)
    assert run.name in page


@pytest.mark.slow
def test_report_never_imports_jax(tmp_path):
    small_run(tmp_path)
    program = (
        "import sys, pvr_jax.reporting as r\n"
        f"r.write_report({str(tmp_path)!r})\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'jax', 'jaxlib', 'flax', 'orbax'}, loaded\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr


def test_no_run_says_what_to_type(tmp_path):
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=r"\./launch\.sh run --workdir=") as error:
            write_report(root)
        assert "\n" not in str(error.value)


def test_only_unfinished_runs_are_named(tmp_path):
    small_run(tmp_path, finished=False)
    with pytest.raises(FileNotFoundError, match="unfinished: pvr_majority-mlp-0123abcd"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: d.pop("steps"), "no entry 'steps'"),
        (lambda d: d["influences"].clear(), "no influence of bit 0"),
        (lambda d: d["measures"]["leak"].pop(), r"leak has shape \[1, 2\], expected \[2, 2\]"),
        (lambda d: d["measures"]["leak"][0].pop(), "."),
        (lambda d: d["tracked_coefficients"][0].pop(), "."),
        (lambda d: d["replicas"].clear(), "no evaluation or no replica"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, reason):
    path = small_run(tmp_path) / "measures.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=reason) as error:
        write_report(tmp_path)
    assert str(error.value).startswith(f"damaged file {path}: ")
    assert "./launch.sh run CONFIG --stage=analyse" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_off_file_is_named(tmp_path):
    path = small_run(tmp_path) / "measures.json"
    path.write_text(path.read_text()[:500])
    with pytest.raises(ValueError, match=r"damaged file .*measures\.json: "):
        write_report(tmp_path)


def other_document(path):
    path.write_text("[1]")


def no_text(path):
    path.write_bytes(b"\xff\x00" + path.read_bytes())


def directory_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [other_document, no_text, directory_instead])
@pytest.mark.parametrize("name", ["measures.json", "predictions.json", "config.json", "run.json"])
def test_the_command_line_names_a_damaged_file_in_one_line(tmp_path, capsys, name, damage):
    theories = {"wide_ntk": {0: (0.4, 0.1), 7: (0.2, 0.1)}}
    path = write_run(tmp_path, steps=(0, 30), theories=theories) / name
    damage(path)
    assert main.main(["main", "--stage=report", f"--workdir={tmp_path}"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: damaged file {path}: ")
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_a_damaged_config_is_named(tmp_path):
    path = small_run(tmp_path) / "config.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"damaged file .*config\.json"):
        write_report(tmp_path)


def test_replicas_of_a_bit_with_fewer_pairs_may_be_padded(tmp_path):
    directory = write_run(tmp_path)
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    del document["tracked"]["7"]["pairs"][2:]
    path.write_text(json.dumps(document))
    run = read_run(directory)
    assert run.pair_coefficients[0].shape == (4, 3, 7, 2)
    assert run.pair_coefficients[7].shape == (4, 3, 2, 2)


def test_a_report_directory_is_no_run(reported):
    copy = reported.paths.directory.with_name("report-old")
    shutil.copytree(reported.paths.directory, copy)
    runs, unfinished = read_runs(copy.parent)
    shutil.rmtree(copy)
    assert len(runs) == 3
    assert unfinished == ["staircase-mlp-00000003"]


def test_low_degree_limit_follows_the_frozen_value(tmp_path):
    directory = write_run(tmp_path)
    assert [p.limit for p in read_run(directory).pairs[0][:3]] == [0.625, 0.0, 0.125 + 0.5 / 3]
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"frozen_value": -1}))
    assert [p.limit for p in read_run(directory).pairs[0][:3]] == [-0.375, 0.0, 0.125 - 0.5 / 3]
