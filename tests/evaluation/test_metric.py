"""The JSON form of a metric: what is always there, what only when set, and what stands for non-finite numbers."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.evaluation.metric import Metric

finite = st.floats(-1e6, 1e6)
intervals = st.tuples(finite, finite).map(lambda pair: (min(pair), max(pair)))


def test_plain_metric_has_exactly_the_five_keys_of_the_contract() -> None:
    record = Metric(0.5, 10).to_json()
    assert record == {"value": 0.5, "ci": None, "ci_level": 0.95, "ci_method": None, "n": 10}


def test_metric_at_a_threshold_carries_rate_threshold_and_ties() -> None:
    metric = Metric(0.2, 50, ci=(0.1, 0.3), ci_method="m", fpr=0.0, fpr_ci=(0.0, 0.1), threshold=-1.5, ties=0)
    record = metric.to_json()
    assert (record["fpr"], record["fpr_ci"], record["threshold"], record["ties"]) == (0.0, [0.0, 0.1], -1.5, 0)
    assert "reason" not in record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_becomes_null_with_a_reason(value: float) -> None:
    record = Metric(value, 3).to_json()
    assert record["value"] is None
    assert record["reason"] == f"value is {value}"
    json.dumps(record, allow_nan=False)


def test_given_reason_is_kept_for_a_null_value() -> None:
    assert Metric(math.nan, 0, reason="no members").to_json()["reason"] == "no members"


def test_unbounded_side_of_an_interval_is_null_and_comes_back_infinite() -> None:
    metric = Metric(1.0, 9, ci=(0.5, math.inf))
    assert metric.to_json()["ci"] == [0.5, None]
    assert Metric.from_json(metric.to_json()).ci == (0.5, math.inf)


def test_numpy_numbers_survive_json() -> None:
    metric = Metric(np.float32(0.25), np.int64(4), ci=(np.float64(0.0), np.float32(1.0)), ties=np.int32(2))
    assert json.loads(json.dumps(metric.to_json()))["value"] == 0.25


@given(
    st.builds(
        Metric,
        value=finite,
        n=st.integers(0, 10**9),
        ci=st.none() | intervals,
        ci_level=st.floats(0.01, 0.99),
        ci_method=st.none() | st.text(min_size=1),
        fpr=st.none() | st.floats(0, 1),
        fpr_ci=st.none() | intervals,
        threshold=st.none() | finite,
        ties=st.none() | st.integers(0, 100),
        reason=st.none() | st.text(min_size=1),
    )
)
def test_json_round_trip_is_the_identity_for_finite_metrics(metric: Metric) -> None:
    assert Metric.from_json(json.loads(json.dumps(metric.to_json(), allow_nan=False))) == metric


def test_null_value_comes_back_as_nan_with_its_reason() -> None:
    back = Metric.from_json(Metric(math.nan, 0, reason="no members").to_json())
    assert math.isnan(back.value)
    assert back.reason == "no members"


def test_metric_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Metric(0.5, 1).value = 0.6  # type: ignore[misc]


@pytest.mark.parametrize(
    "bad",
    [
        {"n": -1},
        {"ci": (0.6, 0.4)},
        {"ci": (math.nan, 1.0)},
        {"fpr_ci": (1.0, 0.0)},
        {"ci_level": 1.0},
        {"ci_level": 95.0},
    ],
)
def test_impossible_metrics_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError):
        Metric(**{"value": 0.5, "n": 1, **bad})


@pytest.mark.parametrize("change", [{"colour": 1}, {"n": ...}])
def test_record_with_unknown_or_missing_keys_is_refused(change: dict) -> None:
    record = {**Metric(0.5, 1).to_json(), **change}
    record = {key: value for key, value in record.items() if value is not ...}
    with pytest.raises(ValueError, match="colour|'n'"):
        Metric.from_json(record)


@pytest.mark.parametrize("value", [0.0, 0.026, -3.0, 1e6])
def test_an_interval_without_width_is_none_and_says_so(value: float) -> None:
    metric = Metric(value, 30, ci=(value, value), ci_method="student-t", p=0.001)
    assert metric.ci is None and metric.ci_method is None and metric.p is None
    assert metric.to_json()["reason"] == "all values are alike: no interval"
    beside = Metric(value, 30, ci=(value, value * (1 + 1e-8)) if value > 0 else (value, value), reason="few images")
    assert beside.ci is None and beside.reason == "few images; all values are alike: no interval"


@pytest.mark.parametrize("ci", [(-math.inf, math.inf), (-math.inf, 0.5), (0.5, math.inf), (0.0, 1e-9), (0.98, 0.9801),
                                (1 - 3.7e-6, 1.0)])
def test_narrow_and_unbounded_intervals_are_kept(ci: tuple[float, float]) -> None:
    assert Metric(0.5, 10**6, ci=ci).ci == ci
