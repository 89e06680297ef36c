"""Records of runs, made of results by kind, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindleak.audits.families import families
from mindleak.audits.findings import said_of
from mindleak.audits.membership.results import ABLATION, REFERENCES, RNN_TUTORIAL, SHADOWS

Results = Sequence[dict[str, Any]]


def audited(*, subjects: Results = (), inversion: Results = (), shadows: Results = (), references: Results = (),
            ablations: Results = (), rnn_tutorial: Results = (), sweep: Results = (),
            skipped: Results = ()) -> dict[str, Any]:
    """Subjects and results, as an audit puts them together."""
    kinds = {SHADOWS: shadows, ABLATION: ablations, REFERENCES: references, RNN_TUTORIAL: rnn_tutorial}
    found = {"inversion": list(inversion), "sweep": list(sweep),
             "membership": [{"kind": kind, **each} for kind, results in kinds.items() for each in results]}
    return {"subjects": list(subjects), "skipped": list(skipped),
            "results": {name: found[name] for name in ("inversion", "membership", "sweep") if found[name]}}


def texts(body: dict[str, Any], run_dir: Path) -> list[str]:
    """The texts of a record's findings."""
    return [finding["text"] for finding in said_of(body, run_dir)["findings"]]


def cautions(body: dict[str, Any]) -> list[str]:
    """What makes figures of a record doubtful."""
    return list(said_of(body, Path("/nonexistent"))["cautions"])


def completed(body: dict[str, Any], family: str = "membership") -> list[dict[str, Any]]:
    """The results of a family once all are known."""
    return families()[family].completed(body["results"][family])


def results(found: dict[str, Any], family: str, kind: str | None = None) -> list[dict[str, Any]]:
    """The results of a family in a record, or those of one kind."""
    return [each for each in found["results"].get(family, []) if kind is None or each["kind"] == kind]


def said(found: dict[str, Any]) -> list[str]:
    """The texts of the findings in a record."""
    return [finding["text"] for finding in found["findings"]]
