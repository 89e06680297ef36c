"""What families make the report's page of: sections from templates, figures hung in the run, columns of the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from mindleak.errors import InputError
from mindleak.files import check_plain
from mindleak.reporting.cells import Cell, Table
from mindleak.reporting.gallery import Gallery, Illustration
from mindleak.reporting.wording import Subjects

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its id, plain characters.
        title: what the list of sections at the top calls it.
        html: its content below the heading, safe markup.
        heading: of the section; the title by default.
        glossary: what it adds to the list of words at the end of the page, safe markup.
    """

    name: str
    title: str
    html: Markup
    heading: str = ""
    glossary: Markup = Markup("")


@dataclass(frozen=True)
class SummaryColumn:
    """A column of the table with a row per subject, on the page and in a terminal.

    Attributes:
        heading: on the page.
        lines: the two lines that head it in a terminal.
        cells: returns a subject's cells on the page, given the table and the subject's record.
        plain: returns a subject's lines in a terminal, given its record.
    """

    heading: str
    lines: tuple[str, str]
    cells: Callable[[Table, Mapping[str, Any]], list[Cell]]
    plain: Callable[[Mapping[str, Any]], list[str]]


class Page:
    """A record on its way to a page or a terminal.

    Args:
        record: of a run, schema 2.
        run_dir: where the page and its figures go, and what the results' ``arrays`` are relative to.
        figures: folder of the figures in the run.
    """

    def __init__(self, record: Mapping[str, Any], run_dir: Path, figures: str = "figures") -> None:
        self.record = record
        self.run_dir = run_dir
        self.subjects = Subjects(record)
        self._figures = figures

    @cached_property
    def gallery(self) -> Gallery:
        """Draws and keeps figures."""
        return Gallery(self.run_dir, self._figures)

    def hang(self, name: str, figure: Optional[Figure], caption: str, alt: str) -> Optional[Illustration]:
        """Keep a figure as PNG in the run and return it for the page; None where there is none.

        Args:
            name: of the file and of the place on the page.
            figure: as drawn in the house's style.
            caption: below it.
            alt: the figure in words, for a reader who cannot see it.
        """
        return self.gallery.hang(name, figure, caption, alt)

    def section(self, template: Path, name: str, title: str, *, heading: str = "", glossary: Optional[Path] = None,
                **values: Any) -> Section:
        """Return a section from a template, which may import ``blocks.html.j2`` (tables and figures).

        Args:
            template: file.
            name: id of the section.
            title: of the section in the list at the top.
            heading: of the section; the title by default.
            glossary: template of the words that it adds to the page's last section.
            values: what the template asks for.
        """
        return Section(name, title, Markup(self.render(template, **values)), heading,
                       Markup("" if glossary is None else self.render(glossary)))

    def render(self, template: Path, **values: Any) -> str:
        """Return a template's text; everything in ``values`` is escaped."""
        return environment(template.parent).get_template(template.name).render(**values)

    def arrays(self, result: Mapping[str, Any], *names: str) -> list[np.ndarray]:
        """Return arrays that lie beside a result's stage.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self.run_dir / result["arrays"]
        check_plain(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return [stored[name] for name in names]
        except FileNotFoundError:
            raise InputError(f"{path}: the pictures of this run are gone; run the audit again to rebuild "
                             "them") from None
        except Exception as error:  # NumPy and zipfile raise another type for every kind of damage.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{path}: not a whole picture file ({reason}); delete it and run the audit "
                             "again") from error

    def not_done(self, subject: str, family: str) -> Optional[str]:
        """Return why a family has no verdict on a subject, where the record says so."""
        names = {subject, *(each.get("name") for each in self.record["subjects"] if each["id"] == subject)}
        return next((each["reason"] for each in self.record["skipped"]
                     if each["subject"] in names and each["family"] == family), None)


def environment(folder: Path) -> Environment:
    """Return what renders the templates of a folder and the page's own; everything is escaped."""
    return Environment(loader=ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(TEMPLATES)]), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def of_subject(results: Sequence[Mapping[str, Any]], subject: str) -> list[Mapping[str, Any]]:
    """Return the results on one subject."""
    return [result for result in results if result.get("subject") == subject]
