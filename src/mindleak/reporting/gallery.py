"""The figures of one report: saved as PNG in the run, and handed to the page with caption and alt text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from markupsafe import Markup
from matplotlib.figure import Figure

from mindleak.files import require_own_folder
from mindleak.reporting.canvas import inline_svg, png_bytes
from mindleak.runs.atomic import atomic_write_bytes


@dataclass(frozen=True)
class Illustration:
    """One figure on the page: ``name`` (its id), ``svg`` (safe markup), ``caption``, ``file`` (PNG in the run)."""

    name: str
    svg: Markup
    caption: str
    file: str


class Gallery:
    """Writes every figure as ``FOLDER/NAME.png`` in the run.

    Args:
        run_dir: of the run.
        folder: of its figures.
    """

    def __init__(self, run_dir: Path, folder: str = "figures") -> None:
        self._run_dir = run_dir
        self._folder = folder
        self._taken: set[str] = set()

    def hang(self, name: str, figure: Optional[Figure], caption: str, alt: str) -> Optional[Illustration]:
        """Keep a figure and return it for the page; None where there is none."""
        if figure is None:
            return None
        name = self._unique(name)
        file = f"{self._folder}/{name}.png"
        require_own_folder(self._run_dir / self._folder)
        atomic_write_bytes(self._run_dir / file, png_bytes(figure))
        # The markup is matplotlib's own; it escapes the text it draws.
        return Illustration(name, Markup(inline_svg(figure, name, alt)), caption, file)

    def _unique(self, name: str) -> str:
        """Return a file and id name of plain characters that no other figure of the page has."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
        unique, copy = stem, 2
        while unique in self._taken:
            unique, copy = f"{stem}-{copy}", copy + 1
        self._taken.add(unique)
        return unique
