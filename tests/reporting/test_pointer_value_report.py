"""The report of pointer value retrieval: numbers by hand, verdicts, charts and examples."""

import base64
import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_pointer import answered, label_of, run, study, token_examples

from experiments.pointer_value import examples, frames
from experiments.pointer_value.report import REPORT
from pvr_jax import results
from pvr_jax.refusal import Refusal
from pvr_jax.reporting.exhibits import context_of
from pvr_jax.reporting.keep import kept_files
from pvr_jax.reporting.sweeps import replica_rows

STUDENT_3 = 4.302653  # 97.5 % quantile with two degrees of freedom


def tables(found):
    """Return the tables of a study that have rows, as frames of their texts, by name."""
    context, made = context_of(found, REPORT.measures), {}
    for exhibit in REPORT.exhibits_of(found):
        if hasattr(exhibit, "columns") and len(table := exhibit.make(found, context)):
            rows = [[cell.text for cell in row] for row in table.rows]
            made[exhibit.name] = pd.DataFrame(rows, columns=table.headings)
    return made


def sentences(found):
    context = context_of(found, REPORT.measures)
    made = [e.make(found, context) for e in REPORT.exhibits_of(found) if hasattr(e, "template")]
    return " ".join([REPORT.verdict(found, context), *(text for own in made for text in own)])


def test_gaps_are_of_replicas_and_stay_within_their_range():
    iid, other = (0.9, 0.7, 0.8), (0.65, 0.45, 0.52)
    found = study(
        run(
            [("mod_sum", 1, 1)],
            accuracy=lambda f, n, seed: iid[seed],
            withheld=lambda f, n, seed: other[seed],
            samples=(1000,),
        )
    )
    row = tables(found)["holdout"].iloc[0]
    half = STUDENT_3 * np.std([0.25, 0.25, 0.28], ddof=1) / math.sqrt(3)
    # (gap + 1) / 2 = .63 is put on the logit scale, where half of its half-width belongs to it.
    low, high = (
        200 / (1 + 0.37 / 0.63 * math.exp(-side * half / 2 / (0.63 * 0.37))) - 100
        for side in (-1, 1)
    )
    assert row["gap, points [95 %]"] == f"26.00 [{low:.2f}, {high:.2f}] (25.0, 25.0, 28.0)"
    assert row["verdict"] == "withheld inputs are harder"
    assert (row["withheld"], row["removed, %"], row["uniform guess"]) == ("1", "1.00", "10.00")
    assert "harder in 1 of 1 conditions" in sentences(found)


def test_sizes_stand_beside_each_other_and_losses_are_of_the_set_or_the_stream():
    functions = [("retrieval", 0, 0), ("max", 1, 0), ("max", 1, 2)]
    fixed = run(functions, accuracy=lambda f, n, s: 0.5 + 0.2 * (n > 1000) - 0.1 * f[1])
    shown = tables(study(fixed))
    assert list(shown["sizes"]) == ["aggregation", "complexity", "chance", "1000", "10000"]
    assert shown["sizes"]["1000"].tolist()[0] == "50.00 [–] (50.0, 50.0, 50.0)"
    # What withholds more than the least is in the table of withheld inputs.
    assert len(shown["sizes"]) == 2 and len(shown["holdout"]) == 2
    assert shown["table"]["training loss [95 %]"][0].startswith("0.00 [–]")
    stream = tables(study(run(samples=())))["table"]
    assert stream["samples"].tolist() == ["20000"]
    assert stream["training loss [95 %]"].tolist() == ["2.00 [–] (2.00, 2.00, 2.00)"]
    assert stream["training accuracy, % [95 %]"].tolist() == ["– †"]  # 90 % of the stream


def test_a_diverged_replica_is_named_and_left_out():
    lost = "mod_sum-1-0-samples1000-seed2"
    own = run(accuracy=lambda f, n, s: (0.8, 0.9, 0.0)[s], samples=(1000,), diverged=[lost])
    row = tables(study(own))["table"].iloc[0]
    assert row["i.i.d. accuracy, % [95 %]"].startswith("85.00 [")
    assert row["replicas"] == "2 of 3"
    page = kept_files(REPORT, study(own))["report.html"]
    assert f"{lost} diverged at step 10; not in the means" in page
    names = [f"mod_sum-1-1-samples1000-seed{seed}" for seed in range(3)]
    nothing = run([("mod_sum", 1, 1)], samples=(1000,), diverged=names)
    assert kept_files(REPORT, study(nothing))["findings.md"].startswith("Every replica diverged.")


def test_samples_to_the_threshold():
    # Seed 0 passes 95 % halfway between 1000 and 10000, seed 1 a quarter of the way.
    ends = {0: (0.90, 1.00), 1: (0.93, 1.01)}
    own = study(run(accuracy=lambda f, n, s: ends[s][n > 1000], seeds=2))
    found = frames.thresholds(own)
    assert found["samples_to_95"].tolist() == pytest.approx([1000 * 10**0.5, 1000 * 10**0.25])
    half = 12.706205 * 0.125 * math.log(10)  # of two values that are 0.25 decades apart
    middle = 1000 * 10**0.375
    assert found["needed"].tolist() == pytest.approx([middle] * 2)
    text = tables(own)["samples"]["samples [95 %]"][0]
    low, high = middle / math.exp(half), middle * math.exp(half)
    assert text == f"2370 [{low:.0f}, {high / 1000:.1f}00] (3162, 1778)".replace(".", "\u2009")
    # A seed that is there with the fewest may need fewer; one that never is, more than the most.
    for accuracy, expected in (
        (lambda f, n, s: 0.99, "≤ 1000 [–]"),
        (lambda f, n, s: 0.99 if s or n > 1000 else 0.5, "≤ 1000 [–]"),
        (lambda f, n, s: 0.5, "> 10\u2009000"),
    ):
        text = tables(study(run(accuracy=accuracy)))["samples"]["samples [95 %]"][0]
        assert text[:2] == expected[:2] and (text == expected or text.endswith("[–]"))
    # A seed whose largest set is missing says nothing of it.
    lost = run(
        accuracy=lambda f, n, s: 0.5 if n == 1000 else 0.99,
        diverged=["mod_sum-1-0-samples10000-seed1"],
    )
    assert tables(study(lost))["samples"]["seeds that reach it"].tolist() == ["2 of 2"]
    assert "samples" not in tables(study(run(samples=(1000,))))


def test_samples_of_a_stream_are_those_shown_until_then():
    def curve(f, seed, step, last):
        return {0: 0.1, 10: 0.5, 100: 0.9, 1000: 1.0}[step] if seed < 2 else 0.1

    own = study(run(samples=(), curve=curve))
    half_decade = 20 * 100 * 10**0.5
    found = frames.thresholds(own)
    assert found["samples_to_95"].tolist() == pytest.approx([half_decade, half_decade, math.inf])
    bound = (half_decade**2 * 20_000) ** (1 / 3)  # the third seed enters with all 20,000
    assert found["bound"].tolist() == pytest.approx([bound] * 3)
    row = tables(own)["samples"].iloc[0]
    assert row["seeds that reach it"] == "2 of 3" and row["samples [95 %]"].startswith("> ")


def test_rank_correlation_ties_functions_that_are_not_reached_at_the_top():
    functions = [("mod_sum", m, 0) for m in range(1, 6)]
    ends = {1: 1.0, 2: 0.99, 3: 0.97, 4: 0.6, 5: 0.7}
    own = study(
        run(
            functions,
            noise=(0.1, 0.2, 0.3, 0.4, 0.5),
            accuracy=lambda f, n, s: ends[f[1]] if n > 1000 else 0.5 + 0.001 * s,
        )
    )
    expected = np.corrcoef(np.arange(5.0), [0, 1, 2, 3.5, 3.5])[0, 1]
    width = 1.959964 * math.sqrt((1 + expected**2 / 2) / 2)
    low, high = (math.tanh(math.atanh(expected) + side * width) for side in (-1, 1))
    text = sentences(own)
    assert f"is {expected:.2f} [{low:.2f}, {high:.2f}], with functions that do not reach" in text
    assert (
        "(3 of 5 reach it), and 1.00 [–] over those that reach it: functions that are more" in text
    )
    spec = next(e for e in REPORT.charts(own) if e.name == "samples_against_noise").spec(
        own, context_of(own, REPORT.measures)
    )
    assert spec["data"]["values"].count("not reached by every seed") == 2


def test_retrieval_is_a_case_of_every_aggregation():
    functions = [("retrieval", 0, 0), ("max", 1, 0), ("mod_sum", 1, 0), ("mod_sum", 2, 0)]
    found = frames.by_aggregation(frames.replicas(study(run(functions, samples=(1000,)))))
    cases = found.groupby("aggregation")["complexity"].unique().map(sorted).to_dict()
    assert cases == {"max": [0, 1], "mod_sum": [0, 1, 2]}


def odd(f, samples, seed):
    """Grows with complexity and falls with size, by nearly the same for every seed."""
    jitter = 1e-4 * (seed * (1 + f[1]) % 3) * (1 + (samples > 1000))
    return 0.6 + 0.1 * f[1] - 0.1 * (samples > 1000) + 0.01 * seed + jitter


@pytest.mark.parametrize("train", [1.0, 0.98, math.nan])
def test_verdicts_need_a_finished_fit(train):
    functions = [("retrieval", 0, 0), ("mod_sum", 1, 0), ("mod_sum", 2, 0), ("mod_sum", 2, 1)]
    easier = (0.05, 0.051, 0.052)
    own = study(
        run(
            functions,
            accuracy=odd,
            withheld=lambda f, n, s: odd(f, n, s) + easier[s],
            train=lambda f, n, s: train,
        )
    )
    shown, text = tables(own), sentences(own)
    if train == 1:
        assert shown["complexity"]["verdict"].tolist() == ["rises", "rises"]
        assert "from 1000 to 10000 samples i.i.d. accuracy falls: -9.99" in text
        assert set(shown["holdout"]["verdict"]) == {"withheld inputs are easier"}
    else:
        assert set(shown["complexity"]["verdict"]) == {"no verdict, the fit is not finished"}
        assert set(shown["holdout"]["verdict"]) == {"no verdict, the fit is not finished"}
        assert shown["holdout"]["gap, points [95 %]"].str.endswith(" †").all()
        assert "falls by" not in text


def test_verdicts_are_corrected_for_their_number_and_two_groups_have_none():
    # Gaps .01 apart, of three seeds: alone ± 2.48 points, one of three at once ± 4.42 (t = 7.649).
    gaps = {1: 0.035, 2: 0.20, 3: 0.20}
    functions = [("mod_sum", 3, count) for count in gaps]

    def withheld(f, n, seed):
        return 0.9 - gaps[f[2]] - 0.01 * (seed - 1)

    alone, three = (
        tables(study(run(own, withheld=withheld, samples=(1000,))))["holdout"]
        for own in (functions[:1], functions)
    )
    assert alone["gap, points [95 %]"][0].startswith("3.50 [1.01, 5.98]")
    assert alone["verdict"][0] == "withheld inputs are harder"
    different = ["no significant difference", *["withheld inputs are harder"] * 2]
    assert three["verdict"].tolist() == different
    groups = study(
        run(
            [("mod_sum", 1, 1)],
            withheld=lambda f, n, seed: (0.1, 0.85)[seed % 2] + 0.001 * seed,
            seeds=10,
            samples=(1000,),
        )
    )
    row = tables(groups)["holdout"].iloc[0]
    assert "(5 at 10.4 and 5 at 85.5)" in row["withheld accuracy, % [95 %]"]
    assert row["verdict"] == "no verdict, two groups of seeds or all equal"
    one = tables(study(run([("mod_sum", 1, 1)], seeds=1)))["holdout"]
    assert set(one["verdict"]) == {"no verdict, one replica"}


def test_samples_that_are_learned_by_heart_are_counted():
    own = run(accuracy=lambda f, n, s: 0.3 if n == 1000 else 0.9)
    assert tables(study(own))["table"]["memorized"].tolist() == ["3 of 3", "0 of 3"]


@pytest.mark.parametrize("differences", [(0.01, 0.011, 0.009), (0.02, 0.005, -0.01)])
def test_networks_are_compared_by_seed_in_the_conditions_they_share(differences):
    functions = [("retrieval", 0, 0), ("mod_sum", 1, 0)]
    first = run(functions, accuracy=lambda f, n, s: 0.95 + 0.004 * s - 0.1 * f[1])
    second = run(
        functions[:1],
        name="token_pvr-token_mixer-0000000b",
        accuracy=lambda f, n, s: 0.95 + 0.004 * s + differences[s],
        rate=1e-2,
    )
    shown = tables(study(first, second))["models"].set_index("network")
    assert shown["accuracy, % [95 %]"]["token_mlp"].startswith("95.40 [")
    assert shown["verdict"]["token_mixer"] == "highest mean"
    told_apart = differences[0] == 0.01
    assert (shown["verdict"]["token_mlp"] == "less accurate") == told_apart


def test_confusion_is_normalized_by_class_before_seeds_are_averaged():
    own = study(
        run(
            [("mod_sum", 1, 1)],
            accuracy=lambda f, n, s: (0.8, 0.9)[s],
            withheld=lambda f, n, s: 0.25,
            samples=(1000,),
            seeds=2,
        )
    )
    found = frames.confusions(own).groupby(["split", "true_class", "predicted_class"])["share"]
    assert found.mean()["i.i.d.", 0, 1] == pytest.approx(0.15)
    assert found.mean()["withheld", 1, 2] == pytest.approx(0.75)
    recall = tables(own)["recall"].set_index("test inputs")
    assert recall["1"]["i.i.d."].startswith("85.0 [") and recall["0"]["withheld"] == "–"


def test_charts_show_what_is_known_and_lack_what_was_not_kept():
    functions = [("retrieval", 0, 0), ("mod_sum", 1, 0), ("mod_sum", 1, 1)]
    own = study(run(functions))
    names = [chart.name for chart in REPORT.charts(own)]
    assert names[:2] == ["accuracy_over_samples", "accuracy_over_withheld"]
    assert {"accuracy_over_steps", "confusion"} <= set(names)
    spec = REPORT.charts(own)[0].spec(own, context_of(own, REPORT.measures))
    assert "chance" in spec["data"]["values"]
    last = (
        run(functions).isel(step=-1, drop=True).drop_vars(["iid_confusion", "withheld_confusion"])
    )
    kept = study(last)
    assert [chart.name for chart in REPORT.charts(kept)] == names[: names.index("confusion") - 1]
    assert tables(kept)["table"].equals(tables(own)["table"])
    alone = study(run(samples=(1000,)))
    assert "accuracy_over_samples" not in [chart.name for chart in REPORT.charts(alone)]


def rendered(*runs):
    found = study(*runs)
    return str(examples.render(found, frames.replicas(found)))


@pytest.mark.parametrize("name", ["mod_sum", "min", "max", "median", "majority_vote"])
def test_the_label_is_computed_from_the_window(name):
    known = token_examples(name, 3)
    text = re.sub(r"<[^>]*>", "", rendered(run([(name, 3, 0)], examples=known)))
    for x in known["iid_example_input"][0].tolist():
        window = " ".join(str(x[1 + (x[0] + i) % 10]) for i in range(4))
        label = label_of(x, name, 3)
        assert re.search(rf"pointer {x[0]} → window {window} → [a-z0-9 ]+: label {label}", text)


def test_pointer_and_window_are_marked_and_a_wrong_label_is_refused():
    x = np.array([[8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4]])
    page = rendered(
        run([("mod_sum", 2, 0)], examples={"places": [0], **answered("iid", x, np.array([4]))})
    )
    boxes = re.findall(r'class="digit (\w*)"', page)
    assert boxes == ["pointer", "window", *[""] * 7, "window", "window"]
    wrong = run([("mod_sum", 2, 0)], examples={"places": [0], **answered("iid", x, np.array([5]))})
    with pytest.raises(Refusal, match=r"a label is 5 where the input says 4; delete measures.nc"):
        rendered(wrong)


def test_every_input_is_shown_once_wrong_ones_first():
    known = token_examples("mod_sum", 1, parts=("iid", "withheld"))
    runs = [
        run([("mod_sum", 1, 1)], name=f"token_pvr-{model}-0000000a", examples=known)
        for model in ("token_mlp", "token_mixer")
    ]
    page = rendered(*runs)
    assert page.count('<div class="example ') == 12  # of 24 that two networks were shown
    opened = page[: page.index("<details>")]
    assert re.findall(r'<div class="example (\w+)', opened) == 2 * [*3 * ["wrong"], "right"]
    assert page.count("✗ wrong") == page.count("✓ right") == 12
    assert "withheld: &lt;the first&gt;" in page and "<the first>" not in page
    assert "token_mlp, 1 withheld, 1000 samples: 10.00 %" in page.replace("\u2009", "").replace(
        ",000", "000"
    )


def test_pictures_and_hops():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24)).astype(np.uint8)
    name = "visual_pvr-resnet-0000000a"
    known = {"places": [0], **answered("iid", pixels, np.array([3, 4]))}
    page = rendered(run([(None, None, 0)], name=name, examples=known))
    assert page.count('width="120" height="120"') == 2
    data = re.search(r"data:image/png;base64,([^\"]+)", page)[1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(shown, pixels[1])  # examples in odd places are wrong, and stand first
    hops = np.array([[2, 0, 4, 1, 3]])
    known = {"places": [0], **answered("iid", hops, np.array([2]))}
    name = "conditional_pvr-token_mlp-0000000a"
    page = rendered(run([(None, None, 0)], name=name, examples=known))
    assert "hops 0 → 2 → 4, where 3 does not lead on: label <b>2</b>" in page


def test_the_page_opens_with_examples_unless_their_replica_diverged(tmp_path):
    lost = "mod_sum-1-0-samples1000-seed0"
    known = token_examples("mod_sum", 1)
    whole, without = (run(examples=known, diverged=own) for own in ((), [lost]))
    page = kept_files(REPORT, study(whole))["report.html"]
    assert 0 < page.index('<div class="example ') < page.index("data-chart=")
    assert rendered(without) == ""
    assert 'class="example ' not in kept_files(REPORT, study(run()))["report.html"]


def test_files_of_runs_and_sweeps(tmp_path):
    directory = tmp_path / "pointer_value" / "token_pvr-token_mlp-0000000a"
    directory.mkdir(parents=True)
    results.write(directory / "measures.nc", run([("min", 2, 0), ("min", 2, 3)], seeds=2))
    rows = replica_rows(directory)
    assert [row["withheld_accuracy"] for row in rows[4:]] == [0.5] * 4 and len(rows) == 8
    assert rows[0]["withheld_accuracy"] is None and rows[0]["task"] == "token_pvr"
    path = directory / "measures.nc"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(Refusal, match=f"damaged file {path}") as caught:
        results.open(tmp_path / "pointer_value")
    assert "\n" not in str(caught.value)
