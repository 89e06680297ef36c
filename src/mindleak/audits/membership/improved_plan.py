"""The improved shadow attack, planned: what is to be asked of every model, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from easydict import EasyDict

from mindleak.attacks.membership.attack_models import ImprovedTraining
from mindleak.attacks.membership.features import ACTIVATIONS, GROUPS, HIDDEN, checked_features
from mindleak.attacks.membership.improved import checked_ablation
from mindleak.attacks.membership.names import IMPROVED
from mindleak.errors import InputError


@dataclass(frozen=True)
class ImprovedPlan:
    """What the improved attack looks at, and its ablation.

    Attributes:
        features: groups that the attack uses.
        groups: groups that have to be observed: ``features``, or all there are where there is an ablation.
        training: of the attack model.
        ablation: kinds of variants; none without an ablation.
        penultimate: the layer before the logits, None in a network without named layers.
        further: the other layers, after their activations.
        notes: what the network does not offer.
    """

    features: tuple[str, ...]
    groups: tuple[str, ...]
    training: ImprovedTraining
    ablation: tuple[str, ...]
    penultimate: str | None
    further: tuple[str, ...]
    notes: tuple[str, ...]


def plan_improved(settings: EasyDict, layers: Sequence[str], model: str,
                  attacks: Sequence[str]) -> ImprovedPlan | None:
    """Return the plan of the attack, or None where it was not asked for.

    Args:
        settings: ``membership`` of the subject's configuration.
        layers: that the subject offers, the logits last.
        model: what messages call its architecture.
        attacks: names that have been checked.

    Raises:
        InputError: an unknown feature, attack model or kind of ablation, a number out of range, an ablation without
            the attack, or no feature that this network offers.
    """
    given = dict(settings.improved)
    features = checked_features(given.pop("features"))
    training = ImprovedTraining(**{**given, "hidden": tuple(given["hidden"])})
    ablation = checked_ablation(settings.ablation)
    if IMPROVED not in attacks:
        if ablation:
            raise InputError(f"membership.ablation takes the attack '{IMPROVED}' apart, which membership.attacks does "
                             "not have; add it there, or set membership.ablation=false")
        return None
    names = [name for name in layers if not name.endswith(".pre")]
    penultimate, further = (names[-2] if len(names) > 1 else None), tuple(names[:-2])
    offered = {HIDDEN: penultimate is not None, ACTIVATIONS: bool(further)}
    available = tuple(name for name in GROUPS if offered.get(name, True))
    missing = {HIDDEN: "layer before the logits", ACTIVATIONS: "further layers"}
    notes = tuple(f"the subject has no {missing[name]} with a name, so the features '{name}' are left out"
                  for name in features if name not in available)
    usable = tuple(name for name in features if name in available)
    if not usable:
        raise InputError(f"membership.improved.features is {', '.join(features)}, and {model} offers "
                         f"none of these; expected any of {', '.join(available)}")
    return ImprovedPlan(usable, available if ablation else usable, training, ablation, penultimate, further, notes)
