"""Membership inference on the report's page: a section per kind of attack, and two columns of the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.audits.membership.ablation_table import ablation_table
from mindleak.audits.membership.charts import attacks_roc_figure, roc_figure, summary_figure
from mindleak.audits.membership.reference_tables import reference_details, reference_table, reference_worth
from mindleak.audits.membership.results import ABLATION, REFERENCES, RNN_TUTORIAL, SHADOWS, of_kind
from mindleak.audits.membership.rnn_tutorial_tables import rnn_tutorial_tables
from mindleak.audits.membership.tables import detectable, membership, per_class, shadows
from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Table
from mindleak.reporting.gallery import Illustration
from mindleak.reporting.page import Page, Section, SummaryColumn, of_subject
from mindleak.reporting.pictures import captioned_figure
from mindleak.reporting.text import metric_lines, ordinary
from mindleak.reporting.wording import class_names, has_value, number, percent

HERE = Path(__file__).parent
FPR = "tpr@0.01"


def membership_sections(results: Sequence[Record], page: Page) -> list[Section]:
    """Return the sections that have anything to show."""
    made = (_by_shadows, _rnn_tutorial, _by_references, _power)
    return [section for make in made for section in make(results, page)]


def membership_columns(results: Sequence[Record], page: Page) -> list[SummaryColumn]:
    """Return AUC and TPR of a subject's attacks by shadows; a terminal shows the first one's."""
    return [SummaryColumn("Membership: AUC", ("membership", "AUC"), *_column(results, page, "auc")),
            SummaryColumn("Membership: TPR at 1 % FPR", ("TPR at", "1 % FPR"), *_column(results, page, FPR))]


def _column(results: Sequence[Record], page: Page, key: str) -> tuple[Any, Any]:
    by_shadows = of_kind(results, SHADOWS)

    def cells(table: Table, subject: Mapping[str, Any]) -> list[Cell]:
        own = of_subject(by_shadows, subject["id"])
        if not own:
            return [table.missing(_reason(results, page, subject))]
        several = len({each["attack"] for each in own}) > 1
        return [table.metric(key, each["overall"].get(key), label=each["attack"] if several else "") for each in own]

    def plain(subject: Mapping[str, Any]) -> list[str]:
        own = of_subject(by_shadows, subject["id"])
        if not own and of_subject(results, subject["id"]):
            return ["see below"]
        metric = own[0]["overall"].get(key) if own else None
        realised = (metric or {}).get("fpr")
        return metric_lines(key, metric) + ([] if realised is None else [f"FPR {ordinary(percent(realised, 2))}"])

    return cells, plain


def _reason(results: Sequence[Record], page: Page, subject: Mapping[str, Any]) -> str:
    """Return why no attack by shadows was run on a subject."""
    not_done = page.not_done(subject["id"], "membership")
    if not_done is not None:
        return not_done
    if of_subject(results, subject["id"]):
        return "the shadow attack was not asked for; the others have sections of their own"
    if subject["role"] == "headline":
        return "trained on everything: membership is measured on the membership subject"
    return "membership was not run on this subject"


def _by_shadows(results: Sequence[Record], page: Page) -> list[Section]:
    own = of_kind(results, SHADOWS)
    table = membership(own, page.subjects)
    if not table.filled:
        return []
    areas = "; ".join(_auc_in_words(result, page) for result in own)
    summary = page.hang("summary", summary_figure(own, page.subjects), (
        "Membership attack per subject: dots with their intervals; the dashed line is guessing. Where an "
        "interval meets that line, guessing could explain the result. A grey bar covers leaks too small for "
        "this sample to notice reliably."), f"Membership AUC by subject: {areas}")
    roc = page.hang("roc", roc_figure(own, page.subjects), (
        "ROC on logarithmic axes: how many members the attack finds (upwards) while it wrongly accuses so many "
        "non-members (rightwards). Curves above the dashed diagonal beat guessing. The thin part of a curve rests "
        "on fewer than ten false positives."), f"Log-log ROC curves. {areas}")
    return [page.section(
        HERE / "section.html.j2", "membership", "Membership", heading="Membership: who was in the training set",
        glossary=HERE / "glossary.html.j2", overall=table, summary=summary, roc=roc,
        ablations=[ablation_table(each, page.subjects) for each in of_kind(results, ABLATION)],
        per_class=[per_class(each, page.subjects) for each in own if each["per_class"]])]


def _rnn_tutorial(results: Sequence[Record], page: Page) -> list[Section]:
    attacks = rnn_tutorial_tables(of_kind(results, RNN_TUTORIAL), page.subjects)
    if not attacks:
        return []
    return [page.section(HERE / "rnn_tutorial.html.j2", "rnn-tutorial", "RNN tutorial's attack", attacks=attacks,
                         heading="Membership: the RNN tutorial's attack, and what its figure is made of",
                         glossary=None if len(results) > len(attacks) else HERE / "glossary.html.j2")]


def _by_references(results: Sequence[Record], page: Page) -> list[Section]:
    own = of_kind(results, REFERENCES)
    if not own:
        return []
    tables = [made(each, page.subjects) for each in own for made in (reference_table, reference_worth)]
    return [page.section(HERE / "references.html.j2", "references", "Reference attacks",
                         heading="Membership: attacks with reference models", tables=tables,
                         rocs=_rocs(own, page), exposed=_exposed(own, page),
                         more=[reference_details(each, page.subjects) for each in own],
                         glossary=None if of_kind(results, SHADOWS) else HERE / "glossary.html.j2")]


def _power(results: Sequence[Record], page: Page) -> list[Section]:
    own = of_kind(results, SHADOWS)
    table = detectable(own, page.subjects)
    if not table.filled:
        return []
    known = {subject["id"]: subject for subject in page.record["subjects"]}
    return [page.section(HERE / "power.html.j2", "power", "Sample size and controls", detectable=table,
                         shadows=shadows(own, known, page.subjects))]


def _rocs(results: Sequence[Record], page: Page) -> list[Illustration]:
    """Return, for every subject with reference attacks, their log-log ROC curves together."""
    shown = []
    for result in results:
        name = page.subjects.name(result["subject"]).full
        areas = [f"{each['attack']} {number('auc', each['overall']['auc']['value'])}"
                 for each in result["attacks"] if has_value(each["overall"].get("auc"))]
        caption = (
            f"{name}: ROC of the attacks that use reference models, on logarithmic axes. Curves above the dashed "
            "diagonal beat guessing. The thin part of a curve rests on fewer than ten false positives."
        )
        alt = f"Log-log ROC curves of attacks on {name}; AUC: {', '.join(areas) or 'not measured'}."
        shown.append(page.hang(f"attacks-{result['subject']}", attacks_roc_figure(result, name), caption, alt))
    return [illustration for illustration in shown if illustration]


def _exposed(results: Sequence[Record], page: Page) -> list[Illustration]:
    """Return the most exposed members of every subject with reference attacks, as pictures.

    Raises:
        InputError: a picture file that the record names is missing or damaged.
    """
    names = class_names(page.record)
    shown = []
    for result in results:
        images, labels, scores = page.arrays(result, "exposed_images", "exposed_labels", "exposed_scores")
        if len(images) == 0:
            continue
        name, attack = page.subjects.name(result["subject"]).full, result["exposed"]["attack"]
        captions = [f"{names.get(int(label), str(label))}\n{score:.3g}" for label, score in zip(labels, scores)]
        caption = (
            f"{name}: the {len(images)} members with the highest scores of {attack}, highest first, with class and "
            "score. The scores of all samples lie beside the stage's result."
        )
        figure = captioned_figure(images, captions, f"{name}, most exposed by {attack}")
        shown.append(page.hang(f"exposed-{result['subject']}", figure, caption,
                               f"{len(images)} training images that {attack} scores highest, {name}."))
    return [illustration for illustration in shown if illustration]


def _auc_in_words(result: Record, page: Page) -> str:
    auc = result["overall"].get("auc")
    written = number("auc", auc["value"]) if has_value(auc) else "not measured"
    return f"{page.subjects.name(result['subject']).full} {written}"
