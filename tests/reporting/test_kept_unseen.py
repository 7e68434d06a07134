"""Every kept table of unseen domains and of the curriculum is made of the data kept beside it."""

import io
from pathlib import Path

import pandas as pd
import pytest
from kept_unseen import kept_arms, kept_cells

from pvr_jax.reporting.curriculum.report import study as curriculum_study
from pvr_jax.reporting.unseen.report import study as unseen_study

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
UNSEEN = sorted((EXPERIMENTS / "unseen_domain" / "results").iterdir())
CURRICULUM = sorted((EXPERIMENTS / "degree_curriculum" / "results").iterdir())


@pytest.mark.parametrize("directory", [*UNSEEN, *CURRICULUM], ids=lambda path: path.name)
def test_kept_text_is_what_the_kept_data_say(directory):
    if directory in UNSEEN:
        _, files = unseen_study(kept_cells(directory))
    else:
        _, files = curriculum_study(kept_arms(directory))
    kept = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.md")}
    assert {"table.md", "findings.md"} <= kept.keys()
    assert kept == {name: files[name] for name in kept}
    for path in directory.glob("*.csv"):  # their last digits may be others
        made = pd.read_csv(io.StringIO(files[path.name]))
        pd.testing.assert_frame_equal(made, pd.read_csv(path), rtol=1e-9, check_dtype=False)
    assert files["replicas.csv"] == (directory / "replicas.csv").read_text(encoding="utf-8")
