"""A thousand simulated audits of every interval and verdict that a report prints: they hold what they promise."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
AUDITS = 1000


@pytest.fixture(scope="module")
def audits() -> ModuleType:
    """The simulated audits, which ``benchmarks/coverage.py`` prints in full."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _audits
    finally:
        sys.path.remove(str(BENCHMARKS))
    return _audits


@pytest.mark.slow
def test_intervals_cover_and_verdicts_are_false_as_rarely_as_they_say(audits: ModuleType,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    # A fifth of the draws: the tails that they cut off differ by chance, and a thousand audits differ by more.
    monkeypatch.setattr("mindleak.evaluation.means.MANY_DRAWS", 3999)
    outcomes = [outcome for case in audits.cases() if case.brief for outcome in audits.simulate(case, AUDITS)]
    failed = [f"{outcome.case.name}, {outcome.figure}: {outcome.share:.3f} where {outcome.case.nominal:g} is promised"
              for outcome in outcomes if not outcome.holds()]
    assert failed == []
    # What prints nothing is not simulated: only the bootstrap, where too few samples decide, and ties of everything.
    silent = {outcome.case.figure for outcome in outcomes if outcome.silent}
    assert silent <= {"bootstrap, 199 resamples", "Kendall's τ", "decisions"}


def test_a_simulation_sees_an_interval_that_is_too_narrow(audits: ModuleType) -> None:
    from mindleak.evaluation.intervals import mean_metric

    def few_recognised(generator: audits.Random) -> audits.Drawn:  # type: ignore[name-defined]
        return {"": audits.covers(mean_metric(audits.recognised(generator, 0.05)).ci, 0.05 * 30 / 31 + 0.95 / 201)}

    (outcome,) = audits.simulate(audits.Case("Student's t", "5 % recognised", audits.COVERAGE, 0.95, few_recognised),
                                 300)
    assert not outcome.holds() and outcome.share < 0.85
    kinds = {case.kind for case in audits.cases()}
    assert kinds == {audits.COVERAGE, audits.ALARMS, audits.POWER, audits.RATE}


@pytest.mark.parametrize(("kind", "nominal", "share", "holds"), [
    ("coverage", 0.95, 0.93, True), ("coverage", 0.95, 0.91, False), ("coverage", 0.95, 1.0, True),
    ("false alarms", 0.05, 0.06, True), ("false alarms", 0.05, 0.08, False), ("false alarms", 0.05, 0.0, True),
    ("power", 0.8, 0.75, True), ("power", 0.8, 0.70, False), ("power", 0.8, 0.88, False),
    ("mean realised rate", 0.01, 0.01, True), ("mean realised rate", 0.01, 0.03, False),
])
def test_what_a_share_has_to_hold(audits: ModuleType, kind: str, nominal: float, share: float, holds: bool) -> None:
    case = audits.Case("figure", "truth", kind, nominal, lambda generator: {})
    assert audits.Outcome(case, "figure", share, 1000, 0).holds() is holds
