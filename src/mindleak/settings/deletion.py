"""Deletion of training samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import MODELS

AGGREGATES = ("mean", "vote")


METHODS = ("full", "sharded", "fine_tune", "gradient_ascent", "random_labels", "bad_teacher", "ssd", "scrub",
           "sparse_fine_tune", "suppress_fine_tune")


@dataclass(frozen=True)
class Deletion(Section, per_subject=True):
    """Training from which samples can be deleted exactly, and the audit of whether deleted samples are forgotten."""

    shards: int = setting(10, "networks, each trained on a part of the data of its own; 1 is a full retraining",
                          least=1, most=MODELS)
    slices: int = setting(1, "steps in which the data of a shard are added; a deletion goes back to the last step "
                          "without the sample", least=1, most=MODELS)
    aggregate: str = setting("mean", "how the shards answer together: mean of their probabilities, or vote",
                             choices=AGGREGATES)
    requests: list = setting([], "in an audit: the fractions of the training data that are deleted, each on the "
                             "original data; none: no such audit")
    methods: list[str] = setting(["full"], "in an audit: how they are deleted: full, sharded, or an approximate method")
    models: int = setting(8, "in an audit: networks that are trained and deleted from, an even number from 6 on; each "
                          "is attacked with the others as references", least=6, most=MODELS)
    members: Optional[int] = setting(None, "in an audit: samples that a network is trained on; null: a third of the "
                                     "training split", least=1)
    margin: float = setting(0.05, "in an audit: difference of an AUC from a full retraining's that counts as none",
                            above=0, below=0.5)
