#!/usr/bin/env bash
# Sets up an environment where there is none and runs the tests, but for the long ones.
#
#   bash scripts/test.sh [--all] [options of pytest]
#
#   --all        the long ones too, as continuous integration runs them; -m slow: the long ones only
#   -n 0 -s      in one process, with what tests print; else one process per core, four at most
#
# Works from any directory; paths among the options are taken from the checkout. Tests on real data look for
# it in MINDLEAK_DATA_DIR and are skipped without; MINDLEAK_REQUIRE_DATA=1 makes them fail instead.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="$(bash scripts/setup_env.sh dev)"
export PATH="$venv/bin:$PATH"
tests="not slow"
if [ "${1:-}" = --all ]; then
    tests=""
    shift
fi
# A file's tests stay in one process: they share what its fixtures train. Of options given twice, the last counts.
exec python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "$tests" "$@"
