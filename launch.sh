#!/usr/bin/env bash
# One door for every machine. ./launch.sh help tells what is behind it.
set -euo pipefail
case "$OSTYPE" in
  msys* | cygwin* | win32)
    echo "error: platform: given Windows; allowed Linux, macOS: on Windows use WSL, the Linux inside it: wsl --install" >&2
    exit 2
    ;;
esac
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
VENV="${PVR_VENV:-$HERE/.venv}"

usage() {
  cat <<'TEXT'
usage: ./launch.sh COMMAND [ARGUMENTS]

  setup [EXTRA ...]          make .venv with the pinned dependencies (extras: cuda tpu tfds log test torch bench)
  run [CONFIG] [FLAGS]       train, analyse, predict, report; CONFIG is configs/quickstart.py if not given
                             ./launch.sh run configs/canonical_holdout.py:task=quadratic_chain \
                               --config.train.seeds=5 --config.holdout.bits=7 --workdir=runs
                             ./launch.sh run --help CONFIG tells its fields
  reproduce NAME [--size=paper|small] [--workdir=runs]
                             every run of an experiment of the paper, expected beside measured;
                             NAME is all, or a config with that name: ./launch.sh reproduce --help
  plan [CONFIG] [FLAGS] [--topology=v5e:4x4]
                             what a run takes before it begins: FLOPs, time, memory, disk; with --topology
                             whether it fits a TPU slice, by the TPU's own compiler (setup tpu), without a TPU
  report WORKDIR             make the report again from the files in WORKDIR alone
  test [--all] [PYTEST …]    run the test suite: what ends in seconds, or with --all everything
  bench [NAME]               measure speed: every question in benchmarks/, or one
  tpu NAME ZONE COMMAND …    the same on every worker of a Cloud TPU VM: ./launch.sh tpu --help
  slurm COMMAND …            the same as a Slurm job, or an array of jobs: ./launch.sh slurm --help

PVR_VENV names another place for the environment, PVR_PYTHON another Python (3.11 or newer).
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

# The first Python that is new enough; PVR_PYTHON goes before all. Where there is none, uv fetches one.
find_python() {
  local candidate
  for candidate in ${PVR_PYTHON:-} python3 python python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  if command -v uv >/dev/null && uv python install --quiet 3.12; then
    uv python find 3.12
    return
  fi
  fail "Python: none found that is 3.11 or newer; install one, or name it: PVR_PYTHON=/path/to/python3 ./launch.sh …"
}

# Install the project with the given extras, unless that has been done before with the same lock. Every
# extra has a stamp, and so has the project alone. It is written last, so an installation that was cut
# off is made again.
setup() {
  local extras="" missing="" name lock stamp
  for name in "$@"; do
    case "$name" in
      cuda | tpu | tfds | log | test | torch | bench) extras="${extras:+$extras,}$name" ;;
      *) fail "extra: given $name; allowed cuda, tpu, tfds, log, test, torch, bench" ;;
    esac
  done
  lock="$(cat "$HERE/requirements.lock" "$HERE/setup.py" | cksum)"
  [ -x "$VENV/bin/python" ] || missing=yes
  for name in "$@"; do
    [ "$(cat "$VENV/installed-$name" 2>/dev/null)" = "$lock" ] || missing=yes
  done
  if [ $# -eq 0 ] && [ -z "$missing" ]; then # an installation with an extra serves as well
    missing=yes
    for stamp in "$VENV"/installed-*; do
      [ "$(cat "$stamp" 2>/dev/null)" != "$lock" ] || missing=""
    done
  fi
  [ -n "$missing" ] || return 0
  [ -x "$VENV/bin/python" ] || "$(find_python)" -m venv "$VENV" ||
    fail "the environment $VENV could not be made; on Debian and Ubuntu: apt-get install python3-venv"
  echo "installing into $VENV …" >&2
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$HERE/requirements.lock" --editable "$HERE${extras:+[$extras]}" ||
    fail "the installation failed; what pip says is above; give the same command again to go on"
  for name in "${@:-}"; do echo "$lock" >"$VENV/installed-$name"; done
}

# A config is a path from where the user is, or from the checkout.
config_path() {
  local file="${1%%:*}"
  if [ ! -e "$file" ] && [ -e "$HERE/$file" ]; then echo "$HERE/$1"; else echo "$1"; fi
}

# A text with one part of it replaced wherever it occurs: replaced TEXT OLD NEW. Not as ${TEXT//OLD/NEW}:
# every Bash, from the 3.2 of macOS on, reads quotes and backslashes there in another way.
replaced() {
  local rest="$1" text=""
  while [[ "$rest" == *"$2"* ]]; do
    text="$text${rest%%"$2"*}$3"
    rest="${rest#*"$2"}"
  done
  printf '%s' "$text$rest"
}

# The words as a shell reads them back, each quoted only where it has to be.
quoted() {
  local word text=""
  for word in "$@"; do
    case "$word" in
      "" | *[!A-Za-z0-9_./=:,@%+-]*) word="'$(replaced "$word" "'" "'\\''")'" ;;
    esac
    text="$text${text:+ }$word"
  done
  printf '%s' "$text"
}

# Whether a flag is among the words: given_flag NAME WORD …
given_flag() {
  local name="$1" word
  shift
  for word in "$@"; do
    case "$word" in --"$name" | --"$name"=*) return 0 ;; esac
  done
  return 1
}

# The --workdir among the words, or where results go without one.
workdir_of() {
  local workdir=runs
  while [ $# -gt 0 ]; do
    case "$1" in
      --workdir=*) workdir="${1#*=}" ;;
      --workdir) workdir="${2:-}" ;;
    esac
    shift
  done
  printf '%s' "$workdir"
}

# Mistakes in a command are told here, before anything waits for other machines. No
# accelerator is asked for: this machine may have none, or one that others use.
check() {
  JAX_PLATFORMS=cpu bash "$HERE/launch.sh" "$@" --check >&2 || exit 2
}

# This checkout runs, also in an environment that was made for another one.
export PYTHONPATH="$HERE${PYTHONPATH:+:$PYTHONPATH}"

command="${1:-help}"
[ $# -gt 0 ] && shift
case "$command" in
  setup)
    setup "$@"
    ;;
  run | plan)
    module=main
    [ "$command" = run ] || module=plan
    config=configs/quickstart.py
    if [ $# -gt 1 ] && [ "$1" = --help ]; then set -- "$2" --help; fi
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
      config=$1
      shift
    fi
    for argument in "$@"; do
      case "$argument" in --config=*) config="" ;; esac
    done
    setup
    [ -z "$config" ] || config="--config=$(config_path "$config")"
    exec "$VENV/bin/python" -m "experiments.$module" ${config:+"$config"} "$@"
    ;;
  reproduce)
    setup
    exec "$VENV/bin/python" -m experiments.reproduce "$@"
    ;;
  report)
    [ $# -ge 1 ] || fail "report: given no directory; allowed the --workdir of a run: ./launch.sh report runs"
    setup
    workdir=$1
    shift
    exec "$VENV/bin/python" -m experiments.main --stage=report "--workdir=$workdir" "$@"
    ;;
  test)
    setup test
    cd "$HERE"
    exec "$VENV/bin/python" -m pytest --numprocesses=auto --maxprocesses=4 \
      --dist=loadfile --no-loadscope-reorder "$@"
    ;;
  bench)
    if given_flag check "$@"; then setup; else setup bench; fi
    exec "$VENV/bin/python" -m benchmarks "$@"
    ;;
  slurm | tpu)
    # shellcheck source=/dev/null
    . "$HERE/launch/$command.sh"
    "$command" "$@"
    ;;
  help | -h | --help)
    usage
    ;;
  *)
    usage >&2
    fail "command: given $command; allowed setup, run, plan, reproduce, report, test, bench, tpu, slurm"
    ;;
esac
