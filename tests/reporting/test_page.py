"""The page of a report, in a browser: tooltip, legend, slider, sorting, no error, no network."""

import json
import re
import shutil
import subprocess

import pytest
import toy_study

from pvr_jax import results
from pvr_jax.reporting import publish as publishing
from pvr_jax.reporting.charts import Curve, Points
from pvr_jax.reporting.columns import mean
from pvr_jax.reporting.exhibits import Finding, Images, Table, Text, context_of
from pvr_jax.reporting.keep import keep_study, kept_files
from pvr_jax.reporting.publish import Report, publish

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
STUDY = toy_study.study(toy_study.run(diverged={(0, 3)}), toy_study.run("a<b>", "mixer", 2.0))
REPORT = Report(
    title="Toys & <tags>",
    question="Is it so?",
    verdict=lambda study, context: "It is <so>.",
    exhibits=[
        Curve("profile", "Profile", y="degree_profile", x="degree", color="model", slider="step",
              data=lambda study: study.curve("degree_profile")),
        Points("errors", "Errors", y="generalization_error", x="frozen_bit", color="model",
               levels={"influence": "influence"}),
        Table("table", "Table", {"error [95 %]": mean("generalization_error")}, notes=["<Note>."]),
        Finding("Bit {frozen_bit}: {error}.", {"error": mean("generalization_error")}),
        Text("Read & think."),
        Images("examples", "Examples", lambda study: "<b>picture</b>"),
        Table("never", "Never", {}, needs=["spectrum"]),
    ],
)  # fmt: skip


def published_without_script(directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_script", lambda: "")  # to bundle it takes seconds
        return publish(REPORT, STUDY, directory)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_without_script(tmp_path_factory.mktemp("toy") / "report")


def test_every_file_is_there(published):
    assert set(published.tables) == {
        "table.md", "table.csv", "table.tex", "findings.md", "replicas.csv",
    }  # fmt: skip
    for paths in published.figures.values():
        assert {"svg", "pdf", "png", "vl.json", "svg-column", "pdf-column"} == set(paths)
        assert all(path.stat().st_size > 500 for path in paths.values())
    lost = "parity-mlp-00000001: bit0-rate0.1-seed3 diverged at step 10; not in the means"
    assert published.text.splitlines()[-2:] == ["It is <so>.", f"Left out: {lost}"]
    assert max(map(len, published.text.splitlines())) <= 100


def test_writing_twice_gives_the_same_bytes(published, tmp_path):
    again = published_without_script(tmp_path / "report")
    for path in sorted(published.directory.rglob("*")):
        if path.is_file() and path.suffix != ".pdf":  # which holds no promise
            other = again.directory / path.relative_to(published.directory)
            assert other.read_bytes() == path.read_bytes(), path.name


def test_the_script_is_bundled_once_and_kept_where_that_is_possible(tmp_path, monkeypatch):
    bundled = []
    bundle = "vega = '</script>';"
    monkeypatch.setattr(
        publishing.vl_convert, "javascript_bundle", lambda _: bundled.append(1) or bundle
    )
    (tmp_path / "file").touch()
    scripts = []
    for cache, count in (("cache", 1), ("cache", 1), ("file", 2)):  # in a file nothing is kept
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        scripts.append(publishing._script.__wrapped__())
        assert len(bundled) == count
    assert scripts[0] == scripts[1] == scripts[2] == "(() => {\nvega = '<\\/script>';\n})();"
    (kept,) = (tmp_path / "cache" / "pvr_jax").iterdir()
    assert kept.name == f"vega-{publishing.vl_convert.__version__}.js"


def test_the_page_says_the_verdict_first_and_escapes_what_it_shows(published):
    page = published.page.read_text()
    body = page[page.index("<body>") :]
    places = [body.index(text) for text in ("It is &lt;so&gt;.", "chart-profile", "error [95 %]")]
    assert places == sorted(places)
    assert "Toys &amp; &lt;tags&gt;" in page and "&lt;Note&gt;." in page
    assert "&lt;b&gt;: " not in page or "<b>: " not in page
    assert "<b>picture</b>" in page and "Never" not in page
    assert "parity-mlp-00000001: bit0-rate0.1-seed3 diverged at step 10" in page
    assert re.search(r"<dt>error \(half squared error, whole cube\)</dt><dd>½E", page)
    assert not re.findall(r'(?:src|href)="https?://', page)
    links = [link for link in re.findall(r'<a href="([^"#]+)"', page) if "run" not in link]
    assert links and all((published.directory / link).is_file() for link in links)


DRIVE = """
<script>
const log = {errors: []};
window.onerror = (message) => log.errors.push(String(message));
const say = console.error; console.error = (...x) => { log.errors.push(x.join(" ")); say(...x); };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const at = (element, kind) => {
  const box = element.getBoundingClientRect();
  element.dispatchEvent(new MouseEvent(kind, {bubbles: true, view: window,
    clientX: box.x + box.width / 2, clientY: box.y + box.height / 2}));
};
window.onload = () => drive().catch((error) => log.errors.push(String(error))).finally(
  () => { document.title = JSON.stringify(log); });
async function drive() {
  const find = async (selector) => {
    for (let i = 0; i < 600 && !document.querySelector(selector); i++) await wait(100);
    return document.querySelector(selector);
  };
  await find("#chart-errors .mark-symbol.role-mark path");
  await find("#chart-profile .mark-line path");
  log.charts = document.querySelectorAll(".chart svg").length;
  log.wide = document.body.scrollWidth - document.body.clientWidth;
  log.width = document.body.clientWidth;
  const points = document.querySelectorAll("#chart-errors .mark-symbol.role-mark path");
  for (const kind of ["pointerover", "mouseover", "pointermove", "mousemove"])
    at(points[points.length - 1], kind);
  log.tooltip = (await find("#vg-tooltip-element.visible") || {}).innerText || "";
  const strokes = () => [...document.querySelectorAll("#chart-errors .mark-rule.role-mark line")]
    .map((line) => line.getAttribute("opacity"));
  log.before = strokes();
  for (const kind of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"])
    at(await find("#chart-errors .role-legend-symbol path"), kind);
  await wait(500);
  log.after = strokes();
  const slider = await find("#chart-profile input[type=range]");
  const line = async () => (await find("#chart-profile .mark-line path")).getAttribute("d");
  const last = await line();
  slider.value = 0;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  await wait(500);
  log.moved = last !== await line();
  const cells = () => [...document.querySelectorAll("#table tbody tr")].map(
    (row) => row.cells[2].textContent);
  log.rows = cells();
  const heading = document.querySelectorAll("#table th")[2];
  heading.click(); heading.click();
  log.sorted = cells();
  log.network = performance.getEntriesByType("resource").map((entry) => entry.name);
}
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.slow
@pytest.mark.parametrize("width", [1300, 400])
def test_in_a_browser(tmp_path, width):
    page = publish(REPORT, STUDY, tmp_path / "report").page.read_text()
    # A browser without a screen has no window of 400 pixels; the page gets that width instead.
    narrow = f"<style>body {{ max-width: {width}px !important; }}</style></head>"
    page = page.replace("<head>", f"<head>{DRIVE}", 1).replace("</head>", narrow, 1)
    (tmp_path / "driven.html").write_text(page)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--dump-dom"]
    flags += [f"--user-data-dir={tmp_path}/profile", "--window-size=1300,1600"]
    flags += ["--virtual-time-budget=300000", f"file://{tmp_path}/driven.html"]
    found = subprocess.run(
        [CHROMIUM, *flags], capture_output=True, text=True, timeout=180, check=True
    )
    title = re.search(r"<title>(.*?)</title>", found.stdout, re.DOTALL)[1]
    log = json.loads(title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert log["errors"] == [] and log["network"] == []
    assert log["charts"] == 2 and log["wide"] <= 0, "nothing is wider than the page"
    assert log["width"] <= width
    assert "mean" in log["tooltip"] or "replica" in log["tooltip"]
    assert log["before"] != log["after"], "a legend entry alone"
    assert log["moved"], "the slider changes the profile"
    assert log["sorted"] == sorted(log["rows"], reverse=True)


@pytest.mark.slow
def test_a_kept_study_makes_its_files_again(tmp_path):
    keep_study(REPORT, STUDY, tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {
        "results.nc", "run.json", "report.html", "replicas.csv", "table.md", "table.csv",
        "findings.md", "profile.png", "errors.png",
    }  # fmt: skip
    for name, text in kept_files(REPORT, results.open(tmp_path)).items():
        assert (tmp_path / name).read_text() == text, name
    page = (tmp_path / "report.html").read_text()
    links = re.findall(r'<a href="([^"#]+)"', page)
    assert links and all((tmp_path / link).is_file() for link in links)
    assert len(page) < 1.5e6


def test_a_mean_is_explained_by_its_measure():
    made = REPORT.exhibits[2].make(STUDY, context_of(STUDY))
    assert made.about[-1] == "½E(g − f)²."
