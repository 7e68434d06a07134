"""The report of unseen domains: its files, the page, what is kept, and the errors."""

import base64
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from urllib.parse import unquote

import pandas as pd
import pytest
from parsed_page import DATA, Page
from PIL import Image
from synthetic_unseen import LENGTH, THREE_SYMMETRIC, write_unseen

from pvr_jax.reporting.agreement import compare_files
from pvr_jax.reporting.unseen import keep, write_report

FIGURES = {
    "coefficients",
    "distance",
    "coefficient_distance",
    "leak_by_rate",
    "degree_profile",
}
TABLES = {"table", "explanation", "degrees", "coefficients"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs of three tasks: a scan of rates, one unfinished fit, one far MDI; and one unfinished."""
    workdir = tmp_path_factory.mktemp("unseen")
    lost = {"rate0.1-scale1.0-seed1": 400}
    write_unseen(workdir, rates=(0.001, 0.01, 0.1), leak_per_decade=0.1, diverged=lost)
    write_unseen(workdir, "polynomial-transformer-11111111", wide=False, seeds=1)
    write_unseen(workdir, "polynomial-mlp-22222222", THREE_SYMMETRIC, in_distribution=0.5)
    write_unseen(workdir, "parity-mlp-33333333", LENGTH, leak=0.5)
    write_unseen(workdir, "polynomial-mlp-44444444", finished=False)
    return workdir / "unseen_domain"


@pytest.fixture(scope="module")
def paths(study):
    return write_report(study)


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_promised_files_and_the_terminal_text(study, paths):
    assert paths.directory == study / "report"
    assert set(paths.tables) == {f"{name}.md" for name in TABLES} | {
        "table.csv",
        "table.tex",
        "coefficients.csv",
        "findings.md",
        "summary.md",
        "replicas.csv",
    }
    assert set(paths.figures) == FIGURES
    for name in ("table.md", "explanation.md", "degrees.md", "findings.md"):
        assert paths.tables[name].read_text(encoding="utf-8") in paths.text
    assert "excluded: rate0.1-scale1.0-seed1 diverged at step 400" in paths.text
    assert len(pd.read_csv(paths.tables["table.csv"])) == 6
    assert not [name for name in contents(paths.directory) if "tmp" in name]


@pytest.mark.slow
def test_writing_twice_gives_the_same_bytes(study, paths, tmp_path):
    again = write_report(study, tmp_path / "again")
    assert again.directory == tmp_path / "again"
    first, second = contents(paths.directory), contents(again.directory)
    assert first.keys() == second.keys()
    assert [n for n in first if first[n] != second[n] and n != "report.html"] == []


def test_page_is_whole_and_needs_no_network(paths):
    page = Page(paths.page.read_text(encoding="utf-8"))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert anchors == {"summary", "tables", "figures", "definitions", "left-out", "runs"}
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert attributes.get("src", DATA).startswith(DATA)
        link = attributes.get("href", "#summary")
        known = link[1:] in anchors if link.startswith("#") else None
        assert known or (paths.directory / unquote(link)).exists(), link
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(FIGURES)
    for image in images:
        assert ElementTree.fromstring(base64.b64decode(image[len(DATA) :])).tag.endswith("svg")
    for text in (
        "excluded: rate0.1-scale1.0-seed1, diverged at step 400",
        "polynomial-mlp-44444444",
        "Spearman's rank correlation over replicas, 95 % interval: 2parity, mlp: ",
        "jax 0.10.2",
        "1\u2009089\u2009153",
    ):
        assert text in page.text


@pytest.mark.slow
def test_text_from_files_is_escaped_and_not_read_as_math(tmp_path):
    attack = "<script>$\\broken{</script>\"'&"
    write_unseen(tmp_path, setting=attack, seen=attack, task_label=attack, seeds=2)
    page = Page(write_report(tmp_path / "unseen_domain").page.read_text(encoding="utf-8"))
    assert attack in page.text
    assert "script" not in [tag for tag, _ in page.tags]


def test_figures_open(paths):
    for formats in paths.figures.values():
        assert formats["pdf"].read_bytes().startswith(b"%PDF")
        with Image.open(formats["png"]) as image:
            assert min(image.size) >= 400


def test_latex_is_regular(paths):
    text = paths.tables["table.tex"].read_text(encoding="utf-8")
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 3
    assert "_" not in "".join(body)
    assert "†" not in "".join(body)


@pytest.mark.slow
def test_kept_results_hold_one_table_each_and_agree_with_the_report(study, paths, tmp_path):
    with pytest.raises(FileNotFoundError, match="unfinished: polynomial-mlp-44444444"):
        keep(study, tmp_path / "refused")
    write_unseen(tmp_path, rates=(0.001, 0.01, 0.1), seeds=2)
    write_unseen(tmp_path, "polynomial-transformer-11111111")
    source, kept = tmp_path / "unseen_domain", tmp_path / "kept"
    keep(source, kept)
    assert {path.name for path in kept.iterdir()} == {f"{name}.md" for name in TABLES} | {
        "findings.md",
        "table.csv",
        "coefficients.csv",
        "replicas.csv",
        "run.json",
    } | {f"{name}.png" for name in FIGURES}
    for name in TABLES:
        lines = (kept / f"{name}.md").read_text(encoding="utf-8").splitlines()
        assert all(line.startswith("|") for line in lines)
        assert len({len(line) for line in lines}) == 1
    assert not any(line.startswith("|") for line in (kept / "findings.md").read_text().splitlines())
    runs = json.loads((kept / "run.json").read_text(encoding="utf-8"))["runs"]
    assert runs.keys() == {"polynomial-mlp-0123abcd", "polynomial-transformer-11111111"}
    assert runs["polynomial-mlp-0123abcd"].keys() == {"config", "run"}
    fresh = write_report(source).tables["replicas.csv"]
    assert "9 of 9 replicas compared, 9 with the same digits" in compare_files(
        fresh, kept / "replicas.csv"
    )
    keep(source / "polynomial-mlp-0123abcd", tmp_path / "one")
    assert len(pd.read_csv(tmp_path / "one" / "table.csv")) == 3


@pytest.mark.slow
def test_report_never_imports_jax(tmp_path):
    write_unseen(tmp_path)
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from experiments.unseen_domain.report import report\n"
        f"report(Path({str(tmp_path / 'unseen_domain')!r}))\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'jax', 'jaxlib', 'flax', 'orbax'}, loaded\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_config_and_run_record_may_be_missing(tmp_path):
    directory = write_unseen(tmp_path)
    (directory / "config.json").unlink()
    (directory / "run.json").unlink()
    assert "2parity" in write_report(tmp_path / "unseen_domain").text


def test_no_run_and_only_unfinished_runs_say_what_to_type(tmp_path):
    root = tmp_path / "unseen_domain"
    command = rf"launch\.sh run configs/unseen_domain\.py:size=small --workdir={tmp_path}$"
    with pytest.raises(FileNotFoundError, match=command) as error:
        write_report(root)
    assert "\n" not in str(error.value)
    write_unseen(tmp_path, finished=False)
    with pytest.raises(FileNotFoundError, match="only unfinished: polynomial-mlp-0123abcd"):
        write_report(root)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("measures.json", lambda d: d.pop("steps"), "no entry 'steps'"),
        ("measures.json", lambda d: d["measures"].pop("unseen_error"), "no entry 'unseen_error'"),
        (
            "measures.json",
            lambda d: d["measures"]["unseen_error"].pop(),
            r"unseen_error has shape \[3, 3\], expected \[4, 3\]",
        ),
        ("measures.json", lambda d: d["coefficients"][0].pop(), "."),
        ("measures.json", lambda d: d["degree_profile"][0][0].pop(), "."),
        ("measures.json", lambda d: d["replicas"].clear(), "no evaluation or no replica"),
        ("predictions.json", lambda d: d["theories"].pop("min_degree"), "no entry 'min_degree'"),
        ("predictions.json", lambda d: d.clear(), "no entry 'min_degree'"),
        (
            "predictions.json",
            lambda d: d["theories"]["wide_ntk"]["coefficients"].pop(),
            "wide_ntk: coefficients has shape",
        ),
        ("predictions.json", lambda d: d["unexplained"]["wide_ntk"].pop(), "wide_ntk: unexplained"),
        ("predictions.json", None, "Unterminated|Expecting|Invalid"),
        ("measures.json", None, "Unterminated|Expecting|Invalid"),
    ],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, name, damage, reason):
    path = write_unseen(tmp_path) / name
    if damage is None:
        path.write_text(path.read_text()[:100])
    else:
        document = json.loads(path.read_text())
        damage(document)
        path.write_text(json.dumps(document))
    stage = {"measures.json": "analyse", "predictions.json": "predict"}[name]
    with pytest.raises(ValueError, match=reason) as error:
        write_report(tmp_path / "unseen_domain")
    assert str(error.value).startswith(f"damaged file {path}: ")
    assert str(error.value).endswith(f"./launch.sh run CONFIG --stage={stage} --workdir={tmp_path}")
    assert "\n" not in str(error.value)
