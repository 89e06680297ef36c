"""Deletion of training samples."""

from __future__ import annotations

from dataclasses import dataclass

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import MODELS

AGGREGATES = ("mean", "vote")


@dataclass(frozen=True)
class Deletion(Section):
    """Training from which samples can be deleted exactly: 'mindleak delete'."""

    shards: int = setting(10, "networks, each trained on a part of the data of its own; 1 is a full retraining",
                          least=1, most=MODELS)
    slices: int = setting(1, "steps in which the data of a shard are added; a deletion goes back to the last step "
                          "without the sample", least=1, most=MODELS)
    aggregate: str = setting("mean", "how the shards answer together: mean of their probabilities, or vote",
                             choices=AGGREGATES)
