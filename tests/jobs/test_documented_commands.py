"""The commands of every page run to their end, in the page's order, with few rows, epochs, images and networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pages import GUIDE, OWN_MODEL, documented
from shrunk import TWINS, enter, run

DOCUMENTED = documented()


def experiment(words: list[str]) -> list[str]:
    """A command without the directory that it works in."""
    return [word for number, word in enumerate(words) if "--run_dir" not in words[max(number - 1, 0):number + 1]]


# What the guide runs, too, is not run again for another page.
GUIDED = [experiment(words) for words in DOCUMENTED[GUIDE]]


def bring_own_model(folder: Path) -> None:
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "net.py").write_text(OWN_MODEL)
    subprocess.run([sys.executable, "path/to/net.py"], cwd=folder, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, listed in DOCUMENTED.items() if listed])
def test_the_commands_of_a_page_run_in_its_order(
    page: str, folder: Path, small_data: Path, real_data: Path | None, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if any("path/to/net.py:MyNet" in words for words in DOCUMENTED[page]):
        bring_own_model(folder)
    for number, words in enumerate(DOCUMENTED[page]):
        if any(twin in word for twin in TWINS for word in words) or page != GUIDE and experiment(words) in GUIDED:
            continue
        if page != GUIDE:
            enter(folder / str(number), monkeypatch)
        if words[:2] != ["data", "download"]:
            run(capfd, words, small_data)
        elif real_data is not None:  # all there, so that nothing is fetched
            run(capfd, words, real_data)
