"""Recipes that take hours are planned to the point where training would begin: every check but no work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mindleak import config
from mindleak.jobs.audit import ATTACKS, Audit
from mindleak.jobs.session import open_session

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["audit_fashion_mnist"])
def test_a_long_recipe_passes_every_check_before_training(name: str, data_dir: Path, tmp_path: Path) -> None:
    merged = config.load(str(CONFIGS / f"{name}.yaml"), [f"data.dir={data_dir}"])
    tasks = Audit(open_session(merged, str(tmp_path / "run"), str(tmp_path / "ckpt"), "test"), ATTACKS)._plan()
    for task in tasks:
        task.check()
    # Four subjects in two roles with four shadows each, and a judge for either image size.
    kinds = Counter(task.role.rstrip("0123456789") for task in tasks)
    assert kinds == {"headline": 4, "judge": 2, "membership": 4, "shadow": 16}
    # The judges learn from all but the 30 inverted images.
    assert {(task.role == "judge", len(task.rows)) for task in tasks if task.rows is not None} == {
        (False, 10_000), (True, 59_970)}
    assert {task.plan.dataset.name for task in tasks} == {"fashion_mnist"}
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()
