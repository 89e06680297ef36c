"""Simulated audits: how often intervals cover the truth, and how often verdicts are given where nothing is there.

What a report prints is computed from drawn samples whose truth is known, thousands of times over. There is no peer; a
case that does not hold what its interval or verdict promises, by three standard errors, gives exit code 1.
``--table`` prints the table of docs/methods.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import _pairs
from _audits import COVERAGE, POWER, Outcome, as_record, cases, simulate

AUDITS, QUICK, TOY = 4000, 1000, 3


def named(outcome: Outcome) -> str:
    """Return the figure of an outcome, with what it is a figure of."""
    return outcome.case.figure if outcome.figure == outcome.case.figure else f"{outcome.case.figure}: {outcome.figure}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return outcomes as a Markdown table."""
    lines = ["| figure | truth | counted | promised, % | simulated, % | of audits |",
             "| --- | --- | --- | --- | --- | --- |"]
    for outcome in outcomes:
        case, sign = outcome.case, {COVERAGE: "≥ ", POWER: ""}.get(outcome.case.kind, "≤ ")
        lines.append(f"| {named(outcome)} | {case.truth} | {case.kind} | {sign}{100 * case.nominal:g} | "
                     f"{100 * outcome.share:.1f} | {outcome.audits:,} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate every case and print shares."""
    parser = _pairs.standard_parser(__doc__)
    parser.add_argument("--table", action="store_true", help="print the table of docs/methods.md instead of JSON lines")
    arguments = parser.parse_args()
    audits = TOY if arguments.toy else QUICK if arguments.quick else AUDITS
    begun, outcomes = time.perf_counter(), []
    for case in cases():
        found = [outcome for outcome in simulate(case, audits) if outcome.audits]
        outcomes += found
        for outcome in found if not arguments.table else ():
            print(f"{case.kind:<16} {outcome.share:.3f}  {named(outcome)} ({case.truth})", flush=True)
    failed = [] if arguments.toy else [outcome for outcome in outcomes if not outcome.holds()]
    if arguments.table:
        print(table(outcomes))
    else:
        _pairs.finish([_pairs.compare(f"coverage/{named(outcome)} ({outcome.case.truth})", [outcome.share], (), "share",
                                      **as_record(outcome)) for outcome in outcomes])
    print(f"{len(outcomes)} figures, {audits} audits each, {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    if failed:
        print("not held: " + "; ".join(f"{named(each)} ({each.case.truth}): {each.share:.3f}" for each in failed),
              file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
