#!/usr/bin/env bash
# Sets up an environment where there is none and audits LeNet5 and the LSTM-RNN on scikit-learn's digits.
#
#   bash scripts/demo.sh [options of "mindleak audit"]
#
# Works from any directory; results land in the checkout's runs/ and ckpt/, and relative paths among the
# options are taken from the checkout too. The last line is the path of the report.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="$(bash scripts/setup_env.sh)"
export PATH="$venv/bin:$PATH"
exec python -m mindleak audit --config configs/audit_digits_cpu.yaml "$@"
