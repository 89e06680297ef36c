"""The report page: whole, self-contained, safe, and honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from example_record import build_document
from mindleak.audits.report import write_page
from mindleak.errors import InputError
from mindleak.reporting import gallery

VOID = {"meta", "br", "link", "img", "hr", "input"}
LISTS = ["subjects", "inversion", "membership", "skipped", "findings"]
FAMILIES = ("inversion", "membership")


class Reader(HTMLParser):
    """Checks that elements nest, and collects what the tests ask about."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> out of place at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    folder = tmp_path_factory.mktemp("report")
    document = build_document(folder)
    path = write_page(document, folder)
    assert path == folder / "report.html"
    return document, path.read_text(encoding="utf-8"), folder


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    """One recipe, two pictures; the picture files lie in ``tmp_path``."""
    return build_document(tmp_path, images=2, recipes=1)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an empty chart in the place of every one: drawing them takes seconds, and the test is about the text."""
    monkeypatch.setattr(gallery, "png_bytes", lambda figure: b"")
    monkeypatch.setattr(gallery, "inline_svg", lambda figure, name, alt: f'<svg id="{name}"></svg>')


def page_of(document: dict[str, Any], folder: Path) -> str:
    return write_page(document, folder).read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_names_every_subject_in_both_roles(full: Any) -> None:
    document, page, _ = full
    text = Reader(page).text
    for subject in document["subjects"]:
        assert f"{subject['model']} · {subject['training']}" in text
        assert f"{subject['role']} subject, trained on {subject['n_train']:,}" in text
    assert all(f"{finding['verdict']} {finding['text']}" in text for finding in document["findings"])


def test_findings_come_before_every_table_and_figure(full: Any) -> None:
    _, page, _ = full
    assert page.index('id="findings"') < min(page.index("<table"), page.index("<svg"))


def test_rates_stand_beside_their_realised_fpr_and_intervals(full: Any) -> None:
    text = Reader(full[1]).text
    assert "at FPR 0.98\u00a0%" in text
    assert "[0.81, 1.19]" in text
    assert "0.561" in text and "[0.555, 0.567]" in text
    assert "3 tied scores" in text


def test_the_page_loads_nothing_from_anywhere(full: Any) -> None:
    _, page, _ = full
    assert "http://" not in page and "https://" not in page and "@import" not in page
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert "src" not in attributes and "srcset" not in attributes
        target = attributes.get("href")
        assert target is None or target.startswith(("#", "data:image/png;base64,"))
    assert all(match.startswith("#") for match in re.findall(r"url\(([^)]*)\)", page))
    assert len(page.encode()) < 3_000_000


def test_ids_are_unique_and_every_reference_inside_the_page_resolves(full: Any) -> None:
    _, page, _ = full
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(|href=")#([^")]+)', page)
    assert used and set(used) <= set(ids)


def test_tables_and_figures_say_what_they_are(full: Any) -> None:
    _, page, folder = full
    reader = Reader(page)
    assert len(reader.named("table")) == len(reader.named("caption")) > 5
    assert all(attributes.get("scope") in {"col", "row"} for attributes in reader.named("th"))
    charts = [attributes for attributes in reader.named("svg") if attributes.get("class") == "chart"]
    assert len(charts) == 2 + 4 + 8
    assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 20 for chart in charts)
    shown = set(re.findall(r"figures/[\w-]+\.png", page))
    assert shown == {f"figures/{file.name}" for file in (folder / "figures").iterdir()}


def test_per_class_tables_fold_and_follow_light_dark_and_print(full: Any) -> None:
    _, page, _ = full
    assert len(Reader(page).named("details")) == 4
    assert "prefers-color-scheme: dark" in page and "@media print" in page and "beforeprint" in page
    assert page.count("var(--ink)") > 20, "figures follow the theme"


def test_markup_in_names_titles_and_configuration_stays_text(small: dict[str, Any], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    small["title"] = small["config"]["note"] = small["findings"][0]["text"] = evil
    small["config"][evil] = "</pre><b>"
    small["provenance"]["command"] = evil
    small["results"]["inversion"][0]["judge"] = evil
    for subject in small["subjects"]:
        subject["model"] = f'"{evil}'
        subject["id"] = f"../{evil}{subject['role']}"
    for part, role in (("inversion", "headline"), ("membership", "membership")):
        small["results"][part][0]["subject"] = f"../{evil}{role}"
    small["results"]["membership"][0]["per_class"][0]["name"] = evil
    page = page_of(small, tmp_path)
    assert len(Reader(page).named("script")) == 1, "only the page's own"
    assert "alert(1)" in Reader(page).text
    assert "<b>" not in page
    assert {file.parent for file in tmp_path.rglob("*.png")} == {tmp_path / "figures"}


def test_a_metric_without_value_is_a_dash_with_its_reason(small: dict[str, Any], tmp_path: Path) -> None:
    undefined = {"value": None, "ci": None, "ci_level": 0.95, "ci_method": None, "n": 0, "reason": "no members"}
    small["results"]["membership"][0]["overall"]["auc"] = undefined
    small["subjects"][0]["test_accuracy"] = {**undefined, "reason": "no test data given"}
    text = Reader(page_of(small, tmp_path)).text
    assert "\u2013a" in text
    assert "no test data given" in text and "no members" in text
    assert "nan" not in text.lower().split() and "None" not in text


def test_an_interval_without_upper_bound_is_shown_as_such(small: dict[str, Any], tmp_path: Path) -> None:
    small["results"]["inversion"][0]["metrics"]["psnr"]["ci"] = [9.5, None]
    assert "[9.50, ∞]" in Reader(page_of(small, tmp_path)).text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("emptied", [*([name] for name in LISTS), LISTS], ids=[*LISTS, "all"])
def test_empty_lists_leave_their_sections_out(emptied: list[str], small: dict[str, Any], tmp_path: Path) -> None:
    small.update({name: [] for name in emptied if name not in FAMILIES})
    small["results"].update({name: [] for name in emptied if name in FAMILIES})
    page = page_of(small, tmp_path)
    reader = Reader(page)
    assert ('id="inversion"' in page) == ("inversion" not in emptied)
    assert ('id="membership"' in page) == ("membership" not in emptied)
    targets = [link["href"] for link in reader.named("a")]
    assert all(f'id="{str(target)[1:]}"' in page for target in targets), "the contents point at nothing missing"


def test_sparse_records_render(small: dict[str, Any], tmp_path: Path) -> None:
    result, subject = small["results"]["membership"][0], small["subjects"][0]
    result.update(per_class=[], shadow_accuracy=[], detectable=None, roc={"fpr": [], "tpr": []})
    subject["history"] = []
    small["results"]["inversion"][0].update(arrays=None, controls={})
    small["provenance"] = {"seed": 1, "device_target": "CPU"}
    page = page_of(small, tmp_path)
    Reader(page)
    assert "roc.png" not in page and "inversion-" not in page


@pytest.mark.usefixtures("undrawn")
def test_the_other_side_of_the_report_and_classes_without_attack_are_shown(
    small: dict[str, Any], tmp_path: Path
) -> None:
    small["results"]["membership"][0]["skipped_classes"] = {"Zebra": "too few shadow members"}
    small["results"]["inversion"][0].update(dead=3, judge_test_accuracy=small["subjects"][0]["test_accuracy"])
    text = Reader(page_of(small, tmp_path)).text
    assert "Recall, non-members" in text and "43.21" in text
    assert "Zebra" in text and "too few shadow members" in text
    assert "Images without features to follow" in text and "The judge's own test accuracy" in text


def test_a_subject_trained_elsewhere_without_members_renders(small: dict[str, Any], tmp_path: Path) -> None:
    subject = small["subjects"][0]
    subject.update(
        id="mine", name="mine", model="net.py:Net", training="elsewhere", role="provided", n_train=None,
        train_accuracy=None, history=[], seconds=0.0,
    )  # fmt: skip
    small["subjects"] = [subject]
    small["results"]["inversion"][0]["subject"] = "mine"
    small["results"]["membership"] = []
    small["skipped"] = [{"subject": "mine", "family": "membership", "reason": "no member list was given"}]
    text = Reader(page_of(small, tmp_path)).text
    assert "net.py:Net · trained elsewhere" in text
    assert "provided subject, training data not given" in text and "no member list was given" in text


@pytest.mark.usefixtures("undrawn")
def test_subjects_of_one_recipe_are_told_apart_by_their_names(small: dict[str, Any], tmp_path: Path) -> None:
    for subject, name in zip(small["subjects"], ("small-batch", "large-batch")):
        subject["name"] = name
    text = Reader(page_of(small, tmp_path)).text
    assert "lenet5 · ordinary (small-batch)" in text and "lenet5 · ordinary (large-batch)" in text


def test_colour_pictures_render(tmp_path: Path) -> None:
    document = build_document(tmp_path, channels=3, images=2, recipes=1)
    assert "data:image/png;base64," in page_of(document, tmp_path)


def test_two_renderings_are_equal_byte_for_byte(small: dict[str, Any], tmp_path: Path) -> None:
    write_page(small, tmp_path)
    files = [tmp_path / "report.html", *(tmp_path / "figures").iterdir()]
    first = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    write_page(small, tmp_path)
    assert len(files) == 6 and {file: file.read_bytes() for file in files} == first


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("damage", ["gone", "truncated", "other arrays"])
def test_a_missing_or_damaged_picture_file_is_one_line_and_keeps_the_old_page(
    damage: str, small: dict[str, Any], tmp_path: Path
) -> None:
    old = write_page(small, tmp_path)
    before = old.read_bytes()
    file = tmp_path / small["results"]["inversion"][0]["arrays"]
    whole = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "other arrays":
        import numpy as np

        np.savez(file, pixels=np.zeros(3))
    with pytest.raises(InputError) as raised:
        write_page(small, tmp_path)
    assert file.name in str(raised.value) and "\n" not in str(raised.value)
    assert old.read_bytes() == before


@pytest.mark.usefixtures("undrawn")
def test_data_that_differ_from_subject_to_subject_are_told_apart(small: dict[str, Any], tmp_path: Path) -> None:
    data = small["provenance"]["data"]
    shape = data.pop("image_shape")
    data["subjects"] = {"one": {"image_shape": shape, "preparation": {"resize": "none"}},
                        "two": {"image_shape": [1, 8, 8], "preparation": {"resize": "none"}}}
    page = page_of(small, tmp_path)
    assert "of 1×8×8, 10 classes (two)" in page and "classes (one); " in page
    assert "image shape: 1, 8, 8; preparation: resize: none" in page


@pytest.mark.usefixtures("undrawn")
def test_what_an_inversion_is_held_against_is_shown(small: dict[str, Any], tmp_path: Path) -> None:
    entry = small["results"]["inversion"][0]
    confidence = entry["metrics"]["confidence"]
    nearest = {"candidates": 60000, "median_rank": 812.0, "top1": {**confidence, "value": 0.125},
               "rank_share": {**confidence, "value": 0.25}, "class_match": {**confidence, "value": 0.75},
               "chance": {"top1": 1 / 60000, "rank_share": 0.5, "class_match": 0.1}}
    entry.update(engine="batched", tv="mindarmour_ascend", optimizer="adam", restarts=3, judge_n_train=59_970,
                 judge_test_accuracy=small["subjects"][0]["test_accuracy"], nearest=nearest, frozen=17,
                 non_members={"source": "test split", "n": 30,
                              "metrics": {"confidence": {**confidence, "value": 0.876}}},
                 differences={"non_members": {"confidence": {**confidence, "value": -0.042}}})
    text = Reader(page_of(small, tmp_path)).text
    for said in ("mindarmour ascend", "trained on 59,970 other images", "non-members, test split", "0.876", "−0.042",
                 "12.50", "by chance 50", "Images frozen early", "Nearest training image has its class"):
        assert said in text, said
