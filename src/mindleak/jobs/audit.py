"""``mindleak audit`` and ``mindleak attack``: train what is missing, ask every family, and write the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindleak import settings as configuration
from mindleak.audits.audit import Audit
from mindleak.audits.families import attack_families
from mindleak.audits.report import terminal_text, write_page
from mindleak.errors import InputError, nearest
from mindleak.jobs.session import session_alone
from mindleak.reporting.html import write_json
from mindleak.runs.atomic import plain
from mindleak.subjects.own import Subject
from mindleak.subjects.session import Session


@dataclass(frozen=True)
class AuditReport:
    """What an audit returns: the record of the run and where its page lies."""

    document: dict[str, Any]
    path: Path


def run_audit(session: Session, asked: Sequence[str] | None = None,
              provided: Subject | None = None) -> AuditReport | None:
    """Run an audit and write its report, as JSON and as a page; None on processes other than the main one.

    All families together make ``report.*``. A part of them makes ``report-NAME.*``, so that an attack in the run
    directory of an audit takes nothing from the audit's report.

    Args:
        session: of the run.
        asked: names of families; all by default.
        provided: a subject from Python.
    """
    record = Audit(session, asked, provided).run()
    if record is None:
        return None
    run_dir = session.run.run_dir
    name = "report" if is_whole(asked) else "-".join(["report", *(asked or ())])
    write_json(record, run_dir, name)
    path = write_page(record, run_dir, name)
    computed = sum(event.how == "computed" for event in session.run.log)
    session.say("")
    session.say(terminal_text(record, run_dir))
    session.say("")
    if session.run.log and computed == 0:
        session.say(f"all {len(session.run.log)} stages were already done; only the report was rendered again")
    session.say(f"report: {path}")
    return AuditReport(record, path)


def is_whole(asked: Sequence[str] | None) -> bool:
    """Return whether families asked for are all that can be."""
    return asked is None or set(asked) >= set(attack_families())


def audit(subject: Subject, data: str = "digits", run_dir: str | Path | None = None,
          attacks: Sequence[str] | None = None, config: str | None = None, **settings: Any) -> AuditReport:
    """Audit a network of your own from Python.

    The network is left in evaluation mode, MindSpore in PyNative mode; its weights are not touched.

    Args:
        subject: the trained network and the rows it was trained on. Without rows, membership inference is
            skipped, and the report says why.
        data: name of the data set; the network must take its images as they are after ``data__image_size``.
        run_dir: where results go; ``runs/<subject's name>-<seed>`` by default.
        attacks: names of families, as of ``mindleak attack``; all by default.
        config: a YAML file under the settings.
        settings: configuration keys with ``__`` for the dot, e.g. ``membership__shadows=2``. Shadows are
            trained by the ``training`` section, so it must hold the recipe that the subject was trained by:
            ``training__optimizer="adam"``, ``training__epochs=20``, ...

    Returns:
        The report's content and the path of its page.

    Raises:
        InputError: as on the command line.
    """
    known = attack_families()
    chosen = tuple(known) if attacks is None else (attacks,) if isinstance(attacks, str) else tuple(attacks)
    for name in chosen:
        if name not in known:
            raise InputError(f"attack '{name}' is unknown{nearest(str(name), known)}")
    if not chosen:
        raise InputError(f"no attack asked for; expected any of {', '.join(known)}")
    values = {"data.name": data, "name": subject.name, **settings}
    assignments = [f"{key.replace('__', '.')}={json.dumps(plain(value))}" for key, value in values.items()]
    merged = configuration.load(config, assignments)
    with session_alone(merged, None if run_dir is None else str(run_dir), None, "mindleak.audit(...)") as session:
        report = run_audit(session, None if is_whole(chosen) else chosen, subject)
    if report is None:
        raise InputError("mindleak.audit returns a report on rank 0 only")
    return report
