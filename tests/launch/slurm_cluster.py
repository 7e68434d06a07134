"""A Slurm of one machine, started and stopped by the tests."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stand_ins import ROOT

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
FOREIGN = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SCANCEL_")
# KillWait, the time to save, is Slurm's own default: jobs have to do with it. MessageTimeout, the
# time to answer, is longer than that, for machines with too much to do.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={place}/munge/socket
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,bf_interval=1,sched_interval=1
ReturnToService=2
JobRequeue=1
KillWait=30
MessageTimeout=90
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=localhost NodeAddr=127.0.0.1 Port={node_port} CPUs=4 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=grace Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def free_port():
    """Return a port that is free, and not one that the system gives to outgoing connections.

    A client that tries such a port before the daemon listens there may be connected to itself.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probing, contextlib.suppress(OSError):
            probing.bind(("127.0.0.1", port))
            return port


def name_of(job):
    """Return the name of one job alone: the number of an array's element may mean the array."""
    if "ArrayTaskId" in job:
        return f"{job['ArrayJobId']}_{job['ArrayTaskId']}"
    return job["JobId"]


class Slurm:
    """A running Slurm: one node of four CPUs, the partitions low, grace and high."""

    def __init__(self, place):
        self.place = place
        # Nothing of another Slurm, whose job the tests may be.
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = {**own, "SLURM_CONF": str(place / "slurm.conf")}

    def call(self, *words, check=True):
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert not check or done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def submit(self, *words, environment, directory, **variables):
        """Submit through launch.sh; return the number of the job."""
        done = subprocess.run(
            ["bash", str(ROOT / "launch.sh"), "slurm", *words],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=180,
            env={**self.environment, "PVR_VENV": str(environment), **variables},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split("Submitted batch job ")[1].split()[0]

    def jobs(self, number):
        """Return what Slurm says of a job, or of every element of an array: a list of fields."""
        lines = self.call("scontrol", "show", "job", "--oneliner", number).splitlines()
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line
        ]

    def job(self, number):
        (job,) = self.jobs(number)
        return job

    def wait(self, number, *states, seconds=240):
        """Wait until every job of that number is in one of the states; return the jobs.

        A job that was queued again waits for two minutes, until its old credential has expired.
        Here it starts after three seconds: in the second of its end the node would refuse it.
        """
        deadline = time.monotonic() + seconds
        hastened = set()
        while time.monotonic() < deadline:
            jobs = self.jobs(number)
            if all(job["JobState"] in states for job in jobs):
                return jobs
            for job in jobs:
                start = name_of(job), job["Restarts"]
                waiting = job["JobState"] == "PENDING" and job["Reason"] == "BeginTime"
                if waiting and start not in hastened:
                    hastened.add(start)
                    self.call("scontrol", "update", f"jobid={start[0]}", "StartTime=now+3")
            time.sleep(0.2)
        raise AssertionError(f"job {number}, waiting for {states}: {self.jobs(number)}")

    def end_all(self):
        """End every job, so that what one test leaves behind takes no CPU from the next."""
        self.call("scancel", "--user=root", check=False)
        wait_for(lambda: not self.call("squeue", "--noheader", check=False), self.place)

    def preempt(self):
        """Let a short job of higher priority take the whole machine; return when it has ended."""
        words = ("sbatch", "--parsable", "--partition=high", "--exclusive", "--output=/dev/null")
        (preempting,) = self.call(*words, "--wrap=true").split()
        self.wait(preempting, "COMPLETED")


@contextlib.contextmanager
def daemon(words, environment, output):
    """Run a daemon until the end of the block."""
    with output.open("w") as file:
        process = subprocess.Popen(words, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition, place, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            said = [path.read_text()[-2000:] for path in sorted(place.glob("*.out"))]
            raise AssertionError("Slurm did not get there:\n" + "\n".join(said))
        time.sleep(0.1)


def why_not():
    """Return why Slurm cannot be started here, "" if it can."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here; on Debian: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons have to be started by root"


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """Start Slurm; stop it at the end of the block, with all jobs."""
    # Not pytest's own directory: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm_") as name, contextlib.ExitStack() as stack:
        place = Path(name)
        place.chmod(0o755)
        for folder in ("munge", "state", "spool"):
            (place / folder).mkdir(mode=0o755)
        key = place / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        ports = {"controller_port": free_port(), "node_port": free_port()}
        (place / "slurm.conf").write_text(CONFIGURATION.format(place=place, **ports))
        started = Slurm(place)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        munge = [f"--{flag}={place}/munge/{file}" for flag, file in files.items()]
        for words in (
            ["munged", "--foreground", "--force", *munge, f"--log-file={place}/munge/log"],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", "localhost"],
        ):
            stack.enter_context(daemon(words, started.environment, place / f"{words[0]}.out"))
            if words[0] == "munged":
                wait_for((place / "munge" / "socket").exists, place)
        wait_for(lambda: "idle" in started.call("sinfo", "-h", "-o", "%T", check=False), place)
        yield started
        started.end_all()
