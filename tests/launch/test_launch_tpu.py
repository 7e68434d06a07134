"""./launch.sh tpu: its gcloud command lines as text, and what they do on two pretended workers."""

import os
import shutil
import subprocess
import time

import pytest
from stand_ins import ROOT, arguments_in, environment_of, one_line_error, write_program

RUN = ("run", "configs/quickstart.py", "--workdir=/mnt/shared/my runs", "--config.x=it's $HOME")
# Writes down its arguments, and does on two workers, folders here, what the real one does on two
# machines: copies the file to the home directory, or has the shell of the user run the command.
GCLOUD = r"""
printf '%s\0' "$@" >"$CALLS/$(find "$CALLS" -type f | wc -l)"
pids=()
for worker in 0 1; do
  home="$WORKERS/$worker"
  mkdir -p "$home"
  case "$4" in
    scp) cp "$5" "$home/${6#*:}" ;;
    ssh) for word; do case "$word" in --command=*)
      (cd "$home" && HOME="$home" PVR_VENV="$WORKER_VENV" bash -c "${word#--command=}") & pids+=($!)
    esac; done ;;
  esac || exit
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
exit "$status"
"""


def git(directory, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", directory, *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A clean checkout of a commit with the launcher and a configuration."""
    place = tmp_path / "check out"
    for name in ("launch.sh", "launch", "requirements.lock", "setup.py", "configs/quickstart.py"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, place / name)
    git(place, "init", "--quiet")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message=all")
    return place


@pytest.fixture
def cloud(tmp_path):
    """What the pretended gcloud needs: launch(*words, **cloud)."""
    for folder in ("calls", "workers"):
        (tmp_path / folder).mkdir()
    write_program(tmp_path / "bin" / "gcloud", GCLOUD)
    record = 'printf \'%s\\0\' "$@" >"$HOME/arguments"; git rev-parse HEAD >"$HOME/commit"\n'
    return {
        "path": tmp_path / "bin",
        "CALLS": str(tmp_path / "calls"),
        "WORKERS": str(tmp_path / "workers"),
        "WORKER_VENV": str(environment_of(tmp_path / "worker_environment", record)),
    }


def test_a_dry_run_prints_the_commands(launch, checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    words = ("--project=lab", "--gcloud=--internal-ip", "--dry-run", *RUN)
    done = launch("tpu", "pod", "us-central2-b", *words, root=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    target = "--zone=us-central2-b --project=lab --internal-ip --worker=all"
    bundle = f"'{checkout}/.git/pvr_jax.bundle'"
    assert done.stdout.splitlines() == [
        f"git -C '{checkout}' bundle create --quiet {bundle} HEAD",
        f"gcloud compute tpus tpu-vm scp {bundle} pod:pvr_jax.bundle {target}",
        f"gcloud compute tpus tpu-vm ssh pod {target} '--command=set -e; "
        "git init --quiet pvr_jax; cd pvr_jax; git fetch --quiet ../pvr_jax.bundle HEAD; "
        f"git checkout --quiet --force --detach {commit}; "
        'python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" || '
        "python3 -m pip install --quiet --user uv; PATH=$HOME/.local/bin:$PATH "
        "./launch.sh setup tpu'",
        f"gcloud compute tpus tpu-vm ssh pod {target} '--command=echo $$ >pvr_jax.pid && "
        "cd pvr_jax && exec ./launch.sh run configs/quickstart.py "
        r"'\''--workdir=/mnt/shared/my runs'\'' '\''--config.x=it'\''\'\'''\''s $HOME'\'' "
        "--hosts=all'",
    ]


def test_the_words_printed_are_the_words_called(launch, checkout, cloud, tmp_path):
    printed = launch("tpu", "pod", "us-central2-b", "--dry-run", *RUN, root=checkout).stdout
    done = launch("tpu", "pod", "us-central2-b", *RUN, root=checkout, **cloud)
    assert done.returncode == 0, done.stderr
    calls = [arguments_in(path) for path in sorted((tmp_path / "calls").iterdir())]
    shell = "for word; do printf '%s\\0' \"$word\"; done"
    for line, call in zip(printed.splitlines()[1:], calls, strict=True):
        words = subprocess.run(
            ["bash", "-c", f"set -- {line.removeprefix('gcloud ')}; {shell}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")[:-1]
        assert words == call


def test_every_worker_runs_the_commit_with_the_arguments_as_given(
    launch, checkout, cloud, tmp_path
):
    for number in range(2):  # a second commit takes the place of the first
        (checkout / "configs" / "more.py").write_text(f"# {number}\n")
        git(checkout, "add", ".")
        git(checkout, "commit", "--quiet", f"--message={number}")
        done = launch("tpu", "pod", "us-central2-b", *RUN, root=checkout, **cloud)
        assert done.returncode == 0, done.stderr
        for worker in ("0", "1"):
            home = tmp_path / "workers" / worker
            assert (home / "commit").read_text().strip() == git(checkout, "rev-parse", "HEAD")
            assert git(home / "pvr_jax", "status", "--porcelain") == ""
            assert arguments_in(home / "arguments") == [
                *("-m", "experiments.main", "--config=configs/quickstart.py", *RUN[2:]),
                "--hosts=all",
            ]
    assert not (checkout / ".git" / "pvr_jax.bundle").exists()


def test_stop_reaches_the_run_of_every_worker_and_no_other_program(
    launch, checkout, cloud, recording_environment, tmp_path
):
    write_program(
        tmp_path / "worker_environment" / "bin" / "python",
        "trap 'touch \"$HOME/saved\"; exit 143' TERM\n"
        'touch "$HOME/running"; while true; do sleep 0.1; done\n',
    )
    environment = {**os.environ, **{name: str(value) for name, value in cloud.items()}}
    environment["PVR_VENV"] = str(recording_environment)
    environment["PATH"] = f"{cloud['path']}{os.pathsep}{os.environ['PATH']}"
    homes = [tmp_path / "workers" / worker for worker in ("0", "1")]
    running = subprocess.Popen(
        ["bash", checkout / "launch.sh", "tpu", "pod", "us-central2-b", *RUN],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 180
        while not all((home / "running").exists() for home in homes):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        stopped = launch("tpu", "pod", "us-central2-b", "stop", root=checkout, **cloud)
        assert stopped.returncode == 0, stopped.stderr
        assert running.wait(timeout=180) == 143
    finally:
        running.kill()
    assert all((home / "saved").exists() for home in homes)
    # The number may belong to another program later.
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for home in homes:
            (home / "pvr_jax.pid").write_text(f"{bystander.pid}\n")
        done = launch("tpu", "pod", "us-central2-b", "stop", root=checkout, **cloud)
        assert done.returncode == 1
        assert done.stderr.count(": no run to stop\n") == 2
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "tpu: given no NAME; allowed the name of a TPU VM and its zone: ./launch.sh tpu"),
        (["--dry-run"], "tpu: given --dry-run; allowed the name of a TPU VM and its zone"),
        (["pod"], "tpu: given no ZONE as the zone of pod; allowed a zone such as us-central2-b"),
        (["pod", "run"], "tpu: given run as the zone of pod; allowed a zone such as"),
        (["pod", "us-central2-b"], "tpu: given no command; allowed run, reproduce, stop"),
        (["pod", "us-central2-b", "bench"], "tpu: given bench; allowed run, reproduce, stop"),
        (["pod", "us-central2-b", "--zone=a", "run"], "tpu: given --zone=a; allowed --project="),
        (
            ["pod", "us-central2-b", "run", "--workdir=gs://bucket/runs"],
            "--workdir: given gs://bucket/runs; allowed a directory, so mount the bucket",
        ),
        (
            ["pod", "us-central2-b", "run", "--workdir=~/runs"],
            "--workdir: given ~/runs; allowed an absolute path that all workers share",
        ),
        (
            ["pod", "us-central2-b", "run"],
            "--workdir: given runs; allowed an absolute path that all workers share",
        ),
        (
            ["pod", "us-central2-b", "run", "--workdir=/mnt/runs", "--sweep=bits"],
            "--sweep: given for a TPU VM, whose workers train one run together; allowed",
        ),
        (
            ["pod", "us-central2-b", "run", "configs/mine.py", "--workdir=/mnt/runs"],
            "--config: given 'configs/mine.py', which the commit ",
        ),
    ],
)
def test_mistakes_are_answered_before_anything_is_sent(
    launch, checkout, cloud, tmp_path, words, message
):
    line = one_line_error(launch("tpu", *words, root=checkout, **cloud))
    assert line.startswith(f"error: {message}")
    assert not list((tmp_path / "calls").iterdir())


@pytest.mark.parametrize(
    "words, message",
    [
        (["run", "configs/pvr_majority.py:model=mlpp"], "model after the colon: given 'mlpp'"),
        (["run", "configs/quickstart.py", "--config.train.sedes=3"], "config.train.sedes: no such"),
        pytest.param(
            ["reproduce", "pvr_majorty"],
            "reproduce: given pvr_majorty; allowed all, ",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["reproduce", "pvr_majority", "--wokdir=a"],
            "Unknown command line flag 'wokdir'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_cannot_be_is_not_sent(
    launch, checkout, cloud, real_environment, tmp_path, words, message
):
    for name in ("experiments", "pvr_jax", "configs"):
        ignored = shutil.ignore_patterns("results", "__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored, dirs_exist_ok=True)
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message=more")
    words = ("pod", "us-central2-b", *words, "--workdir=/mnt/runs")
    done = launch("tpu", *words, root=checkout, **cloud, PVR_VENV=str(real_environment))
    assert one_line_error(done).startswith(f"error: {message}")
    assert not list((tmp_path / "calls").iterdir())


def test_changes_that_no_commit_holds_are_refused(launch, checkout, cloud, tmp_path):
    (checkout / "setup.py").write_text("")
    line = one_line_error(launch("tpu", "pod", "us-central2-b", *RUN, root=checkout, **cloud))
    assert line.startswith("error: tpu: given a checkout with changes")
    assert not list((tmp_path / "calls").iterdir())
    done = launch("tpu", "pod", "us-central2-b", "--dry-run", *RUN, root=checkout)
    assert done.returncode == 0
    assert done.stderr.startswith("note: the checkout has changes; ")


def test_without_gcloud_one_line_says_what_to_do(launch, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool))
    line = one_line_error(launch("tpu", "pod", "us-central2-b", *RUN, PATH=str(tools)))
    assert line.startswith("error: tpu: gcloud not found on this machine; install the Google Cloud")
