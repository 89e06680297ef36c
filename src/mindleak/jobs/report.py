"""``mindleak report``: render a finished audit's page again from its report.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mindleak.errors import InputError
from mindleak.reporting.html import SCHEMA, render_report
from mindleak.reporting.text import summary_table


def run_report(run_dir: str) -> None:
    """Render ``report.html`` from ``report.json`` and the stages' arrays; nothing is computed.

    Raises:
        InputError: no or a damaged report.json, or arrays that are gone.
    """
    folder = Path(run_dir)
    source = folder / "report.json"
    document = _read(source)
    try:
        table = summary_table(document)
        path = render_report(document, folder, arrays_root=folder)
    # The file is the user's input here: what an audit wrote was rendered by that audit.
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"'{source}' is damaged ({type(error).__name__}: {error}); run the audit again to write it "
                         "anew") from error
    print(table)
    print(f"\nreport: {path}")


def _read(source: Path) -> dict[str, Any]:
    """Read an audit document of this version."""
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
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
    return document
