"""Runs fuzzed inputs and says what they came to: ``python tests/fuzz/run.py --inputs 10000 --seed 0``.

It goes on after a violation. What belongs to such an input stays in a folder of its number (``command.json``,
``inputs``, ``stdout.txt``, ``stderr.txt``); ``--only NUMBER`` runs it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from fuzzing import cause, outcomes, table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="run these again")
    parser.add_argument("--work", type=Path, default=Path("fuzz"), help="where inputs with violations are kept (fuzz)")
    parser.add_argument("--processes", type=int, default=1, help="inputs side by side (1)")
    parser.add_argument("--limit", type=float, default=30, help="seconds for an input that does not train")
    options = parser.parse_args()
    numbers = options.only or range(options.first, options.first + options.inputs)
    begun, results = time.perf_counter(), []
    for outcome in outcomes(
        numbers, options.seed, options.work.resolve(), options.limit, 4 * options.limit, options.processes
    ):
        results.append(outcome)
        for violation in outcome.violations:
            print(f"input {outcome.number} ({outcome.kind}): {violation}", flush=True)
    print(f"\nseed {options.seed}, {len(results):,} inputs, {time.perf_counter() - begun:,.0f} s\n\n{table(results)}")
    causes = Counter(cause(violation) for outcome in results for violation in outcome.violations)
    for text, count in causes.most_common():
        print(f"{count:5d} × {text}")
    return int(bool(causes))


if __name__ == "__main__":
    sys.exit(main())
