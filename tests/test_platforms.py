"""Other machines than Linux, other threads than the main one, and places for results."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pvr_jax import on_disk
from pvr_jax.training import hosts, loop

ROOT = Path(__file__).parents[1]
# What Python has on Linux alone, taken away before anything is imported.
MACOS = """
import os, signal
for name in [name for name in dir(os) if name.startswith("sched_")]:
    delattr(os, name)
for name in ("memfd_create", "getrandom", "pidfd_open", "posix_fadvise", "process_cpu_count"):
    vars(os).pop(name, None)
SIGNALS = "SIGPWR SIGSTKFLT SIGPOLL SIGRTMIN SIGRTMAX sigtimedwait sigwaitinfo"
for name in SIGNALS.split():
    vars(signal).pop(name, None)
import builtins
opened = builtins.open
def without_proc(file, *arguments, **keywords):
    if str(file).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(file)
    return opened(file, *arguments, **keywords)
builtins.open = without_proc
"""
WINDOWS = """
import sys
sys.platform = "win32"
sys.modules["fcntl"] = sys.modules["resource"] = None
"""


def python(directory, before, *words):
    """Run Python in a process that begins with the lines `before`."""
    (directory / "sitecustomize.py").write_text(before)
    path = os.pathsep.join([str(directory), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("JAX_NUM_CPU_DEVICES")
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=180
    )


@pytest.mark.slow
def test_macos_has_a_device_per_core_and_locks(tmp_path):
    program = (
        "from pvr_jax.training import hosts, loop, run_log\n"
        "import jax, os, pathlib, signal\n"
        "hosts.use_all_cores()\n"
        "assert len(jax.devices()) == os.cpu_count()\n"
        "with loop.listen(signal.SIGTERM) as heard:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        f"with run_log.exclusive(pathlib.Path({str(tmp_path / 'run')!r})):\n"
        "    print('held after', heard, hasattr(os, 'sched_getaffinity'))\n"
    )
    done = python(tmp_path, MACOS, "-c", program)
    assert done.stdout == f"held after [{int(signal.SIGTERM)}] False\n", done.stderr


@pytest.mark.slow
def test_macos_comes_as_far_as_a_mistake(tmp_path):
    command = (f"--config={ROOT / 'configs/quickstart.py'}", "--config.train.seeds=0")
    done = python(tmp_path, MACOS, "-m", "experiments.main", *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: config.train.seeds: given 0; allowed"), done.stderr


def test_every_core_counts_where_affinity_is_not_known(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert hosts.usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hosts.usable_cores() == 1


@pytest.mark.parametrize(
    "module", ["experiments.main", "experiments.reproduce", "benchmarks", "pvr_jax.builders"]
)
def test_windows_is_told_in_one_line(tmp_path, module):
    done = python(tmp_path, WINDOWS, "-m", module)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: platform: given Windows; allowed Linux, macOS")
    assert done.stderr.count("\n") == 1 and "WSL" in done.stderr


def test_the_library_tells_windows_by_an_import_error(tmp_path):
    done = python(tmp_path, WINDOWS, "-c", "import pvr_jax.training.loop")
    assert done.stderr.splitlines()[-1].startswith("ImportError: platform: given Windows; allowed")


def test_another_thread_hears_no_signal_and_sets_no_handler():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    met = []

    def listen():
        with loop.listen(signal.SIGTERM, signal.SIGINT) as heard:
            met.append((heard, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert met == [([], before[0])]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize("scheme", ["s3", "gs", "file", "abfs+ssl"])
def test_an_address_is_no_place_for_results(scheme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = f"{scheme}://bucket/runs"
    with pytest.raises(ValueError, match="allowed local paths only") as caught:
        on_disk.directory_for_results("--workdir", given)
    assert str(caught.value).startswith(f"--workdir: given '{given}'; ")
    assert not list(tmp_path.iterdir())


def test_a_place_for_results_may_be_new_and_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    place = on_disk.directory_for_results("--workdir", "~/runs/of: today")
    assert place == tmp_path / "runs" / "of: today"
    assert not list(tmp_path.iterdir()), "nothing stays behind"


@pytest.mark.parametrize(
    "given, reason",
    [
        ("", "given nothing"),
        ("/dev/null", "which is no directory"),
        ("/dev/null/runs", "and /dev/null is no directory"),
        ("file", "which is no directory"),
        ("file/runs", "file is no directory"),
        ("nowhere", "which is no directory"),
        ("loop/runs", "symbolic links"),
        ("a" * 300, "name too long"),
        ("~nobody_of_this_name/runs", "home directory"),
    ],
)
def test_a_place_that_cannot_be_is_told_in_one_line(given, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("nowhere").symlink_to("absent")
    Path("loop").symlink_to("loop")
    with pytest.raises(ValueError, match=r"allowed a directory") as caught:
        on_disk.directory_for_results("--out", given)
    line = str(caught.value)
    assert line.startswith("--out: given ") and reason.lower() in line.lower()
    assert "\n" not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop", "nowhere"]


def test_a_place_where_nothing_can_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(on_disk.tempfile, "mkdtemp", refuse)
    with pytest.raises(ValueError, match=r"which cannot be \(Permission denied\); allowed"):
        on_disk.directory_for_results("--workdir", str(tmp_path / "runs"))
    # Asked for another machine it is not this one's to say.
    given = str(tmp_path / "runs")
    assert on_disk.directory_for_results("--workdir", given, writable=False) == Path(given)
