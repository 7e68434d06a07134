"""Every kept table of unseen domains and of the curriculum is made of the data kept beside it."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from kept_unseen import kept_arms, kept_cells
from pvr_jax.reporting.curriculum.report import study as curriculum_study

from pvr_jax.reporting.unseen.report import study as unseen_study

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
UNSEEN = sorted((EXPERIMENTS / "unseen_domain" / "results").iterdir())
CURRICULUM = sorted((EXPERIMENTS / "degree_curriculum" / "results").iterdir())
# The values by seed of what `kept_unseen` has stand-ins for.
STAND_INS = ["learned_by_seed", "mass_above_by_seed"]


def without_stand_ins(name, text):
    """Return a kept file without the seeds in parentheses, if stand-ins are among them."""
    if name not in ("coefficients.md", "degrees.md"):
        return text
    return re.sub(r"-{2,}", "-", re.sub(r"( \([^()]*\))? *\| *", "|", text))


@pytest.mark.parametrize("directory", [*UNSEEN, *CURRICULUM], ids=lambda path: path.name)
def test_kept_text_is_what_the_kept_data_say(directory):
    if directory in UNSEEN:
        _, files = unseen_study(kept_cells(directory))
    else:
        _, files = curriculum_study(kept_arms(directory))
    kept = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.md")}
    assert {"table.md", "findings.md"} <= kept.keys()
    for name in kept:
        assert without_stand_ins(name, files[name]) == without_stand_ins(name, kept[name]), name
    for path in directory.glob("*.csv"):  # their last digits may be others
        made, found = pd.read_csv(io.StringIO(files[path.name])), pd.read_csv(path)
        made, found = (rows.drop(columns=STAND_INS, errors="ignore") for rows in (made, found))
        pd.testing.assert_frame_equal(made, found, rtol=1e-9, check_dtype=False)
    assert files["replicas.csv"] == (directory / "replicas.csv").read_text(encoding="utf-8")
