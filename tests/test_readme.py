"""README and guide: Python runs, their command lines are understood; the README is short; translations say the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindleak import settings as config
from mindleak.cli import assignments, build_parser
from pages import GUIDE, OWN_MODEL, ROOT, TRANSLATIONS, blocks, command_lines, commands

README = (ROOT / "README.md").read_text(encoding="utf-8")
OURS = [words for start in ("mindleak", "run_ascend.sh") for words in commands(GUIDE, start)]


def test_the_guide_has_what_these_tests_look_for() -> None:
    assert len(blocks(GUIDE, "python")) == 1 and len(OURS) >= 14
    assert {words[0] for words in OURS} == {"audit", "train", "predict", "attack", "delete", "report", "data", "doctor",
                                            "config"}


def test_the_readme_is_short_and_its_commands_are_the_guides() -> None:
    assert len(README.split()) <= 700 and len(re.findall(r"!\[[^]]+\]\(", README)) == 2
    known = [words for start in ("mindleak", "run_ascend.sh") for words in commands("README.md", start)]
    assert known and all(words in OURS for words in known)


def code_words(text: str) -> list[str]:
    """What a page sets as code in its running text and tables, sorted."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return sorted(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))


def test_every_page_in_chinese_has_one_in_english() -> None:
    pages = [*ROOT.glob("*.zh.md"), *(ROOT / "docs").glob("*.zh.md")]
    assert {str(path.relative_to(ROOT)) for path in pages} == set(TRANSLATIONS)


@pytest.mark.parametrize(("chinese", "english"), TRANSLATIONS.items())
def test_both_languages_say_the_same_commands_figures_and_links(chinese: str, english: str) -> None:
    assert command_lines(chinese) == command_lines(english) != []
    ours, theirs = ((ROOT / page).read_text(encoding="utf-8") for page in (english, chinese))
    # The first link of either page leads to the other.
    our_links, their_links = (re.findall(r"\]\(([^)]+)\)", text) for text in (ours, theirs))
    assert (our_links.pop(0), their_links.pop(0)) == (Path(chinese).name, Path(english).name)
    assert sorted(our_links) == sorted(their_links) != []
    our_figures, their_figures = (sorted(re.findall(r"\d*\.\d+", text)) for text in (ours, theirs))
    assert our_figures == their_figures and len(our_figures) > 10
    assert code_words(ours) == code_words(theirs) != []


def test_every_page_is_in_the_index_and_every_local_link_leads_somewhere() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md")):
        assert path.name == "index.md" or f"]({path.name})" in index, path.name
    for page in (ROOT / "README.md", ROOT / "README.zh.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_command_lines_are_understood(words: list[str]) -> None:
    arguments = build_parser().parse_args(words)
    if hasattr(arguments, "assignments"):
        file = None if arguments.config is None else str(ROOT / arguments.config)
        merged = config.load(file, assignments(arguments))
        assert file is None or merged.name == Path(file).stem


def test_scripts_and_files_that_it_names_exist() -> None:
    scripts = {word for page in ("README.md", GUIDE) for words in command_lines(page) for word in words
               if word.endswith(".sh")}
    assert {"scripts/demo.sh", "scripts/test.sh", "run_ascend.sh"} <= scripts
    text = README + (ROOT / GUIDE).read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:docs|configs|benchmarks|src|scripts)/[\w./]+\.\w+)\b", text)) | scripts
    for path in named:
        assert (ROOT / path).is_file() or path.startswith("benchmarks/NAME"), path


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(OWN_MODEL)
    subprocess.run([sys.executable, "net.py"], cwd=tmp_path, check=True, timeout=300)
    (tmp_path / "example.py").write_text(blocks(GUIDE, "python")[0])
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=540,
                          env={**os.environ, "MPLCONFIGDIR": str(tmp_path)}, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    path, _, found = done.stdout.splitlines()[-1].partition(" [")
    assert Path(path).is_file() and "Membership of mine" in found and "Inversion of mine" in found
