"""The control that must fail: where the hypothesis is wrong, the tool has to say so."""

import json

import numpy as np
import pytest

from experiments import main, reproduce
from pvr_jax.reporting import read_run, summary_table

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
    table = summary_table([read_run(directory)]).set_index("frozen_bit")
    assert (table["in_distribution_error"] < 1e-4).all()
    assert table["influence"].tolist() == [0, 1]
    if biases == "yes":  # these networks can hold x1 x2 x3, and do better than the bound
        assert table.loc[0, "generalization_error"] < 0.9
        return
    # A linear plus an even function that is x1 x2 x3 where x0 = 1 is its negative elsewhere.
    assert table.loc[0, "generalization_error_high"] >= 1
    errors = json.loads((directory / "measures.json").read_text())["measures"]
    errors = np.array(errors["generalization_error"][-1])
    assert (errors > 1 - 0.01).all()
    assert table.loc[0, "verdict"] == "above"
    assert table["prediction_wide_ntk"].to_numpy() == pytest.approx([1, 1], abs=1e-9)
    # The kernel of a network of finite width obeys the same bound.
    empirical = table["prediction_empirical_ntk"].to_numpy()
    assert (empirical > 1 - 1e-9).all() and (empirical < 1.1).all()
    # Of the functions, too, the kernel leaves least unexplained: what was learned has a linear part
    # as well, but nothing of the target.
    assert table.loc[0, "unexplained_wide_ntk"] < 0.5 < 0.9 < table.loc[0, "unexplained_influence"]
