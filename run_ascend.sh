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
#   MASTER_PORT    free port of node 0: 8118 by default, or on a single node another one where that is in use
#   LOG_DIR        folder of the logs of several processes, msrun_log by default
#   DRY_RUN=1      print the command instead of running it
#
# The sub-commands data, doctor and report run in one process, whatever DEVICE_NUM and DEVICE_TARGET say.
# The exit status is the command's own: of several processes, that of the first to fail, and 128 + N where signal N
# killed it. The Python used is that of MINDLEAK_VENV (from the top of the checkout, unless absolute), of .venv beside
# this script, or the one on PATH, in this order.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
device_target="${DEVICE_TARGET:-Ascend}"
device_num="${DEVICE_NUM:-1}"
node_num="${NODE_NUM:-1}"
node_rank="${NODE_RANK:-0}"
master_addr="${MASTER_ADDR:-127.0.0.1}"
master_port="${MASTER_PORT:-8118}"
SECONDS_WITHOUT_SCHEDULER=30
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
    local venv="${MINDLEAK_VENV:-.venv}"
    [[ "$venv" == /* ]] || venv="$root/$venv"
    if [ -n "${MINDLEAK_VENV:-}" ] && [ ! -x "$venv/bin/python" ]; then
        fail "MINDLEAK_VENV is $MINDLEAK_VENV, which holds no bin/python; expected a virtual environment"
    fi
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

# True if one process does the command, whatever the variables say: it computes nothing, or only prints its help.
runs_alone() {
    local argument
    case "$1" in
        data | doctor | report) return 0 ;;
    esac
    for argument in "$@"; do
        if [ "$argument" = -h ] || [ "$argument" = --help ]; then
            return 0
        fi
    done
    return 1
}

# Prints the port for the scheduler on node 0, or a sentence that says why the other processes could not reach it there:
# each of them would wait five minutes for it.
find_port() {
    "$python" -c '
import errno, ipaddress, socket, sys

name, port, given, nodes, rank = sys.argv[1], *map(int, sys.argv[2:])
try:
    address = socket.gethostbyname(name)
except (OSError, UnicodeError):
    sys.exit(print(f"MASTER_ADDR is {name}, which is no address and no host name known here"))
if nodes > 1 and ipaddress.ip_address(address).is_loopback:
    sys.exit(print(f"MASTER_ADDR is {name}, by which every node means itself; expected the address of node 0"))

def try_to_listen(port):
    with socket.socket() as listener:
        # Without SO_REUSEADDR, as MindSpore binds it: a port that a job has just left counts as taken for a minute.
        listener.bind((address, port))
        listener.listen()
        return listener.getsockname()[1]

try:
    print(port if rank else try_to_listen(port))
except OSError as error:
    if error.errno == errno.EADDRNOTAVAIL:
        print(f"MASTER_ADDR is {name}, which is no address of this machine; expected one of node 0")
    elif given or nodes > 1:
        print(f"MASTER_PORT {port} is in use on this machine, or was a minute ago; choose another" + " for all nodes" * (nodes > 1))
    else:
        print(try_to_listen(0))
' "$master_addr" "$master_port" "${MASTER_PORT:-0}" "$node_num" "$node_rank"
}

choose_port() {
    local answer
    answer="$(find_port)" || fail "cannot look for a free port with $python"
    if [[ "$answer" == *" "* ]]; then
        fail "$answer"
    fi
    if [ "$answer" != "$master_port" ]; then
        echo "run_ascend.sh: port $master_port is in use; taking $answer" >&2
        master_port="$answer"
    fi
}

# Refuses here, in seconds and once, what every process would refuse half a minute later.
check_configuration() {
    "$python" -c 'import sys; from mindleak.cli import check; sys.exit(check(sys.argv[2:], int(sys.argv[1])))' \
        "$workers" "$@" --device_target "$device_target" || exit "$?"
}

# Makes the log folder. Names in it are predictable: where others can write, a link may wait under one of them.
prepare_logs() {
    local path mode
    if [ -L "$log_dir" ]; then
        fail "the log folder $log_dir is a symbolic link; give the folder itself as LOG_DIR"
    fi
    (umask 077 && mkdir -p -- "$log_dir") 2>/dev/null || fail "cannot make the log folder $log_dir"
    mode="$(ls -ld -- "$log_dir")"
    if [ ! -O "$log_dir" ] || [ "${mode:8:1}" = w ]; then
        fail "others can write into the log folder $log_dir; set LOG_DIR to a folder of your own"
    fi
    for path in "$log_dir"/msrun.log "$log_dir"/scheduler.log "$log_dir"/worker_*.log; do
        if [ -L "$path" ] || { [ -e "$path" ] && [ ! -f "$path" ]; }; then
            fail "$path is no regular file; remove it"
        fi
    done
    : 2>/dev/null >"$log_dir/msrun.log" || fail "cannot write into the log folder $log_dir"
}

# Remembers which rank each process of the job has: of one that has died, msrun tells its number only.
declare -A rank_of=()
scheduler=""
note_ranks() {
    local process variables
    for process in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        if [ -n "${rank_of[$process]:-}" ] || [ "$process" = "$scheduler" ]; then
            continue
        fi
        variables="$(tr '\0' '\n' 2>/dev/null <"/proc/$process/environ")" || continue
        case $'\n'"$variables"$'\n' in
            *$'\nMS_ROLE=MS_SCHED\n'*) scheduler="$process" ;;
            *$'\nMS_ROLE=MS_WORKER\n'*) rank_of[$process]="$(sed -n 's/^RANK_ID=//p' <<<"$variables")" ;;
        esac
    done
}

# True if the scheduler has ended; msrun looks after workers only, and these would wait minutes for it.
scheduler_is_gone() {
    [ -n "$scheduler" ] && ! grep -q '^State:[[:space:]]*[A-WYa-wy]' "/proc/$scheduler/status" 2>/dev/null
}

# Sets failed_process and failed_status, msrun's word for how the first worker failed: a negative one is a signal's number.
read_failure() {
    local words
    words="$(sed -n 's/.*Worker process \([0-9]*\) exit with exception\. Error code: \(-\{0,1\}[0-9]*\)\..*/\1 \2/p' \
        "$log_dir/msrun.log")"
    read -r failed_process failed_status <<<"$words" || true
}

# Prints what stopped the job: of a refusal its line, of anything else the ends of all logs. Rank 0 has been shown all
# along, but what stopped the job may stand in another rank's log.
show_reason() {
    local rank line=""
    if [ "$status" -eq 2 ] && [ -n "$failed_rank" ]; then
        line="$(sed -n '/^mindleak: /p' "$log_dir/worker_$failed_rank.log" 2>/dev/null)"
    fi
    if [ -n "$line" ]; then
        echo "${line##*$'\n'}" >&2
        return
    fi
    for ((rank = node_rank * device_num; rank < (node_rank + 1) * device_num; rank++)); do
        echo "--- end of $log_dir/worker_$rank.log"
        sed '/^\[INFO\]/d' "$log_dir/worker_$rank.log" 2>/dev/null | tail -n 3 || true
    done >&2
}

# Ends the script with the status of a job that failed, and says who failed and how.
report_failure() {
    local status="$1" failed_rank="" who how
    if [ -z "$failed_process" ]; then
        cat "$log_dir/msrun.log" >&2
        show_reason
        echo "run_ascend.sh: the job failed with exit status $status; see the logs in $log_dir" >&2
        exit "$status"
    fi
    failed_rank="${rank_of[$failed_process]:-}"
    who="process $failed_process"
    if [ -n "$failed_rank" ]; then
        who="rank $failed_rank (process $failed_process)"
    fi
    if [ "$failed_status" -lt 0 ]; then
        status=$((128 - failed_status))
        how="was killed by signal $((-failed_status)) (SIG$(kill -l "$((-failed_status))"))"
    else
        status="$failed_status"
        how="ended with exit status $status"
    fi
    show_reason
    echo "run_ascend.sh: the job failed: $who $how; see the logs in $log_dir" >&2
    exit "$status"
}

# Stops the job "$1". SIGINT is what makes msrun stop its workers, and it may not be listening yet.
stop_job() {
    while kill -INT "$1" 2>/dev/null; do
        sleep 0.5
    done
}

# Waits for the job "$1" until it ends, a signal has come, a worker has failed, or the scheduler has been gone too long.
watch_job() {
    local gone=0
    while kill -0 "$1" 2>/dev/null && [ "$signalled" -eq 0 ]; do
        note_ranks "$1"
        read_failure
        if [ -n "$failed_process" ] && [ "$node_num" -eq 1 ]; then
            # Nobody else needs the scheduler, which msrun would let wait for the dead for half a minute.
            stop_job "$1"
            return
        fi
        if scheduler_is_gone; then
            gone=$((gone + 1))
        fi
        if [ "$gone" -gt "$SECONDS_WITHOUT_SCHEDULER" ]; then
            stop_job "$1"
            sed -n '/^[A-Za-z]*Error: /{p;q;}' "$log_dir/scheduler.log" >&2
            echo "run_ascend.sh: the job failed: its scheduler (process $scheduler) has ended; see the logs in $log_dir" >&2
            exit 1
        fi
        sleep 1 &
        wait "$!" || true
    done
}

# Runs the command in "$@" and hands a signal on to it, so that no process outlives this script.
run_msrun() {
    local status=0 signalled=0 failed_process="" failed_status="" process
    echo "run_ascend.sh: logs of all processes in $log_dir; rank 0's follows" >&2
    # Without job control, a background job would ignore SIGINT until msrun takes it up.
    set -m
    "$@" 2>"$log_dir/msrun.log" &
    local job=$!
    set +m
    trap 'signalled=130' INT
    trap 'signalled=143' TERM
    watch_job "$job"
    if [ "$signalled" -ne 0 ]; then
        stop_job "$job"
        exit "$signalled"
    fi
    wait "$job" || status=$?
    read_failure
    if [ "$status" -ge 128 ]; then
        # Killed, msrun has left its processes to themselves.
        for process in "${!rank_of[@]}" $scheduler; do
            kill -KILL "$process" 2>/dev/null || true
        done
    fi
    if [ "$status" -ne 0 ] || [ -n "$failed_process" ]; then
        report_failure "$status"
    fi
    exit 0
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

workers=$((device_num * node_num))
command=("$python" -m mindleak "$@")
if runs_alone "$@"; then
    workers=1
else
    command+=(--device_target "$device_target")
fi
if [ "$workers" -gt 1 ] && [ "${DRY_RUN:-0}" = 0 ]; then
    need "$python" "install Python 3.9 to 3.12"
    need msrun "it comes with MindSpore: bash scripts/setup_env.sh"
    check_configuration "$@"
    choose_port
    prepare_logs
fi
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
if [ "$workers" -gt 1 ]; then
    run_msrun "${command[@]}"
fi
need "$python" "install Python 3.9 to 3.12"
exec "${command[@]}"
