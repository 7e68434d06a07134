#!/usr/bin/env bash
# One door for every machine. ./launch.sh help tells what is behind it.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
VENV="${PVR_VENV:-$HERE/.venv}"

usage() {
  cat <<'TEXT'
usage: ./launch.sh COMMAND [ARGUMENTS]

  setup [EXTRA ...]          make .venv with the pinned dependencies (extras: cuda tpu tfds test torch bench)
  run [CONFIG] [FLAGS]       train, analyse, predict, report; CONFIG is configs/quickstart.py if not given
                             ./launch.sh run configs/canonical_holdout.py:task=quadratic_chain \
                               --config.train.seeds=5 --config.holdout.bits=7 --workdir=runs
  reproduce NAME [--size=paper|small] [--workdir=runs]
                             every run of an experiment of the paper, expected beside measured;
                             NAME is all, or a config with that name: ./launch.sh reproduce --help
  report WORKDIR             make the report again from the files in WORKDIR alone
  test [PYTEST ARGUMENTS]    run the test suite

PVR_VENV names another place for the environment, PVR_PYTHON another Python (3.11 or newer).
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

# The first Python that is new enough; PVR_PYTHON goes before all.
find_python() {
  local candidate
  for candidate in ${PVR_PYTHON:-} python3 python python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "Python: none found that is 3.11 or newer; install one, or name it: PVR_PYTHON=/path/to/python3 ./launch.sh …"
}

# Install the project with the given extras, unless that has been done before with the same lock. The
# stamp is written last, so an installation that was cut off is made again.
setup() {
  local extras="" name lock stamp
  for name in "$@"; do
    case "$name" in
      cuda | tpu | tfds | test | torch | bench) extras="${extras:+$extras,}$name" ;;
      *) fail "extra: given $name; allowed cuda, tpu, tfds, test, torch, bench" ;;
    esac
  done
  lock="$(cat "$HERE/requirements.lock" "$HERE/setup.py" | cksum)"
  # Without extras, an installation with some serves as well.
  for stamp in "$VENV"/installed-"${extras:-}"*; do
    [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$lock" ] && return
  done
  [ -x "$VENV/bin/python" ] || "$(find_python)" -m venv "$VENV" ||
    fail "the environment $VENV could not be made; on Debian and Ubuntu: apt-get install python3-venv"
  echo "installing into $VENV …"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$HERE/requirements.lock" --editable "$HERE${extras:+[$extras]}" ||
    fail "the installation failed; what pip says is above; give the same command again to go on"
  echo "$lock" >"$VENV/installed-$extras"
}

# A config is a path from where the user is, or from the checkout.
config_path() {
  local file="${1%%:*}"
  if [ ! -e "$file" ] && [ -e "$HERE/$file" ]; then echo "$HERE/$1"; else echo "$1"; fi
}

command="${1:-help}"
[ $# -gt 0 ] && shift
case "$command" in
  setup)
    setup "$@"
    ;;
  run)
    config=configs/quickstart.py
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
      config=$1
      shift
    fi
    for argument in "$@"; do
      case "$argument" in --config=*) config="" ;; esac
    done
    setup
    [ -z "$config" ] || config="--config=$(config_path "$config")"
    exec "$VENV/bin/python" -m experiments.main ${config:+"$config"} "$@"
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
    exec "$VENV/bin/python" -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile "$@"
    ;;
  help | -h | --help)
    usage
    ;;
  *)
    usage >&2
    fail "command: given $command; allowed setup, run, reproduce, report, test"
    ;;
esac
