"""Membership inference: who was in the training set?

The attacks that need no network, only answers, can be used by themselves; see ``Lira`` for an example.
"""

from mindleak.attacks.membership.metric import MetricAttack
from mindleak.attacks.membership.reference_attack import Lira, ReferenceAttack, Rmia
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import ModelSignals, ReferenceSignals, model_signals, stacked

__all__ = ["AttackScores", "Lira", "MetricAttack", "ModelSignals", "ReferenceAttack", "ReferenceSignals", "Rmia",
           "model_signals", "stacked"]
