"""Membership inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Union

from mindleak.settings.fields import Section, nested, overrides, setting
from mindleak.settings.limits import MODELS, ROUNDS, UNITS


@dataclass(frozen=True)
class Rmia(Section):
    """The RMIA attacks."""

    gamma: float = setting(2.0, "how much likelier a member has to be than another sample, from 1 on")
    temperature: float = setting(1.0, "divisor of the logits before the softmax", above=0)


@dataclass(frozen=True)
class Attack(Section):
    """The attack models of the attack shadow, one a class."""

    dim_hidden: int = setting(20, "units of the hidden layer", least=1, most=UNITS)
    epochs: int = setting(50, "passes over the shadows' answers, at most", least=1, most=ROUNDS)
    batch_size: int = setting(100, "answers a step", least=1)
    learning_rate: float = setting(0.01, "size of a step", above=0)
    patience: int = setting(5, "epochs without progress on the last shadow after which training stops", least=1)


@dataclass(frozen=True)
class Improved(Section, of_run=False):
    """What the attack improved looks at, and what it learns with."""

    features: list[str] = setting(
        ["posterior", "top3", "loss", "modified_entropy", "phi", "correct", "calibrated", "hidden"],
        "groups of features that it looks at")
    model: str = setting("network", "what it learns with: network, logistic, gradient_boosting or random_forest")
    per_class: bool = setting(False, "one attack model a class, instead of one for all classes")
    hidden: list[int] = setting([64, 32], "units of each hidden layer of the network, from 1 on", most=UNITS)
    epochs: int = setting(40, "passes over the shadows' answers, at most", least=1, most=ROUNDS)
    batch_size: int = setting(200, "answers a step", least=1)
    learning_rate: float = setting(0.002, "size of a step", above=0)
    patience: int = setting(5, "epochs without progress on the last shadow after which training stops", least=1)


@dataclass(frozen=True)
class RnnTutorial(Section):
    """The attack rnn_tutorial: that of a public RNN tutorial, with shadows of its own."""

    shadows: int = setting(10, "shadow models", least=1, most=MODELS)
    train_size: Optional[int] = setting(None, "samples that a shadow is trained on; null: as many as the subject",
                                        least=1)
    test_size: Optional[int] = setting(None, "non-members of the subject that are asked about; null: a twentieth of "
                                       "train_size", least=1)
    shadow_test_size: Optional[int] = setting(None, "non-members of each shadow; null: three tenths of train_size",
                                              least=1)
    dim_hidden: int = setting(50, "units of the attack models' hidden layer", least=1, most=UNITS)
    epochs: int = setting(5, "passes of the attack models over the shadows' answers", least=1, most=ROUNDS)
    batch_size: int = setting(50, "answers a step", least=1)
    learning_rate: float = setting(0.001, "size of a step", above=0)
    momentum: float = setting(0.9, "of their optimiser", least=0, below=1)


@dataclass(frozen=True)
class Membership(Section, per_subject=True):
    """Can it be told who was in the training set?"""

    enabled: bool = setting(True, "whether an audit does it")
    attacks: list[str] = setting(
        ["shadow"], "which: shadow (costs the least), improved, rnn_tutorial, lira_online, lira_offline, "
        "lira_offline_two_sided, rmia_online, rmia_offline, loss, confidence, entropy, modified_entropy, phi",
        of_run=False)
    references: int = setting(16, "reference models of LiRA, RMIA and the metric attacks, an even number", most=MODELS)
    augment: str = setting("none", "mirror: also ask for every image's mirror image, where that is one of the same "
                           "class; otherwise none")
    rmia: Rmia = nested(Rmia)
    target_in: Optional[int] = setting(None, "members that the subject is trained on; null: a sixth of the training "
                                       "split")
    target_out: Optional[int] = setting(None, "non-members, as many as target_in; null: a sixth of the training split")
    population: Optional[int] = setting(None, "samples that nobody is trained on; null: a twelfth of the training "
                                        "split")
    shadow_pool: Optional[int] = setting(None, "samples that shadows are trained on and tested with; null: the rest")
    shadows: int = setting(4, "shadow models, from 2 on", most=MODELS)
    training: dict[str, Any] = overrides("training", "how the subject of membership inference, its shadows and "
                                         "references are trained, where that differs")
    suppress: dict[str, Any] = overrides("suppress", "the same for training.method=suppress")
    dp: dict[str, Any] = overrides("dp", "the same for training.method=dp_sgd")
    prune: dict[str, Any] = overrides("prune", "the same for training.method=prune")
    attack: Attack = nested(Attack)
    improved: Improved = nested(Improved)
    ablation: Union[bool, list] = setting(False, "what the features and attack models of improved are worth: true, or "
                                          "a list of added, left_out and models", of_run=False)
    rnn_tutorial: RnnTutorial = nested(RnnTutorial)
