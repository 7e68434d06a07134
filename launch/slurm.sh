# shellcheck shell=bash
# ./launch.sh slurm: write a batch script for the given command and submit it. Sourced by launch.sh,
# whose functions it uses.

slurm_usage() {
  cat <<'TEXT'
usage: ./launch.sh slurm [OPTIONS] [--] COMMAND [ARGUMENTS]

COMMAND is what follows ./launch.sh elsewhere: run, reproduce or bench.
  --nodes=1             nodes of the job; several tasks make one run together
  --tasks-per-node=1    processes on each node; with several nodes and GPUs one per GPU, if not given
  --cpus-per-task=N     CPUs of each process
  --gpus-per-node=N     GPUs of each node, also as TYPE:N; the environment gets the extra cuda
  --time=LIMIT          as for sbatch: minutes, hours:minutes:seconds, days-hours
  --partition=NAME      where to run
  --array=N[%M]         N jobs, job i with --shard=i/N (M of them at a time); run --sweep=… only
  --sbatch=OPTION       any other option of sbatch, as often as needed: --sbatch=--account=physics
  --dry-run             check the command, print the batch script, submit nothing

Logs are in WORKDIR/slurm/. A job that is preempted, or that nears its time limit, saves, is queued
again and goes on; scancel ends it.
TEXT
}

# A whole number of at least 1, or one line that says what was given.
positive() {
  [[ "$2" =~ ^[1-9][0-9]*$ ]] || fail "$1: given ${2:-nothing}; allowed a whole number from 1 on, such as $1=2"
}

# One #SBATCH line; sbatch takes what stands between double quotes as one word.
sbatch_line() {
  local option="$1"
  case "$option" in
    *$'\n'*) fail "sbatch: given an option with a line break; allowed options of one line" ;;
    *[!A-Za-z0-9_./=:%@,+-]*)
      option="$(replaced "$option" $'\x5c' $'\x5c\x5c')" # backslashes
      option="\"$(replaced "$option" '"' '\"')\""
      ;;
  esac
  printf '#SBATCH %s\n' "$option"
}

# The batch script, from the variables that slurm() sets.
batch_script() {
  local option
  printf '#!/bin/bash\n# %s\n' "Made by ./launch.sh slurm; sbatch takes it as it is."
  for option in "${options[@]}"; do sbatch_line "$option"; done
  cat <<TEXT

export PVR_VENV=$(quoted "$VENV")
# If this shell receives SIGTERM, Slurm ends the job and handles the rest: nothing after scancel, a
# restart after a preemption. If only the tasks receive it, because the time limit or a preemption is
# near, they save and exit with status 143, and the job has to requeue itself.
ended=""
trap 'ended=yes' TERM
status=0
# A task that fails early must not cut the time of others to save.
srun --kill-on-bad-exit=0 --wait=0$steps \\
  $(quoted "$HERE/launch.sh" "$@")$shard || status=\$?
if [ "\$status" -eq 143 ] && [ -z "\$ended" ]; then
  echo "stopped and saved: queued again" >&2
  # Wait for Slurm's SIGTERM; exiting before it would mark the job as failed.
  scontrol requeue "$job" || exit "\$status"
  for _ in {1..60}; do [ -n "\$ended" ] || sleep 1; done
fi
exit "\$status"
TEXT
}

slurm() {
  local nodes=1 tasks="" cpus="" gpus="" gpu_count=0 array="" count="" dry="" steps="" shard=""
  local options=() extra=() extras=() workdir script value log="%x-%j.log"
  # shellcheck disable=SC2016 # what the job expands
  local job='$SLURM_JOB_ID'
  while [ $# -gt 0 ]; do
    value="${1#*=}"
    case "$1" in
      --nodes=*) positive --nodes "$value" && nodes=$value ;;
      --tasks-per-node=*) positive --tasks-per-node "$value" && tasks=$value ;;
      --cpus-per-task=*) positive --cpus-per-task "$value" && cpus=$value ;;
      --gpus-per-node=*)
        gpus=$value
        gpu_count="${gpus##*:}"
        [[ "$gpus" =~ ^([A-Za-z][A-Za-z0-9_.-]*:)?[1-9][0-9]*$ ]] ||
          fail "--gpus-per-node: given ${gpus:-nothing}; allowed N or TYPE:N, such as --gpus-per-node=4"
        ;;
      --time=*)
        [[ "$value" =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] ||
          fail "--time: given ${value:-nothing}; allowed minutes, hours:minutes:seconds or days-hours, such as --time=8:00:00"
        extra+=("$1")
        ;;
      --partition=?*) extra+=("$1") ;;
      --array=*)
        array=$value
        count="${array%%\%*}"
        [[ "$array" =~ ^[1-9][0-9]*(%[1-9][0-9]*)?$ ]] ||
          fail "--array: given ${array:-nothing}; allowed N, or N%M for M at a time, such as --array=8%2"
        ;;
      --sbatch=-*) extra+=("$value") ;;
      --sbatch=*) fail "--sbatch: given $value; allowed an option with its dashes, such as --sbatch=--account=physics" ;;
      --dry-run) dry=yes ;;
      --help | -h)
        slurm_usage
        return
        ;;
      --)
        shift
        break
        ;;
      -*) fail "slurm: given $1; allowed --nodes=, --tasks-per-node=, --cpus-per-task=, --gpus-per-node=, --time=, --partition=, --array=, --sbatch=, --dry-run, and then a command: ./launch.sh slurm --help" ;;
      *) break ;;
    esac
    shift
  done
  case "${1:-}" in
    run | reproduce) ;;
    bench) extras+=(bench) ;;
    *) fail "slurm: given ${1:-no command}; allowed run, reproduce, bench, as in ./launch.sh slurm --nodes=2 run configs/quickstart.py" ;;
  esac

  # JAX gives each of several processes of a Slurm job one GPU of its node.
  if [ -z "$tasks" ]; then
    tasks=1
    [ "$nodes" -eq 1 ] || [ -z "$gpus" ] || tasks=$gpu_count
  fi
  if [ $((nodes * tasks)) -gt 1 ]; then
    [ -z "$gpus" ] || [ "$tasks" -eq "$gpu_count" ] ||
      fail "--tasks-per-node: given $tasks with --gpus-per-node=$gpus; allowed $gpu_count, since each of several processes uses one GPU"
    [ "$1" != bench ] || fail "slurm: given $((nodes * tasks)) tasks for bench; allowed 1, or the commands run, reproduce"
    ! given_flag sweep "$@" ||
      fail "slurm: given $((nodes * tasks)) tasks with --sweep; allowed 1, and --array=N for N jobs that share the sweep"
    given_flag hosts "$@" || set -- "$@" --hosts=all
  fi
  if [ -n "$array" ]; then
    [ "$1" = run ] || fail "--array: given with $1; allowed with run: ./launch.sh slurm --array=$array run CONFIG --sweep=…"
    ! given_flag shard "$@" || fail "--shard: given with --array=$array, which adds it; allowed one of the two"
    given_flag sweep "$@" || fail "--array: given without a sweep; allowed with one: ./launch.sh slurm --array=$array run CONFIG --sweep=…"
    shard=" --shard=\"\$SLURM_ARRAY_TASK_ID/$count\""
    # The number of an array's first job alone would mean the whole array.
    # shellcheck disable=SC2016
    job='${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID'
    log="%x-%A_%a.log"
  fi
  [ -z "$cpus" ] || steps=" --cpus-per-task=$cpus" # srun does not take it from the job
  [ -z "$gpus" ] || extras+=(cuda)

  workdir="$(workdir_of "$@")"
  case "$workdir" in
    /*) ;;
    \~ | \~/*) workdir="$HOME${workdir#\~}" ;;
    *) workdir="$PWD/$workdir" ;;
  esac
  options=(
    "--job-name=pvr_jax-$1" "--chdir=$PWD" "--output=$(replaced "$workdir" % %%)/slurm/$log" --open-mode=append
    --requeue --signal=TERM@60 "--nodes=$nodes" "--ntasks-per-node=$tasks"
  )
  [ -z "$cpus" ] || options+=("--cpus-per-task=$cpus")
  [ -z "$gpus" ] || options+=("--gpus-per-node=$gpus")
  [ -z "$array" ] || options+=("--array=0-$((count - 1))${array#"$count"}")
  options+=(${extra[@]+"${extra[@]}"})
  [ -n "$dry" ] || command -v sbatch >/dev/null ||
    fail "slurm: sbatch not found on this machine; use a login node of the cluster, or add --dry-run to see the script"
  check "$@"
  script="$(batch_script "$@")"
  if [ -n "$dry" ]; then
    printf '%s\n' "$script"
    return
  fi
  setup ${extras[@]+"${extras[@]}"} # once, not by every task at the same time
  mkdir -p "$workdir/slurm" || fail "--workdir: $workdir/slurm could not be made; allowed a directory that can be written"
  printf '%s\n' "$script" | sbatch
  echo "logs: $workdir/slurm/"
}
