"""One contract for all membership attacks on answers: what they must find, and not find, in a world that is known."""

from __future__ import annotations

import dataclasses
import doctest
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from mindleak.attacks.membership import AttackScores, Lira, MetricAttack, Rmia, metric, model_signals, stacked
from mindleak.attacks.membership import reference_attack as reference
from mindleak.attacks.membership.names import REFERENCE_ATTACKS
from mindleak.evaluation.roc import auc

MODELS, SAMPLES, POPULATION, CLASSES = 12, 1500, 300, 3


@dataclass(frozen=True)
class World:
    """Logits of a target (samples, classes) and of references, on samples and on a population nobody has seen."""

    members: np.ndarray
    keep: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    references: np.ndarray
    labels_z: np.ndarray
    target_z: np.ndarray
    references_z: np.ndarray

    def reordered(self, order: np.ndarray) -> World:
        return dataclasses.replace(self, members=self.members[order], keep=self.keep[:, order],
                                   labels=self.labels[order], target=self.target[order],
                                   references=self.references[:, order])


def world(leak: float, seed: int = 0) -> World:
    """A world in which whoever was trained on a sample answers it with ``leak`` more of the true class's logit."""
    generator = np.random.default_rng(seed)
    labels, labels_z = (generator.integers(0, CLASSES, count) for count in (SAMPLES, POPULATION))
    keep = np.stack([generator.permuted(np.arange(MODELS) < MODELS // 2) for _ in range(SAMPLES)], axis=1)
    members = generator.permuted(np.arange(SAMPLES) < SAMPLES // 2)
    ease, ease_z = (generator.normal(1.0, 1.0, (count, 1)) for count in (SAMPLES, POPULATION))

    def answered(truth: np.ndarray, easy: np.ndarray, inside: np.ndarray) -> np.ndarray:
        logits = generator.normal(0.0, 0.7, (len(truth), CLASSES))
        return logits + np.eye(CLASSES)[truth] * (easy + leak * inside[:, None])

    nobody = np.zeros(POPULATION, bool)
    return World(members, keep, labels, answered(labels, ease, members),
                 np.stack([answered(labels, ease, inside) for inside in keep]), labels_z,
                 answered(labels_z, ease_z, nobody),
                 np.stack([answered(labels_z, ease_z, nobody) for _ in range(MODELS)]))


def by_references(attack: reference.ReferenceAttack) -> Callable[[World], AttackScores]:
    def scored(known: World) -> AttackScores:
        target = model_signals(known.target, known.labels, known.target_z, known.labels_z)
        references = stacked([model_signals(logits, known.labels, logits_z, known.labels_z)
                              for logits, logits_z in zip(known.references, known.references_z)], known.keep)
        return attack.attack(target, references)
    return scored


def by_metric(attack: MetricAttack) -> Callable[[World], AttackScores]:
    return lambda known: attack.attack(known.target, known.references, known.labels)


ATTACKS: dict[str, Callable[[World], AttackScores]] = {
    **{attack.name: by_references(attack) for attack in (
        Lira(), Lira("offline"), Lira("offline_two_sided"), Rmia(), Rmia("offline"))},
    **{name: by_metric(MetricAttack(name)) for name in ("loss", "confidence", "entropy", "modified_entropy", "phi")}}


def area(scores: np.ndarray, members: np.ndarray) -> float:
    assert np.isfinite(scores).all()
    return float(auc(scores, members).value)


def check(attack: Callable[[World], AttackScores], known: World, unknown: World) -> None:
    """Hold an attack to the contract, in a world that leaks and in one that does not."""
    found = attack(known)
    assert found.target.shape == (SAMPLES,) and found.references.shape == (MODELS, SAMPLES)
    # Higher is more member-like, for the target and for each reference in its place.
    assert area(found.target, known.members) > 0.6
    assert all(area(scores, keep) > 0.6 for scores, keep in zip(found.references, known.keep))
    order = np.random.default_rng(1).permutation(SAMPLES)
    assert np.array_equal(attack(known).target, found.target)
    assert abs(area(attack(known.reordered(order)).target, known.members[order]) - area(found.target, known.members)
               ) < 0.01
    # Where nothing leaks nothing is found: five standard errors of an area.
    assert abs(area(attack(unknown).target, unknown.members) - 0.5) < 5 * (6 * SAMPLES) ** -0.5
    if found.in_turn is not None:
        assert area(found.in_turn, known.members) > 0.6


def test_the_table_has_all_attacks_on_answers() -> None:
    assert set(ATTACKS) == set(REFERENCE_ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_keeps_the_contract(name: str) -> None:
    check(ATTACKS[name], world(2.0), world(0.0, seed=1))


@pytest.mark.parametrize("broken", ["no-op", "swapped label", "blind to order", "random"])
def test_a_broken_attack_does_not(broken: str) -> None:
    def attack(known: World) -> AttackScores:
        found = ATTACKS["lira_online"](known)
        generator = np.random.default_rng()
        return {"no-op": AttackScores(np.zeros(SAMPLES), np.zeros((MODELS, SAMPLES))),
                "swapped label": AttackScores(-found.target, -found.references),
                "blind to order": AttackScores(np.sort(found.target), found.references),
                "random": AttackScores(generator.normal(size=SAMPLES), found.references)}[broken]

    with pytest.raises(AssertionError):
        check(attack, world(2.0), world(0.0, seed=1))


def test_calibration_by_references_finds_more_than_any_metric() -> None:
    known = world(2.0)
    areas = {name: area(attack(known).target, known.members) for name, attack in ATTACKS.items()}
    assert areas["lira_online"] > max(areas[name] for name in ("loss", "confidence", "entropy", "phi")) + 0.02


@pytest.mark.parametrize("make, message", [
    (lambda: Lira("onlin"), "form is 'onlin'; expected one of online, offline, offline_two_sided"),
    (lambda: Rmia("lira"), "form is 'lira'; expected one of online, offline"),
    (lambda: Rmia(gamma=0.5), "gamma is 0.5; expected a finite number from 1 on"),
    (lambda: Rmia(gamma=float("nan")), "gamma is nan"),
    (lambda: MetricAttack("los"), "name is 'los'; expected one of loss, confidence"),
])
def test_parameters_are_checked_where_they_are_given(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("change, message", [
    ({"target": slice(None, -1)}, "the target's signals have shapes"),
    ({"target_z": slice(None, -1)}, "the target's signals have shapes"),
    ({"no population": None}, "rmia_online has no population; expected samples that no model was trained on"),
    ({"temperature": None}, "the target has temperature 2; expected 1, as the references have"),
])
def test_signals_that_do_not_belong_together_are_refused(change: dict[str, slice | None], message: str) -> None:
    known = world(2.0)
    rows, rows_z = change.get("target") or slice(None), change.get("target_z") or slice(None)
    z = "no population" not in change
    target = model_signals(known.target[rows], known.labels[rows], known.target_z[rows_z] if z else None,
                           known.labels_z[rows_z] if z else None, 2.0 if "temperature" in change else 1.0)
    references = stacked([model_signals(logits, known.labels, logits_z if z else None, known.labels_z if z else None)
                          for logits, logits_z in zip(known.references, known.references_z)], known.keep)
    with pytest.raises(ValueError, match=message):
        Rmia().attack(target, references)
    if not z:
        assert np.isfinite(Lira().attack(target, references).target).all(), "which needs no population"


def test_a_population_without_labels_is_refused() -> None:
    known = world(2.0)
    with pytest.raises(ValueError, match="the population has logits or labels only"):
        model_signals(known.target, known.labels, known.target_z)


def test_a_metric_attack_refuses_answers_of_other_samples() -> None:
    known = world(2.0)
    with pytest.raises(ValueError, match="the references' logits have shape"):
        MetricAttack("loss").attack(known.target, known.references[:, 1:], known.labels)


@pytest.mark.parametrize("module", [reference, metric], ids=lambda module: module.__name__)
def test_examples_run_as_they_stand(module: object) -> None:
    done = doctest.testmod(module)  # type: ignore[arg-type]
    assert done.attempted > 0 and done.failed == 0
