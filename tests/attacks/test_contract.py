"""One contract for all attacks, in one table: what each must find, and not find, on tiny targets that are known.

Membership is known by heart: a target answers sample i with z_y = its ease + ``LIFT`` for a member + noise, and 0 for
the other of two classes, so φ = z_y. Inversion is known where the features are the pixels.
"""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy.stats import norm

from cases import slow_but, with_slow
from mindleak import attacks, device
from mindleak.attacks import target as targets
from mindleak.attacks.contract import Attack
from mindleak.attacks.inversion.attack import InversionAttack
from mindleak.attacks.inversion.batched import ADAM, BatchedInversion
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.membership import AttackScores, Lira, MetricAttack, ReferenceAttack, Rmia, model_signals, stacked
from mindleak.attacks.membership.attack_models import ImprovedTraining
from mindleak.attacks.membership.balancing import AttackData
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.features import Observation
from mindleak.attacks.membership.improved import ImprovedAttack, Observed
from mindleak.attacks.membership.names import ALL_ATTACKS, METRIC_ATTACKS, REFERENCE_ATTACKS
from mindleak.attacks.membership.rnn_tutorial import RnnTutorialAttack, RnnTutorialSettings
from mindleak.attacks.membership.shadow import Answers, ShadowAttack
from mindleak.attacks.target import GRADIENTS, LAYERS, LOGITS, NetworkTarget, Target, require
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc

MODELS, SAMPLES, POPULATION, CLASSES = 12, 1500, 300, 2
LIFT, NOISE, EASE = 1.0, 0.5, 1.0
SHADOWS = 3
PICTURES, SIDE = 3, 5


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


class ByHeart(Target):
    """A target that has one answer for every sample, whose number is its only pixel."""

    def __init__(self, answers: np.ndarray, offers: frozenset[str] = frozenset({LOGITS})) -> None:
        self.name = "ByHeart"
        self.offers = offers
        self._answers = answers

    def _logits(self, images: np.ndarray) -> np.ndarray:
        return self._answers[np.rint(images[:, 0, 0, 0] * len(self._answers)).astype(int)]


class Row(ABC):
    """One attack of the table."""

    def __init__(self, make: Callable[[int], Any], stochastic: bool = False) -> None:
        self.make = make
        self.stochastic = stochastic

    @abstractmethod
    def given(self, attack: Any, leaks: bool, lacking: frozenset[str] | None = None) -> Any:
        """What the attack is given of targets that leak, or do not; or that offer less than others."""

    @abstractmethod
    def run(self, attack: Any, given: Any) -> np.ndarray:
        """The attack's result, a row for every sample."""

    @abstractmethod
    def reordered(self, given: Any, order: np.ndarray) -> Any:
        """The same samples in another order."""

    @abstractmethod
    def assert_found(self, result: np.ndarray, given: Any) -> None:
        """Hold a result against the answer that is known."""

    @abstractmethod
    def assert_nothing_found(self, result: np.ndarray, given: Any) -> None:
        """Hold a result against there being nothing to find."""


@dataclass(frozen=True)
class World:
    """Answers of a target and of models trained alike, (models, samples, classes), on samples and a population."""

    members: np.ndarray
    keep: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    models: np.ndarray
    labels_z: np.ndarray
    target_z: np.ndarray
    models_z: np.ndarray


def drawn_world(lift: float, ease: float, seed: int, inside: float = 0.5) -> World:
    """A world in which every sample is in a share ``inside`` of the models."""
    generator = np.random.default_rng(seed)
    labels, labels_z = (generator.integers(0, CLASSES, count) for count in (SAMPLES, POPULATION))
    keep = np.stack([generator.permuted(np.arange(MODELS) < inside * MODELS) for _ in range(SAMPLES)], axis=1)
    members = generator.permuted(np.arange(SAMPLES) < SAMPLES // 2)
    eases, eases_z = (generator.normal(ease, EASE, count) for count in (SAMPLES, POPULATION))

    def answered(truth: np.ndarray, easy: np.ndarray, trained: np.ndarray) -> np.ndarray:
        raised = easy + lift * trained + generator.normal(0.0, NOISE, len(truth))
        return (np.eye(CLASSES)[truth] * raised[:, None]).astype(np.float32)

    nobody = np.zeros(POPULATION, bool)
    return World(members, keep, labels, answered(labels, eases, members),
                 np.stack([answered(labels, eases, trained) for trained in keep]), labels_z,
                 answered(labels_z, eases_z, nobody), np.stack([answered(labels_z, eases_z, nobody) for _ in keep]))


class MembershipRow(Row):
    """An attack of the table that scores samples; its AUC is known."""

    def __init__(self, make: Callable[[int], Any], scores: Callable[[Any, World], np.ndarray], area: float,
                 ease: float = 0.0, stochastic: bool = False, inside: float = 0.5) -> None:
        super().__init__(make, stochastic)
        self._scores = scores
        self._area = area
        self._ease = ease
        self._inside = inside

    def given(self, attack: Any, leaks: bool, lacking: frozenset[str] | None = None) -> World:
        known = drawn_world(LIFT if leaks else 0.0, self._ease, seed=0 if leaks else 1, inside=self._inside)
        offers = frozenset({LOGITS}) if lacking is None else lacking

        def asked(answers: np.ndarray) -> np.ndarray:
            model = ByHeart(answers, offers)
            require(model, attack.needs)
            images = (np.arange(len(answers)) / len(answers)).astype(np.float32)
            return model.logits(images.reshape(-1, 1, 1, 1))

        return dataclasses.replace(known, target=asked(known.target), target_z=asked(known.target_z),
                                   models=np.stack([asked(each) for each in known.models]))

    def run(self, attack: Any, given: World) -> np.ndarray:
        return self._scores(attack, given)

    def reordered(self, given: World, order: np.ndarray) -> World:
        return dataclasses.replace(given, members=given.members[order], keep=given.keep[:, order],
                                   labels=given.labels[order], target=given.target[order],
                                   models=given.models[:, order])

    def assert_found(self, result: np.ndarray, given: World) -> None:
        assert result.shape == (SAMPLES,)
        assert auc(result, given.members).value == pytest.approx(self._area, abs=0.035)

    def assert_nothing_found(self, result: np.ndarray, given: World) -> None:
        # Five standard errors of an area.
        assert abs(auc(result, given.members).value - 0.5) < 5 * (6 * SAMPLES) ** -0.5


def scores_by_references(attack: ReferenceAttack, given: World) -> AttackScores:
    signals = [model_signals(logits, given.labels, logits_z, given.labels_z)
               for logits, logits_z in zip(given.models, given.models_z)]
    return attack.attack(model_signals(given.target, given.labels, given.target_z, given.labels_z),
                         stacked(signals, given.keep))


def by_metric(attack: MetricAttack, given: World) -> AttackScores:
    return attack.attack(given.target, given.models, given.labels)


def by_shadows(attack: ShadowAttack, given: World) -> np.ndarray:
    shadows = [Answers(logits, given.labels, inside) for logits, inside in zip(given.models[:SHADOWS], given.keep)]
    return attack.attack(shadows, Answers(given.target, given.labels, given.members)).scores


def by_observations(attack: ImprovedAttack, given: World) -> np.ndarray:
    shadows = [Observed(Observation(logits, given.labels), inside)
               for logits, inside in zip(given.models[:SHADOWS], given.keep)]
    return attack.attack(shadows, Observed(Observation(given.target, given.labels), given.members)).scores


def as_in_the_tutorial(attack: RnnTutorialAttack, given: World) -> np.ndarray:
    shadows = AttackData(np.concatenate(given.models[:SHADOWS]), np.concatenate(given.keep[:SHADOWS]),
                         np.tile(given.labels, SHADOWS))
    return attack.attack(shadows, given.target, given.labels).own.scores


def scored_by(call: Callable[[Any, World], AttackScores]) -> Callable[[Any, World], np.ndarray]:
    return lambda attack, given: call(attack, given).target


def area_of(variance: float) -> float:
    """The AUC of two normal distributions that lie LIFT apart."""
    return float(norm.cdf(LIFT / math.sqrt(2 * variance)))


class Mute(nn.Cell):
    """A network whose features say nothing of the image."""

    def construct(self, x: Tensor) -> Tensor:
        return x.reshape((x.shape[0], -1)) * 0.0


class InversionRow(Row):
    """An attack of the table that gives images back."""

    def given(self, attack: Any, leaks: bool, lacking: frozenset[str] | None = None) -> tuple[Target, np.ndarray]:
        # Dark, so that few steps of .01 lead there from a nearly black start.
        images = 0.3 * np.random.default_rng(0).random((PICTURES, 1, SIDE, SIDE)).astype(np.float32)
        if lacking is not None:
            return ByHeart(np.zeros((1, CLASSES)), lacking), images
        return NetworkTarget(nn.Flatten() if leaks else Mute()), images

    def run(self, attack: Any, given: tuple[Target, np.ndarray]) -> np.ndarray:
        return attack.attack(*given).inversions

    def reordered(self, given: tuple[Target, np.ndarray], order: np.ndarray) -> tuple[Target, np.ndarray]:
        return given[0], given[1][order]

    def assert_found(self, result: np.ndarray, given: tuple[Target, np.ndarray]) -> None:
        # Steps of .01 end within .01 of the pixel.
        assert result.shape == given[1].shape and np.abs(result - given[1]).max() < 0.0101

    def assert_nothing_found(self, result: np.ndarray, given: tuple[Target, np.ndarray]) -> None:
        assert np.abs(result - given[1]).mean() > 0.08


FREE, NEARLY_FREE = (1.0, 0.0, 0.0), (1.0, 1e-7, 1e-7)
BY_PHI = area_of(EASE**2 + NOISE**2)
HALF = MODELS // 2
# What calibration by a mean over as many references leaves of the noise.
BY_BOTH_SIDES, BY_ONE_SIDE = area_of(NOISE**2 * (1 + 1 / MODELS)), area_of(NOISE**2 * (1 + 1 / HALF))
SURE, UNSURE = 4.0, -4.0

TABLE: dict[str, Row] = {
    # Two classes and sure answers: every metric is a function of φ. Entropy is not where answers are wrong.
    **{name: MembershipRow(lambda seed, name=name: MetricAttack(name), scored_by(by_metric), BY_PHI, SURE)
       for name in METRIC_ATTACKS},
    "lira_online": MembershipRow(lambda seed: Lira(), scored_by(scores_by_references), BY_BOTH_SIDES),
    "lira_offline": MembershipRow(lambda seed: Lira("offline"), scored_by(scores_by_references), BY_ONE_SIDE),
    # |A| > |B| where (A - B)(A + B) > 0, whose factors are independent: right twice, or wrong twice.
    "lira_offline_two_sided": MembershipRow(lambda seed: Lira("offline_two_sided"), scored_by(scores_by_references),
                                            BY_ONE_SIDE**2 + (1 - BY_ONE_SIDE) ** 2),
    # Where p is small, ln p is φ.
    "rmia_online": MembershipRow(lambda seed: Rmia(), scored_by(scores_by_references), BY_BOTH_SIDES, UNSURE),
    "rmia_offline": MembershipRow(lambda seed: Rmia("offline"), scored_by(scores_by_references), BY_ONE_SIDE, UNSURE),
    "shadow": MembershipRow(lambda seed: ShadowAttack(CLASSES, AttackTraining(epochs=20), seed), by_shadows, BY_PHI,
                            stochastic=True),
    "improved": MembershipRow(lambda seed: ImprovedAttack(CLASSES, training=ImprovedTraining(epochs=4), seed=seed),
                              by_observations, BY_PHI, stochastic=True),
    "rnn_tutorial": MembershipRow(
        # It balances two members to a non-member, so there must be more than two.
        lambda seed: RnnTutorialAttack(CLASSES, RnnTutorialSettings(epochs=4, learning_rate=0.05), seed),
        as_in_the_tutorial, BY_PHI, stochastic=True, inside=0.75),
    "batched": InversionRow(lambda seed: BatchedInversion(LOGITS, 34, FREE, seed), stochastic=True),
    "batched, adam": InversionRow(lambda seed: BatchedInversion(LOGITS, 100, FREE, seed, optimizer=ADAM),
                                  stochastic=True),
    "mindarmour": InversionRow(lambda seed: MindArmourInversion(LOGITS, 34, NEARLY_FREE, seed), stochastic=True),
}
OF_MEMBERS = {name: row for name, row in TABLE.items() if isinstance(row, MembershipRow)}
OF_IMAGES = {name: row for name, row in TABLE.items() if isinstance(row, InversionRow)}

Result = Callable[[Any, Any], np.ndarray]


def check(row: Row, run: Result) -> None:
    """Hold an attack to the contract: its answer, determinism, no regard to the order of samples, and no invention."""
    attack = row.make(0)
    given = row.given(attack, leaks=True)
    found = run(attack, given)
    assert np.isfinite(found).all()
    row.assert_found(found, given)
    assert np.array_equal(run(row.make(0), given), found)
    assert not row.stochastic or not np.array_equal(run(row.make(1), given), found)
    order = np.random.default_rng(1).permutation(len(found))
    other = row.reordered(given, order)
    row.assert_found(run(attack, other), other)
    nothing = row.given(row.make(0), leaks=False)
    row.assert_nothing_found(run(row.make(0), nothing), nothing)


def concrete(kind: type) -> set[type]:
    """All subclasses that somebody can make."""
    for module in pkgutil.walk_packages(attacks.__path__, "mindleak.attacks."):
        importlib.import_module(module.name)
    below = {each for direct in kind.__subclasses__() for each in concrete(direct)}
    return below if inspect.isabstract(kind) else {kind} | below


def test_the_table_has_every_attack_there_is() -> None:
    assert {type(row.make(0)) for row in TABLE.values()} == concrete(Attack)
    assert set(OF_MEMBERS) == set(ALL_ATTACKS)
    assert {row.make(0).engine for row in OF_IMAGES.values()} == {"batched", "mindarmour"}


@pytest.mark.parametrize("name", with_slow(TABLE, "batched, adam", "mindarmour"))
def test_an_attack_keeps_the_contract(name: str) -> None:
    check(TABLE[name], TABLE[name].run)


def broken_scores(name: str, broken: str) -> Result:
    def run(attack: Any, given: World) -> np.ndarray:
        found = OF_MEMBERS[name].run(attack, given)
        return {"no-op": np.zeros(SAMPLES), "swapped": -found, "blind to order": np.sort(found),
                "random": np.random.default_rng().normal(size=SAMPLES)}[broken]

    return run


def broken_images(name: str, broken: str) -> Result:
    def run(attack: InversionAttack, given: tuple[Target, np.ndarray]) -> np.ndarray:
        found = OF_IMAGES[name].run(attack, given)
        return {"no-op": np.full_like(found, 0.025), "swapped": np.roll(found, 1, axis=0),
                "blind to order": np.broadcast_to(found[:1], found.shape),
                "random": np.random.default_rng().random(found.shape)}[broken]

    return run


BROKEN = [(name, broken) for name in ("lira_online", "loss", "batched")
          for broken in ("no-op", "swapped", "blind to order", "random")]


@pytest.mark.parametrize(("name", "broken"), slow_but(
    BROKEN, *(case for case in BROKEN if case[0] != "batched"), ("batched", "swapped")))
def test_a_broken_attack_does_not(name: str, broken: str) -> None:
    run = broken_scores(name, broken) if name in OF_MEMBERS else broken_images(name, broken)
    with pytest.raises(AssertionError):
        check(TABLE[name], run)


def test_an_attack_that_knows_the_originals_invents_them_where_nothing_leaks() -> None:
    """The answer alone does not pass: whatever is returned where features are mute comes from elsewhere."""
    with pytest.raises(AssertionError):
        check(TABLE["batched"], lambda attack, given: given[1])


@pytest.mark.parametrize("name", TABLE)
def test_a_target_that_lacks_what_the_attack_needs_is_refused(name: str) -> None:
    attack = TABLE[name].make(0)
    assert attack.needs and attack.needs <= set(targets.OFFERS)
    offers = frozenset() if name in OF_MEMBERS else frozenset({LOGITS})
    message = ("ByHeart offers nothing; expected logits" if name in OF_MEMBERS
               else "ByHeart offers logits; expected also layers and gradients")
    with pytest.raises(InputError, match=message):
        TABLE[name].run(attack, TABLE[name].given(attack, True, lacking=offers))


def test_features_of_layers_need_layers() -> None:
    assert ImprovedAttack(CLASSES, ("posterior", "hidden")).needs == {LOGITS, LAYERS}
    attack, given = ImprovedAttack(CLASSES, ("hidden",)), OF_MEMBERS["improved"].given(ImprovedAttack(CLASSES), True)
    with pytest.raises(InputError, match="the observation of shadow 1 has no hidden; expected descriptions of layers"):
        by_observations(attack, given)


def damaged(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[(0,) * values.ndim] = value
    return changed


BAD_ANSWERS: dict[str, tuple[Callable[[World], dict[str, np.ndarray]], str]] = {
    "NaN of the target": (lambda given: {"target": damaged(given.target, np.nan)}, "not finite"),
    "infinity of a model": (lambda given: {"models": damaged(given.models, np.inf)}, "not finite"),
    "a label too few": (lambda given: {"labels": given.labels[:-1]}, r"labels of .* have shape \((1499|4497),\)"),
    "a class too many": (lambda given: {"labels": given.labels + 1}, "lie in 1 to 2; expected 0 to 1"),
    "fractions of classes": (lambda given: {"labels": given.labels / 2}, "expected whole numbers"),
    "one class": (lambda given: {"target": given.target[:, :1]}, "shape"),
    "a sample too few": (lambda given: {"target": given.target[:-1]}, "shape"),
    "no samples' axis": (lambda given: {"target": given.target[0]}, "shape"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
@pytest.mark.parametrize("name", OF_MEMBERS)
def test_answers_that_do_not_fit_are_refused(name: str, bad: str) -> None:
    row, (change, message) = OF_MEMBERS[name], BAD_ANSWERS[bad]
    given = row.given(row.make(0), leaks=True)
    with pytest.raises(InputError, match=message):
        row.run(row.make(0), dataclasses.replace(given, **change(given)))


@pytest.mark.parametrize("name", ["shadow", "improved", "rnn_tutorial"])
def test_members_that_are_no_flags_are_refused(name: str) -> None:
    row = OF_MEMBERS[name]
    given = row.given(row.make(0), leaks=True)
    with pytest.raises(InputError, match="expected booleans of shape"):
        row.run(row.make(0), dataclasses.replace(given, keep=given.keep.astype(float) + 1))


class Sized(nn.Cell):
    """Pixels as features, of images of one size."""

    input_shape = (1, SIDE, SIDE)

    def construct(self, x: Tensor) -> Tensor:
        return x.reshape((x.shape[0], -1))


@pytest.mark.parametrize("change, message", [
    (lambda images: images[:0], "at least one image"),
    (lambda images: images[0], r"have shape \(1, 5, 5\); Sized takes \(N, 1, 5, 5\)"),
    (lambda images: images[..., 1:], r"have shape \(3, 1, 5, 4\); Sized takes \(N, 1, 5, 5\)"),
    (lambda images: damaged(images, np.nan), "1 values of 75 that are not finite"),
    (lambda images: damaged(images, -0.5), "lie in -0.5 to .*; expected pixels in 0 to 1"),
    (lambda images: 255 * images, "; expected pixels in 0 to 1"),
])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_that_do_not_fit_are_refused(name: str, change: Callable[[np.ndarray], np.ndarray],
                                            message: str) -> None:
    row = OF_IMAGES[name]
    _, images = row.given(row.make(0), leaks=True)
    with pytest.raises(InputError, match=message):
        row.make(0).attack(Sized(), change(images))


def test_starts_are_taken_where_an_attack_takes_them() -> None:
    _, images = OF_IMAGES["batched"].given(None, leaks=True)
    found = BatchedInversion(LOGITS, 1, FREE).attack(nn.Flatten(), images, images[None])
    assert np.abs(found.inversions - images).max() < 0.0101, "one step from where it began"
    with pytest.raises(InputError, match="starts lie in .*; expected pixels in 0 to 1"):
        BatchedInversion(LOGITS, 1, FREE).attack(nn.Flatten(), images, 2 + images[None])
    with pytest.raises(InputError, match="starts are given, and the engine 'mindarmour' draws its own; expected none"):
        MindArmourInversion(LOGITS, 1).attack(nn.Flatten(), images, images[None])


@pytest.mark.parametrize("make, message", [
    (lambda: Lira("onlin"), "form is 'onlin'; expected one of online, offline, offline_two_sided"),
    (lambda: Rmia("lira"), "form is 'lira'; expected one of online, offline"),
    (lambda: Rmia(gamma=0.5), "gamma is 0.5; expected a finite number from 1 on"),
    (lambda: Rmia(gamma=float("nan")), "gamma is nan"),
    (lambda: MetricAttack("los"), "name is 'los'; expected one of loss, confidence"),
    (lambda: ImprovedAttack(CLASSES, ("posteriors",)), "'posteriors' is unknown; did you mean 'posterior'"),
    (lambda: ShadowAttack(CLASSES, AttackTraining(epochs=0)), "epochs is 0; expected at least 1"),
    (lambda: RnnTutorialAttack(CLASSES, RnnTutorialSettings(momentum=1.0)), "momentum is 1.0; expected 0"),
    (lambda: BatchedInversion(LOGITS, 0), "iterations is 0; expected at least 1"),
    (lambda: MindArmourInversion(LOGITS, loss_weights=(1, 0, 0)), "expected three finite numbers above 0"),
])
def test_parameters_are_checked_where_they_are_given(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("name", REFERENCE_ATTACKS)
def test_references_are_scored_like_the_target(name: str) -> None:
    row = OF_MEMBERS[name]
    given = row.given(row.make(0), leaks=True)
    found = (by_metric if name in METRIC_ATTACKS else scores_by_references)(row.make(0), given)
    assert found.references.shape == (MODELS, SAMPLES)
    for scores, inside in zip(found.references, given.keep):
        assert auc(scores, inside).value == pytest.approx(row._area, abs=0.06)
    assert found.in_turn is None or auc(found.in_turn, given.members).value == pytest.approx(row._area, abs=0.05)


@pytest.mark.parametrize("change, message", [
    ({"target": slice(None, -1)}, "the target's signals have shapes"),
    ({"target_z": slice(None, -1)}, "the target's signals have shapes"),
    ({"no population": None}, "rmia_online has no population; expected samples that no model was trained on"),
    ({"temperature": None}, "the target has temperature 2; expected 1, as the references have"),
])
def test_signals_that_do_not_belong_together_are_refused(change: dict[str, slice | None], message: str) -> None:
    known = drawn_world(LIFT, UNSURE, 0)
    rows, rows_z = change.get("target") or slice(None), change.get("target_z") or slice(None)
    z = "no population" not in change
    target = model_signals(known.target[rows], known.labels[rows], known.target_z[rows_z] if z else None,
                           known.labels_z[rows_z] if z else None, 2.0 if "temperature" in change else 1.0)
    references = stacked([model_signals(logits, known.labels, logits_z if z else None, known.labels_z if z else None)
                          for logits, logits_z in zip(known.models, known.models_z)], known.keep)
    with pytest.raises(InputError, match=message):
        Rmia().attack(target, references)
    if not z:
        assert np.isfinite(Lira().attack(target, references).target).all(), "which needs no population"


def test_a_population_without_labels_is_refused() -> None:
    known = drawn_world(LIFT, UNSURE, 0)
    with pytest.raises(InputError, match="the population has logits or labels only"):
        model_signals(known.target, known.labels, known.target_z)


def test_the_tutorials_balancing_needs_two_members_to_a_non_member() -> None:
    known = drawn_world(LIFT, 0.0, 0)
    shadows = AttackData(known.target, known.members, known.labels)
    with pytest.raises(InputError, match="the shadows have 750 members and 750 non-members; expected"):
        RnnTutorialAttack(CLASSES).attack(shadows, known.target, known.labels)


@pytest.mark.parametrize("kind", sorted({type(row.make(0)) for row in TABLE.values()}, key=lambda kind: kind.__name__))
def test_an_attack_says_where_it_comes_from_and_shows_itself_at_work(kind: type[Attack]) -> None:
    text = inspect.getdoc(kind) or ""
    assert "arXiv" in text and "Args:" in text and "Raises:" in text + (inspect.getdoc(kind.attack) or "")
    assert "attack" not in vars(kind) or not issubclass(kind, (ReferenceAttack, InversionAttack)), "that call is final"
    examples = doctest.DocTestFinder(recurse=False).find(kind, kind.__name__, sys_module(kind))
    results = doctest.DocTestRunner()
    for example in examples:
        results.run(example)
    assert results.tries > 0 and results.failures == 0


def sys_module(kind: type) -> Any:
    return importlib.import_module(kind.__module__)


def test_gradients_are_asked_for_by_attacks_on_layers_alone() -> None:
    assert {name for name, row in TABLE.items() if GRADIENTS in row.make(0).needs} == set(OF_IMAGES)
