"""Ratios, bars, and the files that results are written to."""

import json
import time

import pytest

from benchmarks import machine, measuring

MACHINE = {
    "date": "2000-01-01 00:00 UTC",
    "git_commit": "abc",
    "description": "a machine",
    "load_before": 0.1,
    "versions": {"python": "3.11"},
}


def test_alternation_gives_the_ratio_of_pairs():
    order = []

    def slow():
        order.append("slow")
        time.sleep(0.02)

    found = measuring.alternate(slow, lambda: order.append("quick"), pairs=3, warm_up=1)
    assert order == ["slow", "quick", "slow", "quick", "quick", "slow", "slow", "quick"]
    assert len(found.ratios) == 3
    expected = [a / b for a, b in zip(found.first.seconds, found.second.seconds, strict=True)]
    assert list(found.ratios) == expected
    assert found.scaled(2).median == 2 * found.median
    assert found.spread == (min(expected), max(expected))


@pytest.mark.parametrize(
    ("asked", "bar", "met"),
    [
        ({"at_least": 2.0}, "≥ 2", True),
        ({"at_least": 2.1}, "≥ 2.1", False),
        ({"at_most": 2.0}, "≤ 2", True),
        ({"at_most": 1.9}, "≤ 1.9", False),
        ({"within": (1.0, 2.0)}, "1 … 2", True),
        ({"within": (2.5, 3.0)}, "2.5 … 3", False),
        ({}, None, None),
    ],
)
def test_a_measurement_is_held_against_its_bar(asked, bar, met):
    row = measuring.measurement("case", 2.0, "seconds", **asked)
    assert (row.bar, row.met) == (bar, met)


def test_results_are_lines_and_tables(tmp_path):
    rows = [
        measuring.measurement("one", 2.5, "× more", {"n": 3}, spread=(2.0, 3.0), at_least=3),
        measuring.measurement("two", 1234.5, "× more", {"n": 1000}, at_least=3),
        measuring.measurement("other", 0.5, "seconds", details={"part_ms": 0.25}),
    ]
    path = measuring.write(tmp_path, "speed", MACHINE, rows)
    first, *others = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {"benchmark": "speed", "machine": MACHINE}
    assert [line["case"] for line in others] == ["one", "two", "other"]
    assert others[0]["met"] is False and others[0]["date"] == MACHINE["date"]
    read_machine, read_rows = measuring.read(path)
    assert read_machine == MACHINE
    assert [row.value for row in read_rows] == [2.5, 1234.5, 0.5]
    text = (tmp_path / "speed.md").read_text()
    assert "| case | n | × more | spread | bar | met |" in text
    assert "| one | 3 | 2.5 | 2 – 3 | ≥ 3 | no |" in text
    assert "| two | 1,000 | 1,234 |  | ≥ 3 | yes |" in text
    assert "| case | seconds | part ms |" in text
    assert sorted(item.name for item in tmp_path.iterdir()) == ["speed.jsonl", "speed.md"]


def test_the_machine_is_described_without_names_and_paths():
    described = machine.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["hardware"]["cores"] >= 1
    assert {"jax", "numpy", "python"} <= set(described["versions"])
    assert "/" not in described["description"]
