"""One report, written once, that most tests read."""

from types import SimpleNamespace

import pytest
from synthetic_runs import write_run

from pvr_jax.reporting import read_runs, summary_table, write_report


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """Three finished runs (a diverged replica, one seed, large losses) and one unfinished."""
    workdir = tmp_path_factory.mktemp("reported")
    write_run(workdir, shrink={0: 0.75}, diverged={"bit7-seed1": 300})
    write_run(
        workdir,
        "pvr_majority-token_mixer-00000001",
        seeds=1,
        influences={0: 0.5},
        task_label="50 % & $x_1$ <b>",
    )
    write_run(workdir, "quadratic_chain-mlp-00000002", influences={7: 113.0}, scale=100.0)
    write_run(workdir, "staircase-mlp-00000003", finished=False)
    paths = write_report(workdir)["canonical_holdout"]
    runs, unfinished = read_runs(workdir / "canonical_holdout")
    return SimpleNamespace(
        workdir=workdir,
        paths=paths,
        runs=runs,
        unfinished=unfinished,
        table=summary_table(runs),
        page=paths.page.read_text(encoding="utf-8"),
    )
