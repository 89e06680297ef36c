"""Accuracy, precision, recall and F1 against scikit-learn; undefined ratios; the printed table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from mindleak.evaluation.classification import accuracy, binary_report
from mindleak.evaluation.intervals import clopper_pearson

flags = st.integers(1, 60).flatmap(lambda n: st.tuples(*[arrays(np.bool_, n)] * 2))


@given(flags)
def test_report_agrees_with_sklearn_where_defined_and_is_null_where_not(pair: tuple) -> None:
    members, predicted = pair
    report = binary_report(members, predicted)
    assert report["accuracy"].value == pytest.approx(accuracy_score(members, predicted))
    columns = precision_recall_fscore_support(members, predicted, labels=[False, True], zero_division=np.nan)
    for position, side in enumerate(("non_member", "member")):
        for column, name in enumerate(("precision", "recall", "f1")):
            metric = report[side][name]
            expected = columns[column][position]
            assert metric.value == pytest.approx(expected, nan_ok=True)
            if math.isnan(expected):
                assert metric.reason
            else:
                assert metric.ci[0] <= metric.value <= metric.ci[1]
        assert report[side]["support"] == columns[3][position]
    for column, name in enumerate(("precision", "recall", "f1")):
        assert report["macro"][name].value == pytest.approx(np.mean(columns[column]), nan_ok=True)
    assert report["macro"]["support"] == members.size


def test_hand_computed_report() -> None:
    # 3 hits, 1 miss, 2 false alarms, 4 rejections.
    members = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    predicted = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    report = binary_report(members, predicted)
    assert report["accuracy"].value == 0.7
    assert report["accuracy"].ci == clopper_pearson(7, 10)
    assert report["member"]["precision"].value == pytest.approx(3 / 5)
    assert report["member"]["recall"].ci == clopper_pearson(3, 4)
    assert report["member"]["f1"].value == pytest.approx(6 / 9)
    lower, upper = clopper_pearson(3, 6)
    assert report["member"]["f1"].ci == pytest.approx((2 * lower / (1 + lower), 2 * upper / (1 + upper)))
    assert report["macro"]["recall"].value == pytest.approx((3 / 4 + 4 / 6) / 2)


def test_f1_interval_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    n, runs, hit_rate, alarm_rate = 200, 400, 0.6, 0.3
    truth = 2 * hit_rate / (2 * hit_rate + alarm_rate + 1 - hit_rate)
    members = np.arange(2 * n) < n
    covered = macro_covered = 0
    other = 2 * (1 - alarm_rate) / (2 * (1 - alarm_rate) + 1 - hit_rate + alarm_rate)
    for _ in range(runs):
        predicted = generator.uniform(size=2 * n) < np.where(members, hit_rate, alarm_rate)
        report = binary_report(members, predicted)
        lower, upper = report["member"]["f1"].ci
        covered += lower <= truth <= upper
        lower, upper = report["macro"]["f1"].ci
        macro_covered += lower <= (truth + other) / 2 <= upper
    assert covered / runs >= 0.93
    assert macro_covered / runs >= 0.93


def test_empty_report_is_undefined_everywhere() -> None:
    report = binary_report([], [])
    assert math.isnan(report["accuracy"].value)


def test_accuracy_from_logits_equals_accuracy_from_classes() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(300, 7)).astype(np.float32)
    labels = generator.integers(0, 7, 300).astype(np.int32)
    metric = accuracy(logits, labels)
    assert metric == accuracy(logits.argmax(axis=1), labels)
    assert metric.value == accuracy_score(labels, logits.argmax(axis=1))
    assert metric.ci == clopper_pearson(round(metric.value * 300), 300)


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (np.zeros((3, 2)), [0, 1]),
        (np.zeros((2, 2)), [0, 2]),
        (np.full((2, 2), np.nan), [0, 1]),
        (np.zeros((2, 2)), [0.0, 1.0]),
        ([0, 1, 2], [0, 1]),
        ([0.0, 1.0], [0, 1]),
        (np.zeros((1, 2, 2)), [0]),
    ],
)
def test_answers_that_do_not_fit_the_labels_are_refused(answers: object, labels: list) -> None:
    with pytest.raises(ValueError):
        accuracy(answers, labels)  # type: ignore[arg-type]


def test_predictions_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions for 3 samples"):
        binary_report([1, 0, 1], [1, 0])
