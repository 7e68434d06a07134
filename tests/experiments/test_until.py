"""Seeds that are added until every verdict is decided, by the command line."""

from dataclasses import replace

import pytest

from configs import canonical_holdout
from experiments import command_line, reports, until
from experiments.canonical_holdout.report import REPORT
from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.results.verdicts import Decision
from pvr_jax.training import run_log

CONFIG = "--config=configs/canonical_holdout.py:model=mlp,tiny"


def parsed(*flags):
    return command_line.parse(["main", CONFIG, "--check", *flags])


def test_seeds_are_added_up_to_a_number_only_where_asked():
    assert parsed().max_seeds == 0
    assert parsed("--until=decided").max_seeds == 40
    assert parsed("--until=decided", "--max_seeds=12").max_seeds == 12


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max_seeds=12"], "--max_seeds: given without --until=decided"),
        (["--until=decided", "--max_seeds=1"], "max_seeds"),
        (["--until=settled"], "until"),
        (["--until=decided", "--stage=train"], "--stage: given train; allowed all with --until"),
        (["--until=decided", "--sweep=bits"], "--sweep: given bits; allowed no sweep with --unti"),
        (["--until=decided", "--hosts=all"], "--hosts: given all; allowed one with --until"),
    ],
)
def test_what_does_not_go_with_it_is_named_in_one_line(flags, words):
    with pytest.raises(Refusal) as refused:
        parsed(*flags)
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "given", "bits", "words"),
    [
        (
            "canonical_holdout",
            {"train.seeds": 7},
            "all",
            "--config.train.seeds: given 7; allowed -",
        ),
        ("canonical_holdout", {}, "none", "allowed with frozen bits"),
    ],
)
def test_what_has_no_verdicts_is_named_in_one_line(file, given, bits, words):
    config = canonical_holdout.get_config("model=mlp,tiny").unlock()
    config.holdout.bits = bits
    with pytest.raises(Refusal, match=words):
        until.check(config, given)
    config.experiment = "degree_curriculum"
    with pytest.raises(Refusal, match="allowed where degree_curriculum has verdicts"):
        until.check(config, given)


@pytest.mark.slow
def test_cells_that_are_decided_get_no_more_seeds(tmp_path, monkeypatch, capsys):
    """Bit 0 is decided at the first look, bit 2 at the second, whatever the numbers are."""
    looked = []

    def decisions(study, context):
        seeds = study.final().groupby("frozen_bit")["seed"].nunique()
        looked.append(seeds.to_dict())
        second = "equal" if seeds[2] > 5 else "undecided"
        return [("0", Decision("below", 5)), ("2", Decision(second, int(seeds[2])))]

    monkeypatch.setattr(reports, "report_of", lambda name: replace(REPORT, decisions=decisions))
    config = canonical_holdout.get_config("task=quadratic_chain,model=mlp,tiny")
    until.decided(config, tmp_path, 8)
    assert looked == [{0: 5, 2: 5}, {0: 5, 2: 8}]
    root = tmp_path / "canonical_holdout"
    study = results.open(root)
    assert sorted(study.final().groupby("frozen_bit")["seed"].nunique()) == [5, 8]
    assert {run.attrs["looks"] for run in study.runs} == {"5,8"}
    own = [len(run_log.read_record(path.parent)["replicas"]) for path in root.glob("*/run.json")]
    assert sorted(own) == [3, 10]  # ten at first, then three more of bit 2
    assert "predicted_generalization_error" in study
    assert "look at 8 seeds: 2 of 2 cells are decided" in capsys.readouterr().out
    until.decided(config, tmp_path, 8)  # all is there
    assert len(list(root.glob("*/run.json"))) == 2
