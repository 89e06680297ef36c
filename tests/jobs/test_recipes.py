"""Recipes and documented commands: those that take hours are planned to the point where training would begin, and all
of them run to their end with few rows, epochs, images and networks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from command import call
from mindleak import settings as config
from mindleak.audits.audit import Audit
from mindleak.jobs.session import open_session
from pages import GUIDE, OWN_MODEL, PAGES, ROOT, commands
from shrunk import settings, write_data

CONFIGS = ROOT / "configs"
ON_A_RUN = ("audit", "attack", "train", "predict")
# The README's commands are the guide's, and run there.
DOCUMENTED = {page: commands(page) for page in PAGES if page != "README.md"}
# The same recipe on other data, which the file format alone tells apart.
TWINS = {"audit_fashion_mnist": "audit_mnist", "sweep_fashion_mnist": "sweep_mnist"}
AUDITED = {Path(words[2]).stem for listed in DOCUMENTED.values() for words in listed
           if words[:2] == ["audit", "--config"]}
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


@pytest.mark.parametrize("name", sorted(TWINS))
def test_twins_differ_in_their_data_only(name: str) -> None:
    one, other = (yaml.safe_load((CONFIGS / f"{stem}.yaml").read_text()) for stem in (name, TWINS[name]))
    assert {**one, "data": {**one["data"], "name": None}} == {**other, "data": {**other["data"], "name": None}}


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory, real_data: Path | None) -> Path:
    """A folder with a few rows of every data set."""
    return write_data(tmp_path_factory.mktemp("data"), real_data)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the recipes."""
    return enter(tmp_path, monkeypatch)


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(folder)
    return folder


def bring_own_model(folder: Path) -> None:
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "net.py").write_text(OWN_MODEL)
    subprocess.run([sys.executable, "path/to/net.py"], cwd=folder, check=True, timeout=300)


def run(capfd: pytest.CaptureFixture[str], words: list[str], data: Path) -> None:
    """Run one command as it is written, but small; it must end well."""
    if words[0] in ON_A_RUN:
        recipe = CONFIGS / Path(words[words.index("--config") + 1]).name if "--config" in words else None
        known = [] if "--data_dir" in words else ["--data_dir", "DATA"]
        # What the page sets itself stays.
        small = [word for pair in zip(*[iter(settings(recipe))] * 2) for word in pair
                 if not any(pair[1].partition("=")[0] + "=" in given for given in words)]
        words = [*words, *known, *small]
    outcome = call(capfd, *[str(data) if word == "DATA" else word for word in words])
    assert outcome.code == 0, f"mindleak {' '.join(words)}: {outcome.err[-2000:]}"
    assert "Traceback" not in outcome.out + outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, listed in DOCUMENTED.items() if listed])
def test_the_commands_of_a_page_run_in_its_order(
    page: str, folder: Path, small_data: Path, real_data: Path | None, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if any("path/to/net.py:MyNet" in words for words in DOCUMENTED[page]):
        bring_own_model(folder)
    for number, words in enumerate(DOCUMENTED[page]):
        if any(twin in word for twin in TWINS for word in words):
            continue
        if page != GUIDE:
            enter(folder / str(number), monkeypatch)
        if words[:2] != ["data", "download"]:
            run(capfd, words, small_data)
        elif real_data is not None:  # all there, so that nothing is fetched
            run(capfd, words, real_data)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDOCUMENTED)
def test_every_recipe_can_be_audited(
    name: str, folder: Path, small_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(capfd, ["audit", "--config", f"configs/{name}.yaml", "--data_dir", "DATA"], small_data)
    assert (folder / "runs" / f"{name}-0" / "report.html").is_file()
