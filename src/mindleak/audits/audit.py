"""An audit: every family asked about every subject, in the order in which what they need comes about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindleak.audits.families import families
from mindleak.audits.family import Family, NoVerdictError, Plan
from mindleak.audits.findings import said_of
from mindleak.audits.record import head
from mindleak.data.splits import Split
from mindleak.errors import InputError
from mindleak.subjects.answers import said
from mindleak.subjects.asked import Task
from mindleak.subjects.own import Subject
from mindleak.subjects.session import Session
from mindleak.subjects.subject import NoNetworkError, SubjectPlan, others_named, require_subjects, subject_plans
from mindleak.subjects.trained import Trained, headline

SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class _Planned:
    """A family and one of its plans."""

    family: Family[Any]
    plan: Plan


class Audit:
    """All stages of one audit.

    Args:
        session: of the run.
        asked: names of families to be asked alone; a whole audit by default.
        provided: a subject from Python; the configuration's by default.

    Raises:
        InputError: subjects that cannot be made, or nothing to be asked about.
    """

    def __init__(self, session: Session, asked: Sequence[str] | None = None, provided: Subject | None = None) -> None:
        if session.config.device.data_parallel:
            raise InputError("device.data_parallel is for 'mindleak train'; attacks and audits deal whole trainings "
                             "out to the processes, each of which trains as one alone would")
        self._session = session
        self._subjects = subject_plans(session, provided)
        self._whole = asked is None
        self._families = [families()[name] for name in families() if asked is None or name in asked]
        self._skipped: list[dict[str, str]] = []
        self._planned: list[_Planned] = []
        # What concerns the run as a whole is of the configuration's own networks, whatever is audited beside them.
        self._own = provided is None
        if not (self._whole and others_named(session.config)):
            require_subjects(self._subjects, session.config)

    def run(self) -> dict[str, Any] | None:
        """Do all stages and return the record of the run; None on processes other than the main one."""
        started = time.perf_counter()
        self._train(self.plan())
        if not self._session.device.is_main:
            for each in self._planned:
                each.family.assist(each.plan)
            return None
        subjects = [subject.record() for subject in self._attacked()]
        results: dict[str, list[dict[str, Any]]] = {}
        for each in self._planned:
            results.setdefault(each.family.name, []).extend(each.family.run(each.plan))
        results = {family.name: family.completed(results[family.name]) for family in self._families
                   if family.name in results}
        return {**self._head(time.perf_counter() - started), **self._said(subjects, results)}

    def plan(self) -> list[Task]:
        """Return all trainings, of which it is known that they can begin.

        Raises:
            InputError: anything that can be known to fail before any work is done.
        """
        for subject in self._subjects:
            sentence = said(subject.answers, subject.name)
            if sentence is not None:
                self._session.say(sentence)
            self._plan_families(subject)
            if subject.misfit is not None:
                self._session.say(f"warning: {subject.name}: {subject.misfit}.")
        if self._whole and self._own:
            whole = ((family, family.plan_run(self._session)) for family in self._families)
            self._planned += [_Planned(family, plan) for family, plan in whole if plan is not None]
        if not self._whole and not self._planned:
            raise InputError("there is nothing to do: " + " and ".join(
                family.unwanted for family in self._families))
        tasks: list[Task] = [task for subject in self._attacked() for task in subject.tasks]
        tasks += [task for each in self._planned for task in each.plan.tasks]
        unique = list({task.stage_name: task for task in tasks}.values())
        for task in unique:
            task.check()
            task.refuse_foreign_checkpoint()
        return unique

    def _plan_families(self, subject: SubjectPlan) -> None:
        """Plan every family that the configuration wants; among several, one without a verdict is skipped.

        So is one that needs layers or gradients of a subject that is no network.
        """
        for family in self._families:
            try:
                plan = family.plan(subject) if family.wants(subject) else None
            except (NoVerdictError, NoNetworkError) as error:
                if not self._whole and len(self._families) == 1:
                    raise
                reason = error.reason if isinstance(error, NoVerdictError) else str(error)
                self._skipped.append({"subject": subject.name, "family": family.name, "reason": reason})
                continue
            if plan is not None:
                self._planned.append(_Planned(family, plan))

    def _attacked(self) -> list[Trained]:
        """Return the subjects of the record: in a whole audit, all as they come; and those that families attack."""
        whole = [headline(subject) for subject in self._subjects] if self._whole else []
        attacked = [each.plan.subject for family in self._families for each in self._planned
                    if each.family is family and each.plan.subject is not None]
        return list({trained.identifier: trained for trained in (*whole, *attacked)}.values())

    def _train(self, tasks: list[Task]) -> None:
        """Train everything, dealt out over the processes of the job; results meet in the run directory."""
        selected = self._session.device
        for number, task in enumerate(tasks):
            if number % selected.world_size == selected.rank:
                task.run()
        # Not a collective: on CPU one gives up after half a minute, and the slowest training takes longer.
        while not all(task.is_done for task in tasks):
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _head(self, seconds: float) -> dict[str, Any]:
        """Return title, configuration and provenance."""
        datasets = {subject.name: subject.dataset for subject in self._subjects}
        splits: dict[str, Split] = {}
        for each in self._planned:
            datasets.update(each.plan.datasets)
            splits.update(each.plan.splits)
        return head(self._session, datasets, splits, seconds)

    def _said(self, subjects: list[dict[str, Any]], results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """Return subjects and results with what is said of them."""
        body = {"subjects": subjects, "results": results, "skipped": self._skipped}
        return {**body, **said_of(body, self._session.run.run_dir, self._session.warnings)}
