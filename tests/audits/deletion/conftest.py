"""A small model on digits from which samples are deleted, in folders of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mindleak import settings
from mindleak.audits.deletion.exact import ExactDeletion
from mindleak.jobs.session import open_session
from mindleak.settings.estimator import ESTIMATORS
from mindleak.subjects.subject import subject_plans

Opened = Callable[..., ExactDeletion]
COMMON = ("device.target=CPU", "data.name=digits", "data.image_size=8", "deletion.shards=3")
NETWORK = ("model.name=lstm_rnn", "model.hidden_size=8", "training.epochs=4", "training.batch_size=16",
           "deletion.slices=2")


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Open a small model, a network unless another is named, in a run directory, by default always the same."""

    def deletion(*assignments: str, run: str = "run") -> ExactDeletion:
        fitted = {f"model.name={name}" for name in ESTIMATORS} & set(assignments)
        given = {each.partition("=")[0]: each for each in (*COMMON, *(() if fitted else NETWORK), *assignments)}
        session = open_session(settings.load(None, list(given.values())), str(tmp_path / run),
                               str(tmp_path / f"{run}-ckpt"), "test")
        return ExactDeletion(subject_plans(session)[0])

    return deletion
