"""The page: self-contained, escaped, honest; and the figures beside it."""

import base64
import json
import xml.etree.ElementTree as ElementTree
from urllib.parse import unquote

import numpy as np
import pytest
from parsed_page import DATA, Page
from PIL import Image
from synthetic_runs import write_run

from pvr_jax.reporting import read_run, summary_table
from pvr_jax.reporting.drawing import monomial, style
from pvr_jax.reporting.figures import error_against_influence, meaningful_degrees
from pvr_jax.reporting.findings import overview, run_findings
from pvr_jax.reporting.page import render_page
from pvr_jax.reporting.study import study_of
from pvr_jax.reporting.twins import touched_pairs


@pytest.fixture(scope="module")
def page(reported):
    return Page(reported.page)


def test_page_needs_no_network_and_no_script(page, reported):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert attributes.get("src", DATA).startswith(DATA)
        assert "://" not in attributes.get("href", "")
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in reported.page
    assert "url(" not in reported.page


def test_links_lead_to_files_and_anchors_that_exist(page, reported):
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert (reported.paths.directory / unquote(link)).exists(), link
    assert "../quadratic_chain-mlp-00000002/measures.json" in links
    assert "../quadratic_chain-mlp-00000002/checkpoints/" in links


def test_every_figure_is_in_the_page(page, reported):
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(reported.paths.figures) == 1 + 1 + 1 + 3 + 4
    for image in images:
        svg = base64.b64decode(image.split(",", 1)[1])
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_text_from_files_is_escaped(page, reported, tmp_path):
    assert "50 % & $x_1$ <b>" in page.text
    assert "b" not in [tag for tag, _ in page.tags]
    attack = "<script>alert('&')</script>\"><img src=http://a.b/c onerror=x>"
    directory = write_run(tmp_path, seeds=1, influences={0: 0.5}, task_label=attack)
    config = directory / "config.json"
    config.write_text(config.read_text().replace("adam", "</pre><script>x</script>"))
    run = read_run(directory)
    hostile = Page(render_page([run], [attack], study_of([run]), [], tmp_path))
    assert attack in hostile.text
    assert "script" not in [tag for tag, _ in hostile.tags]
    assert all("onerror" not in attributes for _, attributes in hostile.tags)


def test_page_names_what_was_left_out(page):
    assert "pvr_majority-mlp-0123abcd, excluded: bit7-seed1, diverged at step 300" in page.text
    assert "staircase-mlp-00000003" in page.text


def test_page_shows_definitions_versions_and_command(page):
    for text in (
        "over the seen inputs only",
        "shrinks off the support",
        "flax 0.12.8",
        "1\u2009089",
    ):
        assert text in page.text
    assert "python -m experiments.main --config=configs/f3.py" in page.text


def test_findings_say_where_the_hypothesis_fails_and_why(tmp_path):
    directory = write_run(tmp_path, influences={0: 0.5, 7: 0.25, 9: 0.125}, shrink={0: 0.7})
    run = read_run(directory)
    table = summary_table([run])
    [(title, text)] = run_findings([run], table)
    assert title.endswith("(pvr_majority-mlp-0123abcd)")
    distance = np.abs(table["generalization_error"] - table["influence"]).mean()
    assert f"difference between generalization error and influence is {distance:.3g}" in text
    assert "lies below the influence, which its interval leaves out, for bit 0" in text
    assert "does not hold" in text
    assert "For bit 0 the projection c is 0.7" in text
    assert "shrinks towards zero" in text
    assert "rank correlation of error with influence is 1.00" in text
    assert "does not hold exactly in" in overview(table)


def test_findings_name_an_unfinished_fit(tmp_path):
    directory = write_run(tmp_path, steps=(0, 30))
    path = directory / "measures.json"
    document = json.loads(path.read_text())
    document["measures"]["in_distribution_error"][-1] = [0.2] * 6
    path.write_text(json.dumps(document))
    run = read_run(directory)
    [(_, text)] = run_findings([run], summary_table([run]))
    assert text.startswith("For bits 0 and 7 the in-distribution error is still 0.20")
    assert "there is no verdict" in text and "hold" not in text.replace("The low", "")
    assert "the fit is not finished or not measured (2)" in overview(summary_table([run]))


def test_findings_without_intervals_judge_nothing(tmp_path):
    run = read_run(write_run(tmp_path, seeds=1))
    table = summary_table([run])
    assert "No frozen bit can be judged: fewer than two replicas (2)." in overview(table)
    [(_, text)] = run_findings([run], table)
    assert "No verdict for bits 0 and 7: fewer than two replicas (2)." in text
    assert "does not hold" not in text


def test_figure_files_exist_and_open(reported):
    for name, formats in reported.paths.figures.items():
        assert {p.name for p in formats.values()} == {f"{name}.{e}" for e in ("svg", "pdf", "png")}
        assert formats["pdf"].read_bytes().startswith(b"%PDF")
        ElementTree.parse(formats["svg"])
        with Image.open(formats["png"]) as image:
            assert image.width >= 800
            assert image.height >= 400
            assert np.asarray(image.convert("L")).std() > 5
    assert {name for name in reported.paths.figures if "0123abcd" in name} == {
        "degree_profile-pvr_majority-mlp-0123abcd",
        "tracked_coefficients-pvr_majority-mlp-0123abcd-bit0",
        "tracked_coefficients-pvr_majority-mlp-0123abcd-bit7",
    }


def test_drawn_pairs_are_touched_by_the_holdout_and_largest_first(reported):
    run = reported.runs[0]
    shown = touched_pairs(run, 7)
    sizes = [abs(run.pairs[7][i].target_high) for i in shown]
    assert 0 not in sizes
    assert sizes == sorted(sizes, reverse=True)
    assert len(shown) == 6


def test_only_degrees_with_mass_are_drawn(reported):
    degrees = meaningful_degrees(reported.runs[0])
    profile = reported.runs[0].frozen_degree_profiles[0]
    assert degrees == sorted(degrees)
    assert 2 in degrees
    assert all(profile[d] >= 0.005 * profile.sum() for d in degrees)


def test_monomials_are_written_as_math():
    assert monomial(()) == "$1$"
    assert monomial((3, 0)) == "$x_{0}x_{3}$"
    assert monomial((0, 2, 3, 4, 5, 11)) == r"$x_{0}x_{2}{\cdots}x_{5}x_{11}$"


def test_labels_from_files_are_not_read_as_math(tmp_path):
    run = read_run(write_run(tmp_path, seeds=1, task_label="cost $\\broken{ and $"))
    with style("math"):
        error_against_influence([run], summary_table([run])).draw_without_rendering()
