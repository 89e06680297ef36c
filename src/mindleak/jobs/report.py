"""``mindleak report``: render the pages of a finished audit or attack again from their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mindleak.audits.report import terminal_text, unknown_families, write_page
from mindleak.errors import InputError, first_line
from mindleak.files import read_text
from mindleak.printable import say
from mindleak.reporting.html import SCHEMA
from mindleak.runs.digest import stable_hash
from mindleak.runs.lock import alone_in, say_on_stderr


def run_report(run_dir: str) -> None:
    """Render every report of a run from its JSON and the stages' arrays; nothing is computed.

    That is ``report.json`` of an audit and ``report-ATTACK.json`` of single attacks, whichever there are.

    Raises:
        InputError: no report, a damaged one, or arrays that are gone.
    """
    folder = Path(run_dir)
    with alone_in([folder] if folder.is_dir() else [], say_on_stderr):
        _render_all(folder)


def _render_all(folder: Path) -> None:
    sources = sorted(folder.glob("report-*.json"))
    if not sources or (folder / "report.json").exists():
        sources.insert(0, folder / "report.json")
    documents = [_read(source) for source in sources]
    for source, document in zip(sources, documents):
        _render(source, document)


def _render(source: Path, document: dict[str, Any]) -> None:
    """Render one report; print its summary and where its page is."""
    try:
        table = terminal_text(document, source.parent)
        try:
            path = write_page(document, source.parent, source.stem)
        except InputError:
            say(table)  # a folder that cannot be written, or pictures that are gone, hide no figures
            raise
    except (InputError, MemoryError, OSError):
        raise
    # The file is the user's input here, what an audit wrote was rendered by that audit, and each kind of damage raises
    # something else in what draws figures and tables.
    except Exception as error:
        raise InputError(f"'{source}' is damaged ({first_line(error)}); run the audit again to write it "
                         "anew") from error
    for name in unknown_families(document):
        say(f"'{source}' has results of the family '{name}', which is not installed here; they are left out")
    say(f"{table}\n\nreport: {path}")


def _read(source: Path) -> dict[str, Any]:
    """Read a record of this version."""
    try:
        document = json.loads(read_text(source))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"'{source}' does not exist; --run_dir must name a finished audit") from None
    except OSError as error:
        raise InputError(f"'{source}' cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{source}' is damaged: {error}; run the audit again to write it anew") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise InputError(f"'{source}' has schema {found!r}, this version reads {SCHEMA}; run the audit again to write "
                         "it anew")
    if "checksum" not in document:
        say(f"'{source}' has no checksum: an earlier version wrote it, or somebody has changed it since")
    elif document.pop("checksum") != stable_hash(document):
        raise InputError(f"'{source}' was altered after it was written: its checksum does not fit; run the audit again "
                         "to write it anew")
    return document
