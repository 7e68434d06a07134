# shellcheck shell=bash
# ./launch.sh tpu: bring the commit to every worker of a Cloud TPU VM and run the given command there.
# Sourced by launch.sh, whose functions it uses.

tpu_usage() {
  cat <<'TEXT'
usage: ./launch.sh tpu NAME ZONE [OPTIONS] [--] COMMAND [ARGUMENTS]

NAME and ZONE are those of `gcloud compute tpus tpu-vm list`; COMMAND is one of
  run …                 as ./launch.sh run …, by all workers together; so does reproduce …
  stop                  tell the run to save and end; run … again goes on
  --project=PROJECT     project of the TPU, where it is not the one gcloud is set to
  --gcloud=OPTION       any other option of gcloud, as often as needed: --gcloud=--internal-ip
  --dry-run             check the run, print the commands, run nothing

The workers get the commit that is checked out here, in ~/pvr_jax, with an environment of their own.
--workdir is a directory that all workers share: a Filestore (NFS) share or a bucket mounted by gcsfuse.
The configuration is checked here first; files that it names are to be in the commit.
TEXT
}

# The images of TPU VMs may have an older Python than 3.11; then setup takes one from uv.
PYTHON_OF_WORKERS='python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" || python3 -m pip install --quiet --user uv'

# Print a command, or run it.
do_or_say() {
  if [ -n "$dry" ]; then
    quoted "$@"
    echo
  else
    "$@"
  fi
}

# Run a command on all workers; --command is for the shell of the workers.
on_workers() {
  do_or_say gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone" ${options[@]+"${options[@]}"} \
    --worker=all "--command=$1"
}

# Bring the commit to all workers: a bundle is a repository in one file, so a result there can name the
# commit that made it.
send_commit() {
  local commit="$1" bundle="$2"
  do_or_say git -C "$HERE" bundle create --quiet "$bundle" HEAD
  do_or_say gcloud compute tpus tpu-vm scp "$bundle" "$name:pvr_jax.bundle" "--zone=$zone" \
    ${options[@]+"${options[@]}"} --worker=all
  [ -n "$dry" ] || rm -f "$bundle"
  on_workers "set -e; git init --quiet pvr_jax; cd pvr_jax; git fetch --quiet ../pvr_jax.bundle HEAD; git checkout --quiet --force --detach $commit; $PYTHON_OF_WORKERS; PATH=\$HOME/.local/bin:\$PATH ./launch.sh setup tpu"
}

tpu() {
  local name="" zone="" dry="" options=() commit bundle changes workdir config
  case "${1:-}" in --help | -h)
    tpu_usage
    return
    ;;
  esac
  [[ "${1:-}" =~ ^[a-z][a-z0-9-]*$ ]] ||
    fail "tpu: given ${1:-no NAME}; allowed the name of a TPU VM and its zone: ./launch.sh tpu NAME ZONE run configs/quickstart.py"
  [[ "${2:-}" =~ ^[a-z]+-[a-z]+[0-9]+-[a-z]$ ]] ||
    fail "tpu: given ${2:-no ZONE} as the zone of $1; allowed a zone such as us-central2-b"
  name=$1 zone=$2
  shift 2
  while [ $# -gt 0 ]; do
    case "$1" in
      --project=?*) options+=("$1") ;;
      --gcloud=-*) options+=("${1#*=}") ;;
      --dry-run) dry=yes ;;
      --help | -h)
        tpu_usage
        return
        ;;
      --)
        shift
        break
        ;;
      -*) fail "tpu: given $1; allowed --project=, --gcloud=--OPTION, --dry-run, and then a command: ./launch.sh tpu --help" ;;
      *) break ;;
    esac
    shift
  done
  [ -n "$dry" ] || command -v gcloud >/dev/null ||
    fail "tpu: gcloud not found on this machine; install the Google Cloud CLI, or add --dry-run to see the commands"
  case "${1:-}" in
    stop)
      # The number may be of an old run, and belong to another program by now.
      # shellcheck disable=SC2016
      on_workers 'process=$(cat pvr_jax.pid 2>/dev/null); if grep -qs experiments "/proc/$process/cmdline"; then kill -TERM "$process"; else echo "$(hostname): no run to stop" >&2; exit 1; fi'
      return
      ;;
    run | reproduce) ;;
    *) fail "tpu: given ${1:-no command}; allowed run, reproduce, stop, as in ./launch.sh tpu $name $zone run configs/quickstart.py" ;;
  esac

  workdir="$(workdir_of "$@")"
  case "$workdir" in
    gs://*) fail "--workdir: given $workdir; allowed a directory, so mount the bucket on every worker (gcsfuse) and give where it is mounted" ;;
    /*) ;;
    *) fail "--workdir: given $workdir; allowed an absolute path that all workers share, such as --workdir=/mnt/shared/runs" ;;
  esac
  ! given_flag sweep "$@" ||
    fail "--sweep: given for a TPU VM, whose workers train one run together; allowed with ./launch.sh run on one machine, or slurm --array"
  given_flag hosts "$@" || set -- "$@" --hosts=all
  commit="$(git -C "$HERE" rev-parse HEAD)" || fail "tpu: $HERE is no git checkout; the workers get a commit, so clone the repository"
  config="${2:-}"
  if [ "$1" = run ] && [ -n "$config" ] && [ "${config#-}" = "$config" ]; then
    git -C "$HERE" cat-file -e "HEAD:./${config%%:*}" 2>/dev/null ||
      fail "--config: given '${config%%:*}', which the commit ${commit:0:12} does not hold; allowed a file of it such as configs/quickstart.py"
  fi
  changes="$(git -C "$HERE" status --porcelain)"
  if [ -n "$changes" ]; then
    [ -n "$dry" ] || fail "tpu: given a checkout with changes (git status shows them); allowed a clean one, since the workers get its commit: git commit first"
    echo "note: the checkout has changes; without --dry-run that is an error, since the workers get its commit" >&2
  fi
  (cd "$HERE" && check "$@") || exit # where the workers start it, too
  bundle="$(git -C "$HERE" rev-parse --absolute-git-dir)/pvr_jax.bundle"
  send_commit "$commit" "$bundle"
  # The number of the process is kept for `stop`; exec keeps it that of the run.
  on_workers "echo \$\$ >pvr_jax.pid && cd pvr_jax && exec $(quoted ./launch.sh "$@")"
}
