"""The tutorial's five lines per inversion, and the sweep's table, as the terminal shows them."""

from __future__ import annotations

from pathlib import Path

from example_record import build_document
from example_sweep import LEAKS, make_sweep
from mindleak.audits.inversion.text import MOST_LABELS, inversion_lines
from mindleak.audits.report import terminal_text
from mindleak.audits.sweep.text import sweep_lines
from mindleak.reporting.text import WIDTH
from mindleak.reporting.wording import Subjects


def test_five_lines_for_every_inversion(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    entry = document["results"]["inversion"][0]
    lines = inversion_lines(document["results"]["inversion"], Subjects(document))
    assert len(lines) == 6 * len(document["results"]["inversion"])
    assert f"{entry['metrics']['l2_relative']['value']:.3f}" in lines[1]
    assert f"{entry['metrics']['ssim_mindarmour']['value']:.3f}" in lines[2]
    assert f"{entry['metrics']['confidence']['value']:.3f}" in lines[3]
    assert lines[4].split(": ")[1].split() == [str(label) for label in entry["labels"]]
    assert lines[5].split(": ")[1].split() == [str(label) for label in entry["predicted"]]


def test_long_lists_of_labels_are_wrapped_and_longer_ones_left_to_the_report(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    entry = document["results"]["inversion"][0]
    document["results"]["inversion"] = [entry]
    entry.update(n=MOST_LABELS, labels=[7] * MOST_LABELS, predicted=[3] * MOST_LABELS)
    text = "\n".join(inversion_lines(document["results"]["inversion"], Subjects(document)))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("7") >= MOST_LABELS
    entry["n"] = MOST_LABELS + 1
    assert inversion_lines(document["results"]["inversion"], Subjects(document)) == []


def test_the_sweep_shows_every_defence_and_measure_and_every_conclusion() -> None:
    sweep = make_sweep()
    text = "\n".join(sweep_lines(sweep))
    assert max(map(len, text.splitlines())) <= WIDTH
    for defence in sweep["variants"]:
        assert f"\n{defence['name']} " in text
    for leak in LEAKS:
        assert leak in text
    flowing = " ".join(text.split())
    assert all(" ".join(sentence.split()) in flowing for sentence in sweep["conclusions"])


def test_a_sweep_with_many_measures_is_broken_into_blocks_that_repeat_the_names() -> None:
    sweep = make_sweep()
    for number in range(12):
        name = f"auc/another_attack_{number}"
        sweep["leaks"].append(name)
        for defence in sweep["variants"]:
            defence["measures"][name] = defence["measures"]["auc/loss"]
    text = "\n".join(sweep_lines(sweep))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("\nprune-95 ") > 1


def test_cautions_come_last_and_keep_numbers_with_their_units(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    assert "Before you rely" not in terminal_text(document, tmp_path)
    for length in range(60, 80):
        document["cautions"] = [f"{'x' * length} is 62.33 % (56.58 % to 67.84 %), which is little.", "Warning: dark."]
        *_, head, text = terminal_text(document, tmp_path).partition("Before you rely on these figures:")
        lines = text.splitlines()[1:]
        assert head and lines[0].startswith("- x") and lines[-1] == "- Warning: dark."
        assert max(map(len, lines)) <= WIDTH and not any(line.strip().startswith("%") for line in lines)
