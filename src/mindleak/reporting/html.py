"""The report page: one self-contained HTML file from one audit document.

No script but the one that unfolds the details for printing, no font, image or style from elsewhere; follows the
reader's light or dark setting; prints on A4. Everything in the document is escaped: names and configuration are
the user's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mindleak.audits.inversion import tables as inversion_table
from mindleak.audits.membership.ablation_table import ablation_table, ablations
from mindleak.audits.membership.reference_tables import (
    reference_details,
    reference_results,
    reference_table,
    reference_worth,
)
from mindleak.audits.membership.rnn_tutorial_tables import document_results, document_section
from mindleak.audits.sweep.tradeoff import sweep_note, sweep_tables
from mindleak.printable import printable_values
from mindleak.reporting import tables
from mindleak.reporting.illustrations import Gallery
from mindleak.reporting.palette import css_variables
from mindleak.reporting.wording import Subjects, count, duration
from mindleak.runs.atomic import atomic_json, atomic_write_text, json_text, plain
from mindleak.runs.digest import stable_hash

SCHEMA = 1
SWEEP_TITLES = {"defence": "Sweep of defences: what each costs, and what it hides",
                "subject": "Sweep of the subject: what makes a network leak"}
_TEMPLATES = Path(__file__).parent / "templates"
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
        ValueError: a number is not finite (a Metric states null and a reason instead) or the schema is not 1.
        InputError: the folder cannot be written.
    """
    _check_schema(document)
    as_read_back = json.loads(json_text(document))
    return atomic_json(Path(run_dir) / f"{name}.json", {**as_read_back, "checksum": stable_hash(as_read_back)})


def render_report(document: Mapping[str, Any], run_dir: Path, *, arrays_root: Path, name: str = "report") -> Path:
    """Write the figures as PNG, then ``NAME.html``, each atomically; return the path of the page.

    The figures of ``report`` go to ``figures/``, those of ``report-X`` to ``figures-X/``.

    Args:
        document: the audit document, schema 1.
        run_dir: where the page and the figures go; made where missing.
        arrays_root: the folder that the ``arrays`` entries of the inversions are relative to.
        name: of the page, ``report`` or beginning with it: reports of one run lie side by side.

    Raises:
        InputError: a picture file is missing or damaged, or the folder cannot be written.
        ValueError: the document's schema is not 1.
    """
    _check_schema(document)
    document = printable_values(plain(document))
    subjects = Subjects(document)
    gallery = Gallery(document, subjects, Path(run_dir), Path(arrays_root), f"figures{name.removeprefix('report')}")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=document["title"],
        created=document["created"],
        facts=_facts(document),
        findings=document["findings"],
        theme=list(css_variables().values()),
        tables=_tables(document, subjects),
        per_class=[tables.per_class(r, subjects) for r in document["membership"] if r["per_class"]],
        ablations=[ablation_table(each, subjects) for each in ablations(document)],
        summary_figure=gallery.summary(),
        roc=gallery.roc(),
        references=[made(each, subjects) for each in reference_results(document)
                    for made in (reference_table, reference_worth)],
        reference_details=[reference_details(each, subjects) for each in reference_results(document)],
        document_attack=document_section(document, subjects),
        reference_rocs=gallery.attacks_rocs(),
        exposed=gallery.exposed(),
        inversions=gallery.inversions(),
        curves=gallery.curves(),
        sweep=_sweep(document, gallery),
        config=yaml.safe_dump(document["config"], sort_keys=False, allow_unicode=True, width=100),
        provenance=_provenance(document["provenance"]),
    )
    return atomic_write_text(Path(run_dir) / f"{name}.html", page)


def _check_schema(document: Mapping[str, Any]) -> None:
    if document.get("schema") != SCHEMA:
        raise ValueError(f"audit document has schema {document.get('schema')!r}, this version reads {SCHEMA}")


def _tables(document: Mapping[str, Any], subjects: Subjects) -> dict[str, Optional[tables.Table]]:
    """Build every table; one without a cell is None, and the template leaves its place out."""
    builders = (
        tables.summary,
        inversion_table.inversion,
        tables.membership,
        tables.shadows,
        tables.detectable,
        tables.sparsity,
        tables.training,
        tables.skipped,
        tables.stages,
    )
    made = {build.__name__: build(document, subjects) for build in builders}
    return {name: table if table.filled else None for name, table in made.items()}


def _sweep(document: Mapping[str, Any], gallery: Gallery) -> Optional[dict[str, Any]]:
    """Build the section of the sweep; None where there was none."""
    sweep = document.get("sweep")
    if not sweep:
        return None
    return {"title": SWEEP_TITLES[sweep["question"]], "figure": gallery.tradeoff(), "tables": sweep_tables(sweep),
            "conclusions": sweep["conclusions"],
            "note": sweep_note(sweep)}


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say in a few pairs what was audited, on which data, how long it took."""
    provenance = document["provenance"]
    facts = [
        ("Data", _data_in_words(provenance.get("data") or {})),
        ("Subjects", _subject_names(document)),
        ("Attacks", ", ".join(_attack_names(document))),
        ("Sweep", _variant_names(document)),
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


def _attack_names(document: Mapping[str, Any]) -> list[str]:
    layers: dict[str, list[str]] = {}
    for entry in document["inversion"]:
        layers.setdefault(entry["attack"], []).append(entry["layer"])
    inversion = [f"inversion ({engine} from {', '.join(dict.fromkeys(names))})" for engine, names in layers.items()]
    membership = [
        f"membership ({result['attack']}, {result['n_shadows']} shadows)" for result in document["membership"]
    ]
    reference = [
        f"membership by {result['n_references']} references ({', '.join(each['attack'] for each in result['attacks'])})"
        for result in reference_results(document)
    ]
    seed = [f"membership (document, {result['n_shadows']} shadows)" for result in document_results(document)]
    return list(dict.fromkeys([*inversion, *membership, *seed, *reference]))


def _variant_names(document: Mapping[str, Any]) -> str:
    """Name the variants of a sweep and how many networks each has."""
    sweep = document.get("sweep")
    if not sweep:
        return ""
    return f"{', '.join(d['name'] for d in sweep['variants'])}: {sweep['models']} networks each"


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
