"""``mindleak report``: render a finished audit's page again from its report.json."""

from __future__ import annotations

import json
from pathlib import Path

from mindleak.errors import InputError
from mindleak.reporting.html import render_report
from mindleak.reporting.text import summary_table


def run_report(run_dir: str) -> None:
    """Render ``report.html`` from ``report.json`` and the stages' arrays; nothing is computed.

    Raises:
        InputError: no or a damaged report.json, or arrays that are gone.
    """
    folder = Path(run_dir)
    source = folder / "report.json"
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"'{source}' does not exist; --run_dir must name a finished audit") from None
    except (OSError, ValueError) as error:
        raise InputError(f"'{source}' is damaged: {error}; run the audit again to write it anew") from error
    needed = [folder / result["arrays"] for result in document["inversion"]]
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise InputError(f"'{missing[0]}' is missing; run the audit again to compute it anew")
    path = render_report(document, folder, arrays_root=folder)
    print(summary_table(document))
    print(f"\nreport: {path}")
