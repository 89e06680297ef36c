#!/usr/bin/env bash
# Runs any mindleak command as a cluster job: one process on one device, or one process per device under msrun.
#
#   [VARIABLE=value ...] bash run_ascend.sh SUBCOMMAND [options of the sub-command]
#
#   DEVICE_TARGET  Ascend (default), GPU, CPU or auto
#   DEVICE_NUM     devices on this node, 1 by default
#   NODE_NUM       nodes, 1 by default; every node runs this script
#   NODE_RANK      number of this node, from 0; needed with several nodes
#   MASTER_ADDR    address of node 0; needed with several nodes
#   MASTER_PORT    free port of node 0, 8118 by default
#   LOG_DIR        folder of the logs of several processes, msrun_log by default
#   DRY_RUN=1      print the command instead of running it
#
# The exit status is the command's own: of several processes, that of the first to fail.
# The Python used is that of MINDLEAK_VENV, of .venv beside this script, or the one on PATH, in this order.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
device_target="${DEVICE_TARGET:-Ascend}"
device_num="${DEVICE_NUM:-1}"
node_num="${NODE_NUM:-1}"
node_rank="${NODE_RANK:-0}"
master_addr="${MASTER_ADDR:-127.0.0.1}"
master_port="${MASTER_PORT:-8118}"
log_dir="${LOG_DIR:-msrun_log}"

fail() {
    echo "run_ascend.sh: $1" >&2
    exit 2
}

# Fails unless "$2" is a whole number from "$3" to "$4"; "$1" is the variable's name.
check_number() {
    if ! [[ "$2" =~ ^(0|[1-9][0-9]{0,6})$ ]] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        fail "$1 must be a whole number from $3 to $4, not '$2'"
    fi
}

check_variables() {
    case "$device_target" in
        Ascend | GPU | CPU | auto) ;;
        *) fail "DEVICE_TARGET must be Ascend, GPU, CPU or auto, not '$device_target'" ;;
    esac
    case "${DRY_RUN:-0}" in
        0 | 1) ;;
        *) fail "DRY_RUN must be 0 or 1, not '$DRY_RUN'" ;;
    esac
    check_number DEVICE_NUM "$device_num" 1 1024
    check_number NODE_NUM "$node_num" 1 100000
    check_number NODE_RANK "$node_rank" 0 "$((node_num - 1))"
    check_number MASTER_PORT "$master_port" 1024 65535
    if ! [[ "$master_addr" =~ ^[A-Za-z0-9._-]+$ ]]; then
        fail "MASTER_ADDR must be an IPv4 address or a host name, not '$master_addr'"
    fi
    if [ "$node_num" -gt 1 ] && { [ -z "${MASTER_ADDR:-}" ] || [ -z "${NODE_RANK:-}" ]; }; then
        fail "with NODE_NUM=$node_num, MASTER_ADDR and NODE_RANK must be set on every node"
    fi
}

check_arguments() {
    local argument
    if [ "$#" -eq 0 ] || [[ "$1" == -* ]]; then
        fail "a sub-command is missing: run_ascend.sh SUBCOMMAND ..., for example 'audit'"
    fi
    for argument in "$@"; do
        if [[ "$argument" == --device_target* ]]; then
            fail "give the device as DEVICE_TARGET=..., not as --device_target"
        fi
    done
}

# Sets python, and prefix: what DRY_RUN shows of the environment that the command needs.
choose_python() {
    local venv="${MINDLEAK_VENV:-$root/.venv}"
    if [ -x "$venv/bin/python" ]; then
        venv="$(cd "$venv" && pwd)"
        export PATH="$venv/bin:$PATH"
        prefix="PATH=$(printf '%q' "$venv/bin"):\"\$PATH\""
    else
        export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
        prefix="PYTHONPATH=$(printf '%q' "$PYTHONPATH")"
    fi
    # msrun launches no other names than these two.
    python=python
    if ! command -v python >/dev/null; then
        python=python3
    fi
}

need() {
    command -v "$1" >/dev/null || fail "$1 is not on PATH; $2"
}

# Rank 0 has been shown all along; what stopped the job may stand in another rank's log.
show_ends_of_logs() {
    local rank
    for ((rank = node_rank * device_num; rank < (node_rank + 1) * device_num; rank++)); do
        echo "--- end of $log_dir/worker_$rank.log"
        tail -n 3 "$log_dir/worker_$rank.log" 2>/dev/null || true
    done >&2
}

# Runs the command in "$@" and hands a signal on to it, so that no process outlives this script.
run_msrun() {
    local status=0 signalled=0 worker_status
    mkdir -p "$log_dir" 2>/dev/null || fail "cannot make the log folder $log_dir"
    : 2>/dev/null >"$log_dir/msrun.log" || fail "cannot write into the log folder $log_dir"
    echo "run_ascend.sh: logs of all processes in $log_dir; rank 0's follows" >&2
    # Without job control, a background job would ignore SIGINT until msrun takes it up.
    set -m
    "$@" 2>"$log_dir/msrun.log" &
    local job=$!
    set +m
    trap 'signalled=130' INT
    trap 'signalled=143' TERM
    wait "$job" || status=$?
    if [ "$signalled" -ne 0 ]; then
        # SIGINT is what makes msrun stop its workers, and it may not be listening yet.
        while kill -INT "$job" 2>/dev/null; do
            sleep 0.5
        done
        exit "$signalled"
    fi
    if [ "$status" -ne 0 ]; then
        worker_status="$(sed -n 's/.*exit with exception\. Error code: \([0-9]*\)\..*/\1/p' "$log_dir/msrun.log")"
        worker_status="${worker_status%%$'\n'*}"
        if [ -z "$worker_status" ]; then
            cat "$log_dir/msrun.log" >&2
        fi
        status="${worker_status:-$status}"
        show_ends_of_logs
        echo "run_ascend.sh: the job failed with exit status $status; see the logs in $log_dir" >&2
    fi
    exit "$status"
}

case "${1:-}" in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac
check_arguments "$@"
check_variables
choose_python

command=("$python" -m mindleak "$@" --device_target "$device_target")
workers=$((device_num * node_num))
if [ "$workers" -gt 1 ]; then
    command=(
        msrun "--worker_num=$workers" "--local_worker_num=$device_num"
        "--master_addr=$master_addr" "--master_port=$master_port" "--node_rank=$node_rank"
        "--log_dir=$log_dir" --join=True --tail_worker_log=0 "${command[@]}"
    )
fi

if [ "${DRY_RUN:-0}" = 1 ]; then
    printf '%s' "$prefix"
    printf ' %q' "${command[@]}"
    printf '\n'
    exit 0
fi
need "$python" "install Python 3.9 to 3.12"
if [ "$workers" -eq 1 ]; then
    exec "${command[@]}"
fi
need msrun "it comes with MindSpore: bash scripts/setup_env.sh"
run_msrun "${command[@]}"
