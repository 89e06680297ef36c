"""The contract of a family: one question that a report answers, with all that answers it in one folder.

This module and a family's own class load nothing heavy: the command line lists the families before it knows what to do.
What computes (MindSpore) is imported by ``plan`` and ``run``, what renders (Matplotlib) by ``sections``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Optional, TypeVar

from mindleak.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from mindleak.audits.finding import Finding
    from mindleak.audits.gauge import Gauge
    from mindleak.audits.questions import Questions
    from mindleak.data.dataset import Dataset
    from mindleak.data.splits import Split
    from mindleak.evaluation.metric import Record
    from mindleak.reporting.page import Page, SummaryColumn
    from mindleak.reporting.page import Section as PageSection
    from mindleak.settings.fields import Section
    from mindleak.subjects.asked import Task
    from mindleak.subjects.session import Session
    from mindleak.subjects.subject import SubjectPlan
    from mindleak.subjects.trained import Trained
    from mindleak.subjects.variant import Variant


@dataclass(frozen=True)
class Option:
    """An option of ``mindleak attack FAMILY`` that sets a configuration key.

    Attributes:
        flag: as it is typed, ``--attack``.
        key: of the configuration.
        metavar: stands for the value in the help.
        help: one line.
        many: the value is a list, written with commas.
    """

    flag: str
    key: str
    metavar: str
    help: str
    many: bool = False


class NoVerdictError(InputError):
    """A family has no honest answer about a subject. Among several families it is skipped, alone it is refused.

    Args:
        message: for a user who has asked for this family alone.
        reason: for a report of several families; the message by default.
    """

    def __init__(self, message: str, reason: Optional[str] = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


@dataclass(frozen=True, eq=False)
class Plan:
    """What a family is about to do: known to be possible, as far as can be known before any training.

    Attributes:
        subject: that it attacks; None where it looks at others than the configuration's subjects.
    """

    subject: Optional[Trained]

    @property
    def tasks(self) -> Sequence[Task]:
        """All trainings that it needs; the subject's own, if it takes one, by default."""
        return [] if self.subject is None else self.subject.tasks

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """Data beside those of the configuration's subjects, by what the report calls their user."""
        return {}

    @property
    def splits(self) -> Mapping[str, Split]:
        """How the training data were divided into roles, by subject."""
        return {}


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Context:
    """What findings may look at beside their own results.

    Attributes:
        subjects: of the record, by id.
        run_dir: what the ``arrays`` of results are relative to.
        questions: where all comparisons of the audit are asked, to be corrected together.
    """

    subjects: Mapping[str, Record]
    run_dir: Path
    questions: Questions


class Family(ABC, Generic[P]):
    """One question of an audit. A subclass in a folder of its own and a line in ``families.py`` make a family.

    Attributes:
        name: of the sub-command of ``attack``, of the configuration's section, and of its results in the record.
        question: that it answers, for the report.
        help: one line for the command line.
        options: of its sub-command.
        attacks: whether ``mindleak attack NAME`` runs it alone; otherwise only a whole audit does.
        settings: its section of the configuration; None where it has none.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    help: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    attacks: ClassVar[bool] = True
    settings: ClassVar[Optional[type[Section]]] = None

    @property
    def unwanted(self) -> str:
        """Why there is nothing to do where the configuration does not want it, for a user who asks for it alone."""
        return f"{self.name}.enabled is false"

    def wants(self, subject: SubjectPlan) -> bool:
        """Return whether the configuration has it switched on for a subject."""
        return bool(subject.config.get(self.name, {}).get("enabled", True))

    @abstractmethod
    def plan(self, subject: SubjectPlan) -> Optional[P]:
        """Return what it would do about a subject, checking all that can be known to fail; None for nothing.

        Raises:
            NoVerdictError: nothing that it could find would mean anything.
            InputError: settings that cannot work.
        """

    def plan_run(self, session: Session) -> Optional[P]:
        """Return what it would do about the run as a whole, beside its subjects; nothing, for most.

        Raises:
            InputError: settings that cannot work.
        """
        return None

    def gauge(self, variants: Sequence[Variant]) -> Optional[Gauge]:
        """Return what it measures of networks that are compared; None for nothing, as most.

        Args:
            variants: all of them, on the same data.

        Raises:
            InputError: anything that can be known to fail before any training.
        """
        return None

    @abstractmethod
    def run(self, plan: P) -> list[dict[str, Any]]:
        """Return the results of a plan as plain values; stages that are there are not computed again."""

    def assist(self, plan: P) -> None:
        """Compute on another process what ``run`` needs, from the other end; nothing, for most."""
        return

    def completed(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results with what can only be said once all of them are known; as they are, by default."""
        return results

    @abstractmethod
    def findings(self, results: Sequence[Record], context: Context) -> Iterator[Finding]:
        """Yield what the results show, and what they do not. Loads no MindSpore."""

    def doubts(self, results: Sequence[Record]) -> Iterator[str]:
        """Yield what makes figures doubtful, a sentence each, for a terminal whose tables have figures alone."""
        return iter(())

    def named(self, results: Sequence[Record]) -> list[str]:
        """Return in a few words what was done, for the head of the report."""
        return [self.name]

    @abstractmethod
    def sections(self, results: Sequence[Record], page: Page) -> list[PageSection]:
        """Return the family's part of the report's page. Loads no MindSpore."""

    def summary(self, results: Sequence[Record], page: Page) -> list[SummaryColumn]:
        """Return its columns of the table with a row per subject; none, for most."""
        return []

    def summary_notes(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return the lines that a terminal shows below that table; none, for most."""
        return []

    def lines(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return its blocks of text for a terminal, lines of at most 100 columns."""
        return []
