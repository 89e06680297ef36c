"""Runs reference attacks on one target: scores of the target, and of each reference in the target's place.

The second are what every threshold is fixed on, and they make as many further targets: the same attack on models that
were trained alike, of which the truth is known (Carlini et al., arXiv 2112.03570, sec. VI, leave one model out).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from mindleak.attacks.checks import require_finite
from mindleak.attacks.contract import Attack
from mindleak.attacks.membership import lira as lira_attack
from mindleak.attacks.membership import rmia
from mindleak.attacks.membership.lira import Spread
from mindleak.attacks.membership.names import LIRA_ATTACKS, RMIA_ATTACKS
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import Flags, ModelSignals, ReferenceSignals
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
            raise InputError(f"membership.rmia.gamma is {self.gamma}; expected a finite number from 1 on")
        if not 0.0 < self.temperature < float("inf"):
            raise InputError(f"membership.rmia.temperature is {self.temperature}; expected a finite number above 0")


class ReferenceAttack(Attack):
    """An attack that holds a target's answers against those of reference models, which were trained alike.

    Attributes:
        name: what ``membership.attacks`` calls it.
    """

    name: str
    needs_population: ClassVar[bool] = False

    @final
    def attack(self, target: ModelSignals, references: ReferenceSignals) -> AttackScores:
        """Score the samples of a target, and of each reference in the target's place.

        Args:
            target: signals of the model attacked, which is none of the references (``signals.model_signals``).
            references: on the same samples, queries and population (``signals.stacked``).

        Raises:
            InputError: signals that are not finite or do not belong together, or no population where one is needed.
        """
        expected = references.phi.shape[1:], references.log_p.shape[1:], references.log_p_z.shape[1:]
        found = target.phi.shape, target.log_p.shape, target.log_p_z.shape
        if found != expected:
            raise InputError(f"the target's signals have shapes {found}; expected {expected}, as the references' have")
        if target.temperature != references.temperature:
            raise InputError(f"the target has temperature {target.temperature:g}; expected {references.temperature:g}, "
                             "as the references have")
        if self.needs_population and not references.log_p_z.size:
            raise InputError(f"{self.name} has no population; expected samples that no model was trained on")
        for whose, given in (("the target", target), ("the references", references)):
            for signal in (given.phi, given.log_p, given.log_p_z):
                require_finite(f"signals of {whose}", signal)
        return self._run(target, references)

    @abstractmethod
    def _run(self, target: ModelSignals, references: ReferenceSignals) -> AttackScores:
        """Return the scores for signals that belong together."""


class Lira(ReferenceAttack):
    """The likelihood-ratio attack of Carlini et al., arXiv 2112.03570; see ``attacks.membership.lira``.

    Per sample, is φ = ln p_y - ln Σ p_i more like that of references trained on it, or of those that were not? All
    references are scored with the target's kind of σ.

    Args:
        form: ``online``, the ratio of IN and OUT densities; ``offline``, the OUT references alone, one-sided;
            ``offline_two_sided``, by the OUT density.

    Raises:
        InputError: another form.

    Example:
        >>> import numpy as np
        >>> from mindleak.attacks.membership import Lira, model_signals, stacked
        >>> draw = np.random.default_rng(0)
        >>> labels = np.zeros(50, int)
        >>> keep = draw.permuted(np.tile(np.arange(8) < 4, (50, 1)), axis=1).T  # every sample is in half of 8 models
        >>> def answers(members):  # two classes; members are answered with more confidence
        ...     return np.stack([draw.normal(2.0 * members, 1.0), np.zeros(50)], axis=1)
        >>> references = stacked([model_signals(answers(each), labels) for each in keep], keep)
        >>> members = draw.random(50) < 0.5
        >>> scores = Lira().attack(model_signals(answers(members), labels), references).target
        >>> bool(scores[members].mean() > scores[~members].mean())
        True
    """

    def __init__(self, form: str = "online") -> None:
        self.name = f"lira_{form}"
        if self.name not in LIRA_ATTACKS:
            raise InputError(f"form is '{form}'; expected one of "
                             f"{', '.join(name.removeprefix('lira_') for name in LIRA_ATTACKS)}")

    def _run(self, target: ModelSignals, references: ReferenceSignals) -> AttackScores:
        spread = lira_attack.choose_spread(*_fewest(references.keep), spared=1)
        known = (references.phi, references.keep, spread)
        turns = references.once("lira", lambda: list(lira_attack.leave_one_out(*known)))
        own, in_turn = lira_attack.lira(target.phi, *known), lira_attack.in_place_of_last(target.phi, *known)
        return AttackScores(own.of(self.name), np.stack([scores.of(self.name) for scores in turns]),
                            _lira_notes(self.name, spread, references.keep), in_turn=in_turn.of(self.name))


class Rmia(ReferenceAttack):
    """The robust attack of Zarifzadeh et al., arXiv 2312.03262; see ``attacks.membership.rmia``.

    A sample's score is the share of the population whose likelihood ratio it exceeds γ-fold. The offline form needs OUT
    references alone; its ``a`` is tuned on the first of them.

    Args:
        form: ``online`` or ``offline``.
        gamma: γ, at least 1.

    Raises:
        InputError: another form, or γ below 1 or infinite.

    Example:
        >>> import numpy as np
        >>> from mindleak.attacks.membership import Rmia, model_signals, stacked
        >>> draw = np.random.default_rng(0)
        >>> labels, nobody = np.zeros(50, int), np.zeros(50, bool)
        >>> keep = draw.permuted(np.tile(np.arange(8) < 4, (50, 1)), axis=1).T  # every sample is in half of 8 models
        >>> def answers(members):  # two classes; members are answered with more confidence
        ...     return np.stack([draw.normal(2.0 * members, 1.0), np.zeros(50)], axis=1)
        >>> def signals(members):  # on the samples, and on a population that no model was trained on
        ...     return model_signals(answers(members), labels, answers(nobody), labels)
        >>> members = draw.random(50) < 0.5
        >>> scores = Rmia().attack(signals(members), stacked([signals(each) for each in keep], keep)).target
        >>> bool(scores[members].mean() > scores[~members].mean())
        True
    """

    needs_population = True

    def __init__(self, form: str = "online", gamma: float = 2.0) -> None:
        self.name = f"rmia_{form}"
        self.gamma = gamma
        if self.name not in RMIA_ATTACKS:
            raise InputError(f"form is '{form}'; expected one of "
                             f"{', '.join(name.removeprefix('rmia_') for name in RMIA_ATTACKS)}")
        if not 1.0 <= gamma < float("inf"):
            raise InputError(f"gamma is {gamma}; expected a finite number from 1 on")

    def _run(self, target: ModelSignals, references: ReferenceSignals) -> AttackScores:
        means: rmia.ReferenceMeans = references.once("means", lambda: rmia.ReferenceMeans(references))
        models = range(len(references.keep))
        left_out = references.once("priors", lambda: [means.without(number) for number in models])
        offline = self.name == "rmia_offline"
        first = references.model(0)
        a = rmia.tuned_a(first.log_p, first.log_p_z, references.keep[0], left_out[0], self.gamma) if offline else None
        turns = [self._of(references.model(number), left_out[number], a).scores for number in models]
        own, in_turn = (self._of(target, priors, a) for priors in (means.priors(), left_out[-1]))
        population = references.log_p_z.shape[1]
        notes: dict[str, str | float | int] = {
            "gamma": self.gamma, "temperature": references.temperature, "population": population,
            "ties_broken_by_ratio": own.tied, **({} if a is None else {"a": a})}
        if population < FEW_POPULATION:
            notes["population_note"] = (f"shares of {population} samples are coarse, and thresholds carry over badly "
                                        "from model to model; raise membership.population")
        return AttackScores(own.scores, np.stack(turns), notes, 0 if offline else None, in_turn.scores, own.share)

    def _of(self, model: ModelSignals, found: rmia.Priors, a: float | None) -> rmia.RmiaScores:
        if a is None:
            return rmia.online(model.log_p, model.log_p_z, found, self.gamma)
        return rmia.offline(model.log_p, model.log_p_z, found, self.gamma, a)


def reference_attacks(names: Sequence[str], settings: RmiaSettings) -> list[ReferenceAttack]:
    """Return the LiRA and RMIA attacks among ``names``; metric attacks score from logits alone (``metric``)."""
    return [*(Lira(name.removeprefix("lira_")) for name in names if name in LIRA_ATTACKS),
            *(Rmia(name.removeprefix("rmia_"), settings.gamma) for name in names if name in RMIA_ATTACKS)]


def _fewest(keep: Flags) -> tuple[int, int]:
    inside = keep.sum(axis=0)
    return int(inside.min()), int((len(keep) - inside).min())


def _lira_notes(name: str, spread: Spread, keep: Flags) -> dict[str, str | float | int]:
    fewest_in, fewest_out = _fewest(keep)
    sides = {"out_references": fewest_out, **({"in_references": fewest_in} if name == "lira_online" else {})}
    kind = {"lira_online": "likelihood ratio of IN and OUT", "lira_offline": "one-sided, ln Φ((φ-μ_out)/σ_out)",
            "lira_offline_two_sided": "two-sided, -ln N(φ; μ_out, σ_out²)"}[name]
    return {"form": kind, "sigma": spread.kind, "sigma_note": spread.note, **sides}
