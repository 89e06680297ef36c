"""A transfer as another process makes it; in a module of its own, since a started process imports it by name."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from mindleak.data.fetch import Transfer, fetch
from mindleak.data.partial import PartialFile
from mindleak.data.sources import PublishedFile


def run(folder: str, address: str, file: PublishedFile, events: multiprocessing.Queue) -> None:
    """Fetch a file, or find it there, and say what happens."""
    def progress(name: str, received: int, total: int) -> None:
        events.put("progress")

    transfer = Transfer((address,), progress, events.put, 20.0)
    with PartialFile(Path(folder) / file.name, lambda: events.put("waiting")) as partial:
        if (Path(folder) / file.name).exists():
            events.put("there")
            return
        fetch(file, partial, transfer)
        partial.finish()
    events.put("fetched")
