"""Membership inference on networks that are compared: the others of a variant are shadows and references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindleak.attacks.membership.balancing import MIN_PER_CLASS
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.names import LIRA_ATTACKS, SHADOW, SIBLING_ATTACKS
from mindleak.attacks.membership.shadow import Answers, ShadowAttack, require_enough
from mindleak.attacks.membership.sibling_attacks import by_sibling, sibling_scores
from mindleak.attacks.membership.sibling_figures import flat_figures, sibling_figures
from mindleak.attacks.membership.siblings import independent_rows, require_siblings
from mindleak.audits.gauge import Gauge, Measure, NetworkFigures
from mindleak.errors import InputError, known_names
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.variant import Variant

# The attacked network, and a shadow for each of the attack's three parts.
FEWEST_SHADOWED = 4
ON_AVERAGE, SINGLE = "membership on average", "single members found"
NOTE = ("Membership: the variant's other networks are shadows and references; thresholds for a false-positive rate "
        "come from them, what these realise is measured, and TPR − FPR is what they find beyond what they accuse "
        "wrongly.")


class MembershipGauge(Gauge):
    """How well the attacks of ``sweep.attacks`` tell a network's half of the pool from the other.

    Args:
        variants: all that are compared.

    Raises:
        InputError: no attack, an unknown one, or too few networks or images for one.
    """

    def __init__(self, variants: Sequence[Variant]) -> None:
        settings = variants[0].plan.config.sweep
        self._attacks = _planned_attacks(settings.attacks, settings.models)
        if SHADOW in self._attacks:
            for variant in variants:
                _require_enough(variant)

    def measured(self, variant: Variant, backwards: bool = False) -> list[NetworkFigures]:
        """Attack every network of a variant, the others being shadows and references."""
        numbers = range(len(variant.tasks))
        order = list(reversed(numbers) if backwards else numbers)
        logits = {number: variant.logits(number) for number in order}
        answers = [Answers(logits[number], variant.labels, variant.pool.keep[number]) for number in numbers]
        attacked = {number: self._stage(variant, number, answers).metrics for number in order}
        return [NetworkFigures(_flat(attacked[number]["membership"]), attacked[number]["by_sibling"])
                for number in numbers]

    def measure(self, name: str) -> Measure:
        """Return how an attack's AUC, TPR, FPR or TPR − FPR reads."""
        kind, _, of = name.partition("/")
        kind, _, rate = kind.partition("@")
        at = f"at {100 * float(rate):g} %" if rate else ""
        return {"auc": Measure(f"Membership AUC, {of} attack", leak=True, table=ON_AVERAGE),
                "tpr": Measure(f"TPR {at} FPR, {of} attack", table=SINGLE, realised=f"fpr@{rate}/{of}"),
                "fpr": Measure(f"FPR realised {at}, {of} attack", table=None),
                "excess": Measure(f"TPR − FPR {at}, {of} attack", leak=rate == "0.01", table=None, lowest=-1.0,
                                  points=True)}[kind]

    def record(self) -> dict[str, Any]:
        """Say how members were told from others."""
        return {"note": NOTE}

    def _stage(self, variant: Variant, number: int, answers: Sequence[Answers]) -> StageResult:
        """Return the attacks against one network."""
        plan, keep = variant.plan, variant.pool.keep
        seed = plan.session.seed("membership")
        settings = dict(plan.config.membership.attack)
        inputs = {"source": own_file.source(plan.config.model.name), "target": number,
                  "logits": [stable_hash(each.logits) for each in answers],
                  "keep": stable_hash(keep), "attacks": list(self._attacks), "training": settings}

        def compute(context: StageContext) -> dict[str, Any]:
            shadow_attack = ShadowAttack(plan.dataset.num_classes, AttackTraining(**settings), seed)
            scores = sibling_scores(self._attacks, answers, number, shadow_attack, seed)
            context.save_arrays(**{name: each.target for name, each in scores.items()})
            return {"membership": {name: sibling_figures(each) for name, each in scores.items()},
                    "by_sibling": by_sibling(self._attacks, answers, number)}

        return plan.session.run.stage(f"sweep-{variant.name}-membership{number}", __name__, inputs, seed, compute)


def _planned_attacks(names: Sequence[str], models: int) -> tuple[str, ...]:
    """Return the attacks that ``sweep.attacks`` asks for.

    Raises:
        InputError: none, an unknown one, or too few networks for one.
    """
    attacks = known_names(names, SIBLING_ATTACKS, "sweep.attacks")
    if SHADOW in attacks and models < FEWEST_SHADOWED:
        raise InputError(f"sweep.attacks has {SHADOW}, for which sweep.models {models} is too small; expected an even "
                         f"number from {FEWEST_SHADOWED} on: one to learn from, one to stop by, one for thresholds")
    lira = [name for name in attacks if name in LIRA_ATTACKS]
    if lira:
        require_siblings(models, lira)
    return attacks


def _require_enough(variant: Variant) -> None:
    """Raise InputError for a pool that shows the shadow attack too few images of every class."""
    labels, keep = variant.labels, variant.pool.keep
    shown = independent_rows(keep, 0, variant.plan.session.seed("membership"))
    try:
        require_enough([(labels[kept & rows], labels[~kept & rows]) for kept, rows in zip(keep[1:], shown[1:])],
                       variant.dataset.num_classes)
    except InputError as error:
        raise InputError(f"sweep.pool of {len(labels)} images is too small for the shadow attack: no class has "
                         f"{MIN_PER_CLASS} members and non-members in what shadows may show; expected a larger "
                         "pool, or sweep.attacks without shadow") from error


def _flat(attacked: dict[str, Any]) -> dict[str, float]:
    """Return the measures of all attacks by name: ``auc/shadow``, ``tpr@0.01/shadow``, ..."""
    return {name: value for attack, figures in attacked.items()
            for name, value in flat_figures(attack, figures).items()}
