#!/usr/bin/env bash
# Makes the virtual environment that demo.sh and test.sh run in, and prints its path (all else goes to stderr).
#
#   bash scripts/setup_env.sh [dev]
#
# Which one: the folder named by MINDLEAK_VENV (from the top of the checkout, unless absolute); else the active virtual
# environment, if this very checkout is installed in it; else .venv at the top of the checkout. "dev" adds what the
# tests need. A stamp in the environment holds a checksum of what was installed, so that a second call installs nothing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
extra="${1:-}"

fail() {
    echo "setup_env.sh: $1" >&2
    exit 2
}

# Succeeds if "$1" is a Python that MindSpore 2.8.0 has wheels for.
suits() {
    "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
    local name suitable=""
    for name in python3.11 python3.10 python3.12 python3.9 python3 python; do
        suits "$name" || continue
        suitable="$name"
        if "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    if [ -n "$suitable" ]; then
        fail "$suitable has no 'venv' module; install it (Debian, Ubuntu: apt-get install python3-venv)"
    fi
    fail "no Python 3.9 to 3.12 found on PATH; install one of them"
}

holds_this_checkout() {
    "$1/bin/python" -I -c '
import os, sys, mindleak
sys.exit(not os.path.samefile(os.path.dirname(mindleak.__file__), sys.argv[1]))
' "$root/src/mindleak" >/dev/null 2>&1
}

choose_environment() {
    if [ -n "${MINDLEAK_VENV:-}" ]; then
        echo "$MINDLEAK_VENV"
    elif [ -n "${VIRTUAL_ENV:-}" ] && holds_this_checkout "$VIRTUAL_ENV"; then
        echo "$VIRTUAL_ENV"
    else
        echo "$root/.venv"
    fi
}

make_environment() {
    local venv="$1" python
    if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        suits "$venv/bin/python" || fail "$venv holds an unsuitable Python; Python 3.9 to 3.12 is needed"
        return
    fi
    # Only what is a virtual environment, if a broken one, may be made anew.
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv" 2>&1)" ]; then
        fail "$venv is there already and is no virtual environment; set MINDLEAK_VENV to another folder"
    fi
    python="$(find_python)"
    echo "setup_env.sh: making a virtual environment in $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv" >&2 || fail "cannot make a virtual environment in $venv"
}

install_package() {
    local venv="$1" wanted="$2" quiet="--quiet"
    echo "setup_env.sh: installing into $venv (minutes the first time)" >&2
    if [ -t 2 ]; then
        quiet=""
    fi
    # Editable installs from pyproject.toml came with pip 21.3; Python 3.9 may bring an older one.
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --quiet "pip>=21.3" >&2 ||
        ! "$venv/bin/python" -m pip install --disable-pip-version-check ${quiet:+"$quiet"} -e ".$wanted" >&2; then
        fail "installation failed, see pip's message above"
    fi
}

case "$extra" in
    "") wanted="" ;;
    dev) wanted="[dev]" ;;
    *) fail "unknown extra '$extra'; 'dev' or nothing" ;;
esac

venv="$(choose_environment)"
# The checkout's place counts: an environment that was installed from another one points there.
checksum="$({ echo "$root"; cat "$root/requirements.txt" "$root/pyproject.toml"; } | cksum)"
runtime_stamp="$venv/.mindleak-installed"
stamp="$runtime_stamp${extra:+-$extra}"
if [ ! -x "$venv/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$checksum" ]; then
    make_environment "$venv"
    venv="$(cd "$venv" && pwd)"
    install_package "$venv" "$wanted"
    echo "$checksum" >"$stamp"
    echo "$checksum" >"$runtime_stamp"
fi
(cd "$venv" && pwd)
