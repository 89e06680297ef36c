"""Membership attacks among networks of one recipe: each attacked with the others as shadows and references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindleak.attacks.membership.metric import metric_scores
from mindleak.attacks.membership.names import LIRA_ATTACKS, METRIC_ATTACKS, SHADOW
from mindleak.attacks.membership.shadow import Answers, ShadowAttack
from mindleak.attacks.membership.sibling_figures import lira_parts
from mindleak.attacks.membership.siblings import SiblingLira, SiblingScores, independent_rows
from mindleak.evaluation.signals import phi


def sibling_scores(attacks: Sequence[str], answers: Sequence[Answers], number: int, shadow_attack: ShadowAttack,
                   seed: int) -> dict[str, SiblingScores]:
    """Attack one network by every attack asked for.

    Args:
        attacks: of ``names.SIBLING_ATTACKS``.
        answers: of all networks, on the same samples.
        number: which of them is attacked.
        shadow_attack: trained on the others where ``shadow`` is asked for.
        seed: of which rows the others show it.
    """
    target = answers[number]
    others = [each for place, each in enumerate(answers) if place != number]
    found = {}
    if SHADOW in attacks:
        shown = independent_rows(np.stack([each.members for each in answers]), number, seed)
        rows = [row for place, row in enumerate(shown) if place != number]
        result = shadow_attack.attack([_part(*each) for each in zip(others, rows)], target)
        found[SHADOW] = SiblingScores(result.scores[result.attacked], target.members[result.attacked],
                                      result.threshold_shadow.non_members())
    for name in (name for name in attacks if name in METRIC_ATTACKS):
        # The threshold of the sibling that fixes the shadow attack's too.
        fixing = others[-1]
        found[name] = SiblingScores(metric_scores(name, target.logits, target.labels), target.members,
                                    metric_scores(name, fixing.logits, fixing.labels)[~fixing.members])
    lira = [name for name in attacks if name in LIRA_ATTACKS]
    if lira:
        found |= _lira(answers, number).scores(lira)
    return {name: found[name] for name in attacks}


def by_sibling(attacks: Sequence[str], answers: Sequence[Answers], number: int) -> dict[str, list[float | None]]:
    """Return what each other network, as a reference, makes of the LiRA measures of one.

    Args:
        attacks: those that have to do with it are looked at.
        answers: of all networks, on the same samples.
        number: which of them is attacked.

    Returns:
        As ``lira_parts``.
    """
    names = [name for name in attacks if name in LIRA_ATTACKS]
    return lira_parts(_lira(answers, number), names, len(answers), number) if names else {}


def _lira(answers: Sequence[Answers], number: int) -> SiblingLira:
    signals = np.stack([phi(each.logits, each.labels) for each in answers])[:, :, None]
    return SiblingLira(signals, np.stack([each.members for each in answers]), number)


def _part(answers: Answers, rows: np.ndarray) -> Answers:
    return Answers(answers.logits[rows], answers.labels[rows], answers.members[rows])
