"""A report finds its runs from any folder near them."""

import re

import pytest

from experiments import main
from pvr_jax import results

RUN = "pvr-mlp-0123abcd"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Runs of two work directories, one of them with a sweep, and a folder of another thing."""
    for place in ("one/canonical_holdout", "one/sweeps/unseen_domain", "two/canonical_holdout"):
        (tmp_path / place / RUN / "checkpoints" / "300").mkdir(parents=True)
        (tmp_path / place / RUN / "config.json").write_text("{}")
    (tmp_path / "swept" / "sweeps" / "canonical_holdout" / RUN).mkdir(parents=True)
    (tmp_path / "swept" / "sweeps" / "canonical_holdout" / RUN / "config.json").write_text("{}")
    # The name of an experiment is not enough: the sources have it, too.
    (tmp_path / "source" / "canonical_holdout" / "results" / "quickstart").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "asked, found",
    [
        ("one", ["one/canonical_holdout"]),
        ("one/canonical_holdout", ["one/canonical_holdout"]),
        ("one/sweeps", ["one/sweeps/unseen_domain"]),
        ("swept", ["swept/sweeps/canonical_holdout"]),  # below
        (".", ["one/canonical_holdout", "two/canonical_holdout"]),
        (f"one/canonical_holdout/{RUN}", ["one/canonical_holdout"]),  # above
        (f"two/canonical_holdout/{RUN}/checkpoints", ["two/canonical_holdout"]),
        (f"swept/sweeps/canonical_holdout/{RUN}", ["swept/sweeps/canonical_holdout"]),
    ],
)
def test_runs_are_found_above_and_below(folders, asked, found):
    directories = main.experiment_directories(None, folders / asked)
    assert directories == [folders / place for place in found]


def test_the_folder_of_a_run_may_be_the_current_one(folders, monkeypatch):
    monkeypatch.chdir(folders / "one" / "canonical_holdout" / RUN)
    (found,) = main.experiment_directories(None, main.Path("."))
    assert found.samefile(folders / "one" / "canonical_holdout")


@pytest.mark.parametrize("here, asked", [(".", "two"), ("two", "canonical_holdout")])
def test_runs_without_an_end_are_named_with_what_to_type(folders, monkeypatch, here, asked):
    monkeypatch.chdir(folders / here)
    workdir = {".": "two", "two": "."}[here]
    told = re.escape(f"{RUN}; finish with: ./launch.sh run CONFIG --workdir={workdir}")
    with pytest.raises(FileNotFoundError, match=f"{told}$"):
        results.open(asked)


@pytest.mark.parametrize("asked", ["source", "nowhere"])
def test_where_there_is_no_run_one_line_says_so(folders, asked):
    with pytest.raises(FileNotFoundError, match=r"holds no run; make one: \./launch\.sh run"):
        main.experiment_directories(None, folders / asked)
