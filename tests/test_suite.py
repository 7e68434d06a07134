"""The suite itself: what is left out unless asked for, the budget on CI, the kept programs."""

import os
import time
from pathlib import Path

import jax
import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).with_name("conftest.py")

TESTS = """
import time

import pytest


def test_quick():
    pass


@pytest.mark.slow
def test_slow():
    began = time.process_time()
    while time.process_time() < began + 0.3:
        pass


@pytest.fixture
def long_in_the_making():
    began = time.process_time()
    while time.process_time() < began + 0.3:
        pass


def test_waits_for_its_fixture(long_in_the_making):
    pass
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Return `suite(*arguments)`, which runs three tests beside this suite's conftest.py."""
    text = CONFTEST.read_text()
    assert text.count("MOST_SECONDS = 5.0") == 1
    pytester.makeconftest(text.replace("MOST_SECONDS = 5.0", "MOST_SECONDS = 0.2"))
    pytester.makeini("[pytest]\nmarkers = slow")
    monkeypatch.delenv("CI", raising=False)
    own = pytester.makepyfile(test_own=TESTS)

    def run(*arguments):
        words = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
        return pytester.runpytest_inprocess(*words)

    run.file = own
    return run


@pytest.mark.slow
def test_slow_tests_run_if_they_are_asked_for(suite):
    done = suite()
    done.assert_outcomes(passed=2, deselected=1)
    done.stdout.fnmatch_lines("1 tests are marked slow and left out; --all runs them too")
    suite(suite.file).assert_outcomes(passed=2, deselected=1)
    for chosen in (["--all"], [suite.file, "--all"]):
        done = suite(*chosen)
        done.assert_outcomes(passed=3)
        done.stdout.no_fnmatch_line("*left out*")
    suite("-m", "slow").assert_outcomes(passed=1, deselected=2)


def test_a_choice_that_leaves_nothing_says_how_to_run_it(suite):
    done = suite(f"{suite.file}::test_slow")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    done.stdout.fnmatch_lines("all 1 tests given are marked slow and left out; --all runs them too")


def test_on_ci_a_default_test_that_takes_too_long_fails(suite, monkeypatch):
    monkeypatch.setenv("CI", "true")
    done = suite("--all")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        "*test_own.py::test_waits_for_its_fixture took * s (setup * s, call * s); a test of "
        "the default suite may take 0.2 s: mark it @pytest.mark.slow or make it faster"
    )


@pytest.mark.slow
def test_two_processes_say_together_what_they_left_out(suite):
    done = suite("-n", "2")
    done.stdout.fnmatch_lines("1 tests are marked slow and left out; --all runs them too")


def test_kept_programs_have_a_limit(tmp_path, request):
    prune = request.config.pluginmanager.get_plugin(str(CONFTEST)).prune
    now = time.time()
    for age, name, size in ((50, "old", 400), (30, "torn", 0), (20, "used", 400), (0, "new", 400)):
        path = tmp_path / "0.10" / f"{name}-cache"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (now - 60 * age, now - 60 * age))
    os.utime(tmp_path / "0.10" / "old-cache", (now, now - 3000))  # read since
    prune(tmp_path, 900)
    assert {path.name for path in tmp_path.rglob("*-cache")} == {"old-cache", "new-cache"}
    prune(tmp_path, 900)
    assert len(list(tmp_path.rglob("*-cache"))) == 2


def test_the_kept_programs_are_where_every_process_finds_them():
    assert jax.config.jax_compilation_cache_dir == os.environ["JAX_COMPILATION_CACHE_DIR"]
