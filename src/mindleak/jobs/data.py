"""``mindleak data list | verify | download``."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm

from mindleak.data import catalogue
from mindleak.data.download import download
from mindleak.data.locate import ENVIRONMENT, data_root, named_root
from mindleak.data.verify import Presence, available, verify
from mindleak.errors import InputError
from mindleak.printable import for_stream, say


def run_list(data_dir: str | None) -> None:
    """Print every data set of the catalogue, and whether it is there.

    Raises:
        InputError: ``data_dir`` is no folder.
    """
    if data_dir is not None:
        data_root(data_dir)
    elif ENVIRONMENT in os.environ:
        named_root(None)
    places = {presence.name: presence for presence in available(data_dir)}
    anywhere = bool(data_dir or os.environ.get(ENVIRONMENT))
    for entry in catalogue.describe():
        presence = places.get(entry.name)
        say(f"{entry.name:<14} {_state(presence):<9} {_size(entry, presence):<42} {entry.origin}".rstrip())
        if presence is not None and entry.files is not None and anywhere:
            say(f"{'':<14} {'':<9} {presence.place}")
            if presence.damage:
                say(f"{'':<14} {'':<9} {presence.damage}")
            elif presence.rows not in (None, entry.rows):
                say(f"{'':<14} {'':<9} not as published: {_rows(entry.rows)} images")
    if not anywhere:
        say("no data directory: give --data_dir DIR or set MINDLEAK_DATA_DIR")


def _state(presence: Presence | None) -> str:
    """Return in a word whether a data set is there; None stands for the user's own."""
    if presence is None:
        return "yours"
    return "damaged" if presence.damage else "here" if presence.present else "not here"


def _size(entry: catalogue.Entry, presence: Presence | None) -> str:
    """Return how many images there are, as published where none are there, and of which shape."""
    if entry.rows is None or entry.shape is None:
        return "any size, 1 or 3 channels, any classes"
    shape = "x".join(str(side) for side in entry.shape)
    there = entry.rows if presence is None or presence.rows is None else presence.rows
    return f"{_rows(there)} of {shape}, {len(entry.class_names)} classes"


def _rows(rows: tuple[int, int] | None) -> str:
    """Write numbers of training and test images."""
    return "? + ?" if rows is None else f"{rows[0]:,} + {rows[1]:,}"


def run_verify(name: str, data_dir: str | None) -> None:
    """Print what each file of a data set is worth.

    Raises:
        InputError: a file is missing or damaged.
    """
    checks = verify(name, data_dir)
    for check in checks:
        size = "" if check.size is None else f"{check.size:,} bytes"
        say(f"{check.file:<28} {check.status:<13} {size:>18}  {check.detail}".rstrip())
    bad = [check for check in checks if not check.usable]
    if bad and catalogue.entry(name).files is None:
        raise InputError(bad[0].detail)
    if bad:
        raise InputError(f"data set '{name}': {len(bad)} of {len(checks)} files cannot be used, first "
                         f"{bad[0].file}: {bad[0].status}; mindleak data download {name} fetches the set")


def run_download(name: str, data_dir: str | None, mirrors: list[str]) -> None:
    """Fetch a data set, with a progress bar per file on a terminal and a line per address that failed."""
    bars: dict[str, tqdm] = {}

    def show(file: str, done: int, total: int | None) -> None:
        if file not in bars:
            bars[file] = tqdm(total=total, unit="B", unit_scale=True, desc=for_stream(file, sys.stderr), disable=None)
        bars[file].update(done - bars[file].n)

    def tell(line: str) -> None:
        tqdm.write(for_stream(line, sys.stderr), file=sys.stderr)

    try:
        deliveries = download(name, data_dir, mirrors=mirrors or None, progress=show, report=tell)
    finally:
        for bar in bars.values():
            bar.close()
    for delivery in deliveries:
        say(f"{'fetched' if delivery.fetched else 'already there'}: {delivery.path}")
