#!/usr/bin/env bash
# Sets up an environment where there is none and runs the tests.
#
#   bash scripts/test.sh [options of pytest]
#
# Works from any directory; paths among the options are taken from the checkout. Tests on real data look for
# it in MINDLEAK_DATA_DIR and are skipped without; MINDLEAK_REQUIRE_DATA=1 makes them fail instead.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="$(bash scripts/setup_env.sh dev)"
export PATH="$venv/bin:$PATH"
exec python -m pytest "$@"
