"""The report page: one self-contained HTML file from one record.

No script but the one that unfolds the details for printing, no font, image or style from elsewhere; follows the
reader's light or dark setting; prints on A4. Everything in the document is escaped: names and configuration are
the user's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Optional

import yaml

from mindleak.printable import printable_values
from mindleak.reporting import tables
from mindleak.reporting.charts import curves_figure
from mindleak.reporting.gallery import Illustration
from mindleak.reporting.page import TEMPLATES, Page, Section, SummaryColumn, environment
from mindleak.reporting.palette import css_variables
from mindleak.reporting.wording import count, duration, percent
from mindleak.runs.atomic import atomic_json, atomic_write_text, json_text, plain
from mindleak.runs.digest import stable_hash

SCHEMA = 2
_VERSION_KEYS = (
    "mindleak",
    "mindspore",
    "mindarmour",
    "numpy",
    "python",
    "platform",
    "device_target",
    "threads",
    "seed",
)


def write_json(document: Mapping[str, Any], run_dir: Path, name: str = "report") -> Path:
    """Write the document with its checksum to ``run_dir/NAME.json`` atomically and return its path.

    Raises:
        ValueError: a number is not finite (a Metric states null and a reason instead) or the schema is another.
        InputError: the folder cannot be written.
    """
    _check_schema(document)
    as_read_back = json.loads(json_text(document))
    return atomic_json(Path(run_dir) / f"{name}.json", {**as_read_back, "checksum": stable_hash(as_read_back)})


def page_of(record: Mapping[str, Any], run_dir: Path, name: str = "report") -> Page:
    """Return a record made ready for a page: nothing in it can play tricks with a terminal or a browser.

    The figures of ``report`` go to ``figures/``, those of ``report-X`` to ``figures-X/``.

    Raises:
        ValueError: the record is of another schema.
    """
    _check_schema(record)
    return Page(printable_values(plain(record)), Path(run_dir), f"figures{name.removeprefix('report')}")


def render_report(page: Page, sections: Sequence[Section], columns: Sequence[SummaryColumn], named: Sequence[str],
                  name: str = "report") -> Path:
    """Write ``NAME.html`` atomically and return its path.

    Args:
        page: as ``page_of`` returns it.
        sections: of the families, in order.
        columns: of the families, in the table with a row per subject.
        named: in a few words each, what the families did.
        name: of the page, ``report`` or beginning with it: reports of one run lie side by side.

    Raises:
        InputError: the folder cannot be written.
    """
    record = page.record
    text = environment(TEMPLATES).get_template("report.html.j2").render(
        title=record["title"],
        created=record["created"],
        facts=_facts(record, named),
        findings=_by_question(record["findings"]),
        theme=list(css_variables().values()),
        tables=_tables(page, columns),
        sections=sections,
        curves=_curves(page),
        config=yaml.safe_dump(record["config"], sort_keys=False, allow_unicode=True, width=100),
        provenance=_provenance(record["provenance"]),
    )
    return atomic_write_text(page.run_dir / f"{name}.html", text)


def _by_question(findings: Sequence[Mapping[str, Any]]) -> list[tuple[Optional[str], list[Mapping[str, Any]]]]:
    """Return the findings in groups of neighbours that answer one question; those of no family have none."""
    return [(question, list(answers)) for question, answers in groupby(findings, key=lambda each: each["question"])]


def _curves(page: Page) -> list[Illustration]:
    """Return the training curves of every subject that has a history."""
    shown = []
    for subject in page.record["subjects"]:
        alt = f"Training curves of {page.subjects.name(subject['id']).full}: {_last_epoch(subject['history'])}"
        caption = "Loss and accuracy by epoch. Dashed: training; solid: validation."
        shown.append(page.hang(f"curves-{subject['id']}", curves_figure(subject, page.subjects), caption, alt))
    return [illustration for illustration in shown if illustration]


def _last_epoch(history: Sequence[Mapping[str, Any]]) -> str:
    if not history or history[-1].get("val_accuracy") is None:
        return f"{len(history)} epochs."
    return f"validation accuracy {percent(history[-1]['val_accuracy'], 2)} after {len(history)} epochs."


def _check_schema(document: Mapping[str, Any]) -> None:
    if document.get("schema") != SCHEMA:
        raise ValueError(f"record has schema {document.get('schema')!r}, this version reads {SCHEMA}")


def _tables(page: Page, columns: Sequence[SummaryColumn]) -> dict[str, Optional[tables.Table]]:
    """Build every table; one without a cell is None, and the template leaves its place out."""
    builders = (tables.sparsity, tables.training, tables.skipped, tables.stages)
    made = {build.__name__: build(page.record, page.subjects) for build in builders}
    made["summary"] = tables.summary(page.record, page.subjects, columns)
    return {name: table if table.filled else None for name, table in made.items()}


def _facts(document: Mapping[str, Any], named: Sequence[str]) -> list[tuple[str, str]]:
    """Say in a few pairs what was audited, on which data, how long it took."""
    provenance = document["provenance"]
    facts = [
        ("Data", _data_in_words(provenance.get("data") or {})),
        ("Subjects", _subject_names(document)),
        ("Audited", ", ".join(dict.fromkeys(named))),
        ("Run", _time_taken(provenance)) if "seconds_total" in provenance else None,
        ("Made", f"{document['created']} by mindleak {provenance.get('mindleak', '')}".strip()),
    ]
    return [fact for fact in facts if fact and fact[1]]


def _data_in_words(data: Mapping[str, Any]) -> str:
    """Name the data set and the sizes; subjects that see them otherwise than the others stand with their own."""
    if not data:
        return ""
    seen: dict[str, list[str]] = {}
    for name, own in (data.get("subjects") or {"": {}}).items():
        each = {**data, **own}
        shape = "×".join(str(side) for side in each["image_shape"])
        words = (f"{each['name']}, {count(each['n_train'])} training and {count(each['n_test'])} test images of "
                 f"{shape}, {each['num_classes']} classes")
        seen.setdefault(words, []).append(name)
    if len(seen) == 1:
        return next(iter(seen))
    return "; ".join(f"{words} ({', '.join(names)})" for words, names in seen.items())


def _time_taken(provenance: Mapping[str, Any]) -> str:
    """Say what all stages took, whenever they were done, and what the last call took."""
    stages = sum(stage["seconds"] for stage in provenance.get("stages", []))
    return (
        f"seed {provenance['seed']}, {provenance['device_target']}, stages {duration(stages)} in all, "
        f"last call {duration(provenance['seconds_total'])}"
    )


def _subject_names(document: Mapping[str, Any]) -> str:
    """Name the recipes, then how many subjects there are in each role."""
    recipes = dict.fromkeys(f"{subject['model']} · {subject['training']}" for subject in document["subjects"])
    roles = Counter(subject["role"] for subject in document["subjects"])
    counted = " and ".join(f"{number} {role}" for role, number in roles.items())
    plural = "s" if sum(roles.values()) > 1 else ""
    return f"{', '.join(recipes)}: {counted} subject{plural}" if roles else ""


def _provenance(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Flatten versions, data and split to pairs, in the order a reader would ask for them."""
    pairs = [(key, provenance[key]) for key in ("command", *_VERSION_KEYS) if key in provenance]
    for group in ("data", "split"):
        for key, value in (provenance.get(group) or {}).items():
            if isinstance(value, Mapping):
                pairs += [(f"{group}: {key}: {name}", item) for name, item in value.items()]
            else:
                pairs.append((f"{group}: {key}", value))
    return [(key.replace("_", " "), _written(value)) for key, value in pairs]


def _written(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not recorded"}[value]
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key.replace('_', ' ')}: {_written(item)}" for key, item in value.items())
    return str(value)
