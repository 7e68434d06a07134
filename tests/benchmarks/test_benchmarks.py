"""Every benchmark runs in its tiny form and writes what it measured."""

import json

import pytest

from benchmarks import __main__ as command

TORCH = "replicas_against_loop"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in command.BENCHMARKS if name != "transform"])
def test_tiny_benchmarks_write_results(name, tmp_path, capsys, monkeypatch):
    # The processes that it starts compile everything anew.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if name == TORCH:
        pytest.importorskip("torch", reason="torch is not installed (extra: bench)")
    assert command.main([name, "--tiny", f"--out={tmp_path}"]) == 0
    first, *rows = map(json.loads, (tmp_path / f"{name}.jsonl").read_text().splitlines())
    assert first["machine"]["versions"]["jax"]
    assert rows
    for row in rows:
        assert row["benchmark"] == name
        assert row["value"] > 0
        # A tiny run says nothing about speed.
        assert row["bar"] is None and row["met"] is None
    assert (tmp_path / f"{name}.md").read_text().count("|---") >= 2
    assert str(tmp_path / f"{name}.jsonl") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "NAME: given nonsense; allowed replicas_against_loop, "),
        (["theory", "--tiny"], "--out: given nothing with --tiny; allowed a directory"),
    ],
)
def test_mistakes_are_one_line(arguments, said, capsys):
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
