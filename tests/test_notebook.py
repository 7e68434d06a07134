"""The notebook: short, with its outputs, and it runs as it is."""

import json

import pytest
from documents import ROOT
from test_readme import environment

NOTEBOOK = ROOT / "docs/notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
MAX_IMAGE_BYTES = 100_000


def test_the_notebook_is_short():
    lines = [line for cell in CODE for line in cell["source"] if line.strip()]
    assert 0 < len(lines) < 40


def test_the_notebook_keeps_small_outputs():
    assert [cell["execution_count"] for cell in CODE] == [*range(1, len(CODE) + 1)]
    outputs = [output for cell in CODE[1:] for output in cell["outputs"]]  # the first has none
    assert len(outputs) == len(CODE) - 1
    images = [output["data"]["image/png"] for output in outputs if "image/png" in str(output)]
    assert len(images) == 1 and len(images[0]) < MAX_IMAGE_BYTES
    assert not any(output["output_type"] == "error" for output in outputs)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    import nbclient
    import nbformat

    (tmp_path / "docs").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path / "docs")}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=place)
    client.execute(env=environment(2))
    # What does not depend on the machine is as it is stored.
    last = notebook.cells[-1]["outputs"][0]["data"]["text/plain"]
    assert last == "".join(CODE[-1]["outputs"][0]["data"]["text/plain"])
    (run,) = tmp_path.glob("runs/notebook/canonical_holdout/*")
    assert (run / "predictions.nc").is_file()
