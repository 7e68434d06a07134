"""The control that must fail: where the hypothesis is wrong, the tool has to say so."""

import pytest

from experiments import main, reproduce
from experiments.canonical_holdout import frames, verdicts
from experiments.canonical_holdout.report import REPORT
from pvr_jax import results
from pvr_jax.reporting.exhibits import context_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["no", "yes"])
def control(request, tmp_path_factory):
    """The control on 5 bits, trained to its end: (biases, run directory)."""
    workdir = tmp_path_factory.mktemp(f"control_{request.param}")
    config = reproduce.load("control").get_config(f"biases={request.param},size=small")
    with config.unlocked():
        config.task.n = 5
        config.model.widths = (128,)
        config.train.update({"seeds": 3, "epochs": 1500, "learning_rates": (3e-3,)})
        config.evaluation.every_epochs = 500
        config.checkpoint.count = 2
    for stage in ("train", "analyse", "predict"):
        main.run_stage(stage, config, workdir)
    (directory,) = {path.parent for path in workdir.rglob("config.json")}
    return request.param, directory


def test_the_control_fails_on_cue(control):
    biases, directory = control
    study = results.open(directory)
    found = frames.replicas(study)
    assert (found["in_distribution_error"] < 1e-4).all()
    means = found.groupby("frozen_bit").mean(numeric_only=True)
    assert means["influence"].tolist() == [0, 1]
    if biases == "yes":  # these networks can hold x1 x2 x3, and do better than the bound
        assert means.loc[0, "generalization_error"] < 0.9
        return
    # A linear plus an even function that is x1 x2 x3 where x0 = 1 is its negative elsewhere.
    assert (found["generalization_error"] > 1 - 0.01).all()
    cell = found[found["frozen_bit"] == 0]
    assert verdicts.verdict_of(cell, context_of(study, REPORT.measures)).verdict == "above"
    assert means["predicted_wide_ntk"].to_numpy() == pytest.approx([1, 1], abs=1e-9)
    # The kernel of a network of finite width obeys the same bound.
    empirical = means["predicted_empirical_ntk"].to_numpy()
    assert (empirical > 1 - 1e-9).all() and (empirical < 1.1).all()
    # Of the functions, too, the kernel leaves least unexplained: what was learned has a linear part
    # as well, but nothing of the target.
    assert means.loc[0, "residual_wide_ntk"] < 0.5 < 0.9 < means.loc[0, "residual_influence"]
