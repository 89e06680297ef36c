"""Recipes: those that take hours are planned to the point where training would begin, and those that no page audits
run to their end with few rows, epochs, images and networks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from cases import slow_but
from mindleak import settings as config
from mindleak.audits.audit import Audit
from mindleak.audits.sweep.stages import SweepPlan
from mindleak.jobs.session import open_session
from pages import ROOT, documented
from shrunk import TWINS, run

CONFIGS = ROOT / "configs"
AUDITED = {Path(words[2]).stem for listed in documented().values() for words in listed
           if words[:2] == ["audit", "--config"]} | {
    Path(words[3]).stem for listed in documented().values() for words in listed
    if words[:3] == ["attack", "deletion", "--config"]}
SWEEPS = sorted(path.stem for path in CONFIGS.glob("sweep_*.yaml") if path.stem not in TWINS)
UNDOCUMENTED = sorted({path.stem for path in CONFIGS.glob("*.yaml")} - AUDITED - set(TWINS))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["audit_fashion_mnist"])
def test_a_long_recipe_passes_every_check_before_training(name: str, data_dir: Path, tmp_path: Path) -> None:
    merged = config.load(str(CONFIGS / f"{name}.yaml"), [f"data.dir={data_dir}"])
    tasks = Audit(open_session(merged, str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")).plan()
    for task in tasks:
        task.check()
    # Four subjects in two roles with four shadows each, and a judge for either image size.
    kinds = Counter(task.role.rstrip("0123456789") for task in tasks)
    assert kinds == {"headline": 4, "judge": 2, "membership": 4, "shadow": 16}
    # The judges learn from all but the 30 inverted images.
    assert {(task.role == "judge", len(task.training.rows)) for task in tasks if task.training.rows is not None} == {
        (False, 10_000), (True, 59_970)}
    assert {task.plan.dataset.name for task in tasks} == {"fashion_mnist"}
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()


@pytest.mark.real_data
@pytest.mark.parametrize("name", slow_but(SWEEPS, *SWEEPS[-1:]))
def test_every_variant_of_a_long_sweep_passes_every_check_before_training(name: str, data_dir: Path, tmp_path: Path,
                                                                          ) -> None:
    merged = config.load(str(CONFIGS / f"{name}.yaml"), [f"data.dir={data_dir}"])
    tasks = SweepPlan(open_session(merged, str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")).tasks
    for task in tasks:
        task.check()
    judges = int(merged.inversion.enabled)
    assert len(tasks) == judges + len(merged.sweep.variants) * merged.sweep.models
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()


@pytest.mark.parametrize("name", sorted(TWINS))
def test_twins_differ_in_their_data_only(name: str) -> None:
    one, other = (yaml.safe_load((CONFIGS / f"{stem}.yaml").read_text()) for stem in (name, TWINS[name]))
    assert {**one, "data": {**one["data"], "name": None}} == {**other, "data": {**other["data"], "name": None}}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDOCUMENTED)
def test_every_recipe_can_be_audited(
    name: str, folder: Path, small_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(capfd, ["audit", "--config", f"configs/{name}.yaml", "--data_dir", "DATA"], small_data)
    assert (folder / "runs" / f"{name}-0" / "report.html").is_file()
