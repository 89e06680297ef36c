"""Runs reference attacks on one target: scores of the target, and of each reference in the target's place.

The second are what every threshold is fixed on, and they make as many further targets: the same attack on models that
were trained alike, of which the truth is known (Carlini et al., arXiv 2112.03570, sec. VI, leave one model out).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mindleak.attacks.membership import lira as lira_attack
from mindleak.attacks.membership import rmia
from mindleak.attacks.membership.lira import Spread
from mindleak.attacks.membership.names import LIRA_ATTACKS, METRIC_ATTACKS, RMIA_ATTACKS
from mindleak.attacks.membership.signals import Flags, Floats, ModelSignals, ReferenceSignals
from mindleak.errors import InputError

# RMIA's score is a share of the population: with fewer, the tail that sets its thresholds is a handful of samples.
FEW_POPULATION = 1000


@dataclass(frozen=True)
class RmiaSettings:
    """How RMIA is run: field names are the keys of ``membership.rmia``."""

    gamma: float = 2.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.gamma < float("inf"):
            raise InputError(f"membership.rmia.gamma is {self.gamma}; right is a finite number from 1 on")
        if not 0.0 < self.temperature < float("inf"):
            raise InputError(f"membership.rmia.temperature is {self.temperature}; right is a finite number above 0")


@dataclass(frozen=True)
class AttackScores:
    """What one attack says, higher = more member-like; NaN where a sample cannot be scored.

    Attributes:
        target: (samples,).
        references: (models, samples), each reference scored as the target and left out of its own references.
        notes: what a reader must know: the σ used, the ``a`` tuned, ties broken.
        tuned_on: number of the reference that a parameter was tuned on; it sets no threshold.
        in_turn: (samples,), the target scored by as few references as each of these had, which is what their
            thresholds are for; None where scores need no references.
        share: (samples,), RMIA's score as the paper has it, before ties are broken; None for other attacks.
    """

    target: Floats
    references: Floats
    notes: dict[str, str | float | int] = field(default_factory=dict)
    tuned_on: int | None = None
    in_turn: Floats | None = None
    share: Floats | None = None

    @property
    def decided(self) -> Floats:
        """The target's scores that the references' thresholds are applied to, (samples,)."""
        return self.target if self.in_turn is None else self.in_turn

    @property
    def judged(self) -> np.ndarray:
        """Numbers of the references that thresholds may be fixed on."""
        return np.array([number for number in range(len(self.references)) if number != self.tuned_on])


def lira_scores(target: ModelSignals, references: ReferenceSignals, names: Sequence[str]) -> dict[str, AttackScores]:
    """Return the scores of the LiRA attacks among ``names``. All references are scored with the target's kind of σ."""
    wanted = [name for name in names if name in LIRA_ATTACKS]
    if not wanted:
        return {}
    spread = lira_attack.choose_spread(*_fewest(references.keep), spared=1)
    known = (references.phi, references.keep, spread)
    own, in_turn = lira_attack.lira(target.phi, *known), lira_attack.in_place_of_last(target.phi, *known)
    turns = {name: np.empty(references.keep.shape) for name in wanted}
    for number, scores in enumerate(lira_attack.leave_one_out(references.phi, references.keep, spread)):
        for name in wanted:
            turns[name][number] = scores.of(name)
    return {name: AttackScores(own.of(name), turns[name], _lira_notes(name, spread, references.keep),
                               in_turn=in_turn.of(name)) for name in wanted}


def rmia_scores(target: ModelSignals, references: ReferenceSignals, names: Sequence[str],
                settings: RmiaSettings) -> dict[str, AttackScores]:
    """Return the scores of the RMIA attacks among ``names``; offline, ``a`` is tuned on the first reference."""
    wanted = [name for name in names if name in RMIA_ATTACKS]
    if not wanted:
        return {}
    means = rmia.ReferenceMeans(references)
    gamma = settings.gamma
    first = references.model(0)
    a = rmia.tuned_a(first.log_p, first.log_p_z, references.keep[0], means.without(0), gamma)
    turns = {name: np.empty(references.keep.shape) for name in wanted}
    for number in range(len(references.keep)):
        model, found = references.model(number), means.without(number)
        for name in wanted:
            turns[name][number] = _rmia(name, model, found, gamma, a).scores
    found, found_in_turn = means.priors(), means.without(len(references.keep) - 1)
    results = {}
    for name in wanted:
        own, in_turn = (_rmia(name, target, priors, gamma, a) for priors in (found, found_in_turn))
        notes: dict[str, str | float | int] = {
            "gamma": gamma, "temperature": settings.temperature, "population": references.log_p_z.shape[1],
            "ties_broken_by_ratio": own.tied}
        if name == "rmia_offline":
            notes["a"] = a
        if references.log_p_z.shape[1] < FEW_POPULATION:
            notes["population_note"] = (f"shares of {references.log_p_z.shape[1]} samples are coarse, and thresholds "
                                        "carry over badly from model to model; raise membership.population")
        results[name] = AttackScores(own.scores, turns[name], notes, 0 if name == "rmia_offline" else None,
                                     in_turn.scores, own.share)
    return results


def reference_scores(target: ModelSignals, references: ReferenceSignals, names: Sequence[str],
                     settings: RmiaSettings) -> dict[str, AttackScores]:
    """Return the scores of all LiRA and RMIA attacks among ``names``, by name.

    Args:
        target: signals of the model attacked, which is none of the references.
        references: on the same samples and population.
        names: attacks; metric attacks score from logits alone (``metric.metric_scores``) and are passed over here.
        settings: of RMIA.
    """
    rest = [name for name in names if name not in METRIC_ATTACKS]
    return {**lira_scores(target, references, rest), **rmia_scores(target, references, rest, settings)}


def _fewest(keep: Flags) -> tuple[int, int]:
    inside = keep.sum(axis=0)
    return int(inside.min()), int((len(keep) - inside).min())


def _lira_notes(name: str, spread: Spread, keep: Flags) -> dict[str, str | float | int]:
    fewest_in, fewest_out = _fewest(keep)
    sides = {"out_references": fewest_out, **({"in_references": fewest_in} if name == "lira_online" else {})}
    kind = {"lira_online": "likelihood ratio of IN and OUT", "lira_offline": "one-sided, ln Φ((φ-μ_out)/σ_out)",
            "lira_offline_two_sided": "two-sided, -ln N(φ; μ_out, σ_out²)"}[name]
    return {"form": kind, "sigma": spread.kind, "sigma_note": spread.note, **sides}


def _rmia(name: str, model: ModelSignals, found: rmia.Priors, gamma: float, a: float) -> rmia.RmiaScores:
    if name == "rmia_online":
        return rmia.online(model.log_p, model.log_p_z, found, gamma)
    return rmia.offline(model.log_p, model.log_p_z, found, gamma, a)
