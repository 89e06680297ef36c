"""Simulated audits: how often intervals cover the truth, and how often verdicts are given where nothing is there.

What a report prints is computed from drawn samples whose truth is known, thousands of times over. There is no peer; a
case that does not hold what its interval or verdict promises, by three standard errors, gives exit code 1.
``--table`` prints the table of docs/simulations.md.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence

import _pairs
from _audits import COVERAGE, POWER, Outcome, as_record, cases, simulate
from _processes import add_processes, outcomes_of

AUDITS, QUICK, TOY = 4000, 1000, 3
# Up to so many figures of one case have a row each.
TOGETHER = 3


def named(outcome: Outcome) -> str:
    """Return the figure of an outcome, with what it is a figure of."""
    return outcome.case.figure if outcome.figure == outcome.case.figure else f"{outcome.case.figure}: {outcome.figure}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return outcomes as a Markdown table; many figures of one case share a row, from the lowest to the highest."""
    lines = ["| figure | truth | counted | promised, % | simulated, % | of audits |",
             "| --- | --- | --- | --- | --- | --- |"]
    for case, group in itertools.groupby(outcomes, lambda outcome: outcome.case):
        figures = list(group)
        for together in [figures] if len(figures) > TOGETHER else [[each] for each in figures]:
            name = named(together[0]) if len(together) == 1 else f"{case.figure}: {len(together)} figures"
            shares = [f"{100 * share:.1f}" for share in sorted(each.share for each in together)]
            sign = {COVERAGE: "≥ ", POWER: ""}.get(case.kind, "≤ ")
            lines.append(f"| {name} | {case.truth} | {case.kind} | {sign}{100 * case.nominal:g} | "
                         f"{' to '.join(dict.fromkeys((shares[0], shares[-1])))} | {together[0].audits:,} |")
    return "\n".join(lines)


def shares(number: int, audits: int) -> list[tuple[str, float, int, int]]:
    """Return the outcomes of the case of that number without the case: its functions cannot leave a process."""
    return [(each.figure, each.share, each.audits, each.silent) for each in simulate(cases()[number], audits)]


def main() -> None:
    """Simulate every case and print shares."""
    parser = _pairs.standard_parser(__doc__)
    parser.add_argument("--table", action="store_true", help="print the table of docs/simulations.md, not JSON lines")
    add_processes(parser)
    arguments = parser.parse_args()
    audits = TOY if arguments.toy else QUICK if arguments.quick else AUDITS
    begun, every, outcomes = time.perf_counter(), cases(), list[Outcome]()
    simulated = outcomes_of(shares, [(number, audits) for number in range(len(every))], arguments.processes)
    for case, figures in zip(every, simulated):
        found = [outcome for outcome in (Outcome(case, *each) for each in figures) if outcome.audits]
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
