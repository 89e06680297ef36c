"""Deletion of training samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import MODELS

AGGREGATES = ("mean", "vote")


METHODS = ("full", "drop_group", "sharded", "fine_tune", "gradient_ascent", "random_labels", "bad_teacher", "ssd",
           "scrub", "sparse_fine_tune", "suppress_fine_tune")


@dataclass(frozen=True)
class Deletion(Section, per_subject=True):
    """Training from which samples can be deleted exactly, and the audit of whether deleted samples are forgotten."""

    shards: int = setting(10, "networks, each trained on a part of the data of its own; 1 is a full retraining",
                          least=1, most=MODELS)
    slices: int = setting(1, "steps in which the data of a shard are added; a deletion goes back to the last step "
                          "without the sample", least=1, most=MODELS)
    aggregate: str = setting("mean", "how the shards answer together: mean of their probabilities, or vote",
                             choices=AGGREGATES)
    requests: list = setting([], "in an audit: what is deleted, each on the original data: a fraction such as 0.05, "
                             "class:3, group:20, exposed:100, or a .npy file of row numbers; none: no such audit",
                             of_run=False)
    methods: list[str] = setting(["full"], "in an audit: how they are deleted: full, drop_group (as a tutorial does), "
                                 "sharded, or an approximate method", of_run=False)
    models: int = setting(8, "in an audit: networks that are trained and deleted from, an even number from 6 on; each "
                          "is attacked with the others as references", least=6, most=MODELS)
    validation_models: int = setting(2, "in an audit: networks of another request, on which the hyper-parameters of "
                                     "approximate methods are chosen; 0: their defaults", least=0, most=MODELS,
                                     of_run=False)
    members: Optional[int] = setting(None, "in an audit: samples that a network is trained on; null: a third of the "
                                     "training split", least=1)
    margin: float = setting(0.05, "in an audit: difference of an AUC from a full retraining's that counts as none",
                            above=0, below=0.5, of_run=False)
