"""``mindleak audit`` and ``mindleak attack``: train what is missing, attack, and write the report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindspore import nn

from mindleak import settings as configuration
from mindleak.attacks.membership.names import SHADOW
from mindleak.errors import InputError, nearest
from mindleak.evaluation.classification import accuracy
from mindleak.jobs import document
from mindleak.jobs.answers import said, split_misfit
from mindleak.jobs.attacks import (
    ImpossibleSplitError,
    MembershipPlan,
    code_digest,
    membership_stage,
    plan_membership,
    subject_network,
)
from mindleak.jobs.document_attack import document_stage
from mindleak.jobs.findings import cautions, findings, with_power
from mindleak.jobs.finite import TEST, TRAINING, ask
from mindleak.jobs.improved_attack import ablation_stage, improved_stage
from mindleak.jobs.inversion import InversionPlan, inversion_stage, plan_inversion
from mindleak.jobs.paired_attacks import compared
from mindleak.jobs.reference_attacks import reference_stage
from mindleak.jobs.session import Session, session_alone
from mindleak.jobs.subjects import Subject, SubjectPlan, require_subjects, subject_plans
from mindleak.jobs.sweep import Sweep
from mindleak.jobs.training_task import HEADLINE, TrainingTask, headline_task, stale_trainings
from mindleak.models.base import count_parameters
from mindleak.reporting.attack_text import terminal_text
from mindleak.reporting.html import render_report, write_json
from mindleak.runs.atomic import plain
from mindleak.training.loop import Predictor

ATTACKS = ("inversion", "membership")
SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class AuditReport:
    """What an audit returns: the report's document and where its page lies."""

    document: dict[str, Any]
    path: Path


class Audit:
    """All stages of one audit, in the order in which they are needed."""

    def __init__(self, session: Session, attacks: Sequence[str], provided: Subject | None = None) -> None:
        if session.config.device.data_parallel:
            raise InputError("device.data_parallel is for 'mindleak train'; attacks and audits deal whole trainings "
                             "out to the processes, each of which trains as one alone would")
        self._session = session
        self._plans = subject_plans(session, provided)
        self._attacks = attacks
        self._sweep = self._planned_sweep(provided)
        self._skipped: list[dict[str, str]] = []
        self._planned_inversions: dict[str, InversionPlan] = {}
        self._memberships: dict[str, MembershipPlan] = {}
        self._subjects: list[dict[str, Any]] = []
        self._inversions: list[dict[str, Any]] = []
        self._membership_results: list[dict[str, Any]] = []
        self._reference_results: list[dict[str, Any]] = []
        self._ablations: list[dict[str, Any]] = []
        self._document_results: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any] | None:
        """Do all stages and return the audit document; None on processes other than the main one."""
        started = time.perf_counter()
        self._train(self.plan())
        if not self._session.device.is_main:
            if self._sweep is not None:
                self._sweep.assist()
            return None
        for plan in self._plans:
            if plan.provided is not None or self._wants_headlines:
                self._headline(plan)
        for planned in self._memberships.values():
            self._membership(planned)
        body: dict[str, Any] = {"subjects": self._subjects, "inversion": self._inversions,
                                "membership": self._membership_results, "skipped": self._skipped,
                                "reference_attacks": self._reference_results, "ablations": self._ablations,
                                "document_attack": self._document_results}
        datasets = {plan.name: plan.dataset for plan in self._plans}
        if self._sweep is not None:
            body["sweep"] = self._sweep.record()
            datasets["sweep"] = self._sweep.dataset
        body["membership"] = with_power(body)
        warnings = [f"Warning: {text}." for text in self._session.warnings]
        body["findings"] = [*warnings, *findings(body, self._session.run.run_dir)]
        body["cautions"] = [*warnings, *cautions(body)]
        head = document.head(self._session, datasets,
                             {name: planned.split for name, planned in self._memberships.items()},
                             time.perf_counter() - started)
        return {**head, **body}

    def plan(self) -> list[TrainingTask]:
        """Return all trainings, of which it is known that they can begin.

        Raises:
            InputError: anything that can be known to fail before any work is done.
        """
        tasks = self._plan()
        for task in tasks:
            task.check()
            task.refuse_foreign_checkpoint()
        return tasks

    def _planned_sweep(self, provided: Subject | None) -> Sweep | None:
        """Return the defence sweep, which belongs to a whole audit of a configuration that has one.

        Raises:
            InputError: there is nothing but the sweep, and single attacks were asked for, or a subject given.
        """
        if not self._session.config.sweep.variants:
            return None
        if provided is not None or set(self._attacks) != set(ATTACKS):
            require_subjects(self._plans)
            return None
        return Sweep(self._session)

    @property
    def _wants_headlines(self) -> bool:
        """False for ``attack membership``, which never looks at a subject trained on everything."""
        return set(self._attacks) != {"membership"}

    def _wants(self, attack: str, plan: SubjectPlan) -> bool:
        """True if the attack was asked for and the configuration does not switch it off for this subject."""
        return attack in self._attacks and bool(plan.config[attack].enabled)

    def _plan(self) -> list[TrainingTask]:
        """Return all trainings, checking on the way everything that can be known to fail."""
        tasks: list[TrainingTask] = []
        for plan in self._plans:
            self._check_answers(plan)
            if plan.provided is None and self._wants_headlines:
                tasks.append(headline_task(plan))
            if self._wants("inversion", plan):
                planned = plan_inversion(plan, self._untrained(plan))
                self._planned_inversions[plan.name] = planned
                tasks.append(planned.judge)
            if self._wants("membership", plan):
                tasks += self._plan_membership(plan)
        if self._sweep is not None:
            tasks += self._sweep.tasks()
        return list({task.stage_name: task for task in tasks}.values())

    def _check_answers(self, plan: SubjectPlan) -> None:
        """Say what is unusual of a subject's answers, before any work is done for it.

        Raises:
            InputError: they are no logits.
        """
        sentence = said(plan.answers, plan.name)
        if sentence is not None:
            self._session.say(sentence)
        # An attack on membership alone is refused for it.
        if plan.misfit is not None and set(self._attacks) != {"membership"}:
            self._session.say(f"warning: {plan.name}: {plan.misfit}.")

    def _untrained(self, plan: SubjectPlan) -> nn.Cell:
        """Return a network of the subject's architecture, to ask for its layers."""
        return plan.provided.network if plan.provided is not None else plan.untrained

    def _plan_membership(self, plan: SubjectPlan) -> list[TrainingTask]:
        """Plan a membership attack; among several attacks one that cannot be had is skipped with its reason."""
        known = plan.provided is not None and plan.provided.members is not None
        if known and plan.misfit is not None:
            if len(self._attacks) == 1:
                raise InputError(f"membership inference on '{plan.name}' would say nothing: {plan.misfit}")
            self._skipped.append({"subject": plan.name, "attack": "membership",
                                  "reason": "its answers do not fit these images or labels, so no verdict is given"})
            return []
        try:
            planned = plan_membership(plan)
        except InputError as error:
            unknown = plan.provided is not None and plan.provided.members is None
            crowded = plan.provided is not None and isinstance(error, ImpossibleSplitError)
            if not (unknown or crowded) or len(self._attacks) == 1:
                raise
            self._skipped.append({"subject": plan.name, "attack": "membership", "reason": str(error)})
            return []
        self._memberships[plan.name] = planned
        self._say_stale(planned)
        return planned.tasks()

    def _say_stale(self, planned: MembershipPlan) -> None:
        """Say that shadows, references or a subject which are there already belong to something else."""
        stale = stale_trainings(planned.tasks())
        if stale:
            self._session.say(f"{len(stale)} finished trainings for attacks on '{planned.plan.name}' in "
                              f"{self._session.run_dir} are of another split, recipe, seed or version of the code and "
                              f"are not used: {stale[0]}{', ...' if len(stale) > 1 else ''}")

    def _train(self, tasks: list[TrainingTask]) -> None:
        """Train everything, dealt out over the processes of the job; results meet in the run directory."""
        selected = self._session.device
        for number, task in enumerate(tasks):
            if number % selected.world_size == selected.rank:
                task.run()
        # Not a collective: on CPU one gives up after half a minute, and the slowest training takes longer.
        while not all(task.is_done for task in tasks):
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _headline(self, plan: SubjectPlan) -> None:
        """Record the subject trained on everything, and invert it."""
        identifier = f"{plan.name}-{HEADLINE}"
        if plan.provided is None:
            task = headline_task(plan)
            result = task.run()
            network = task.network(result)
            self._subjects.append(document.subject(identifier, plan, HEADLINE, task, result))
        else:
            network = plan.provided.network
            self._subjects.append(self._provided_subject(plan))
            identifier = plan.name
        if plan.name in self._planned_inversions:
            self._invert(self._planned_inversions[plan.name], network, identifier)

    def _invert(self, planned: InversionPlan, network: nn.Cell, identifier: str) -> None:
        """Record the inversions of a subject, one per layer."""
        judged = planned.judge.run()
        judge = planned.judge.network(judged)
        measured = {**judged.metrics, "test_accuracy": document.on_test_split(
            judged.metrics["test_accuracy"], planned.plan.dataset, planned.judge.rows)}
        for attack in planned.attacks:
            result = inversion_stage(planned, attack, network, judge)
            self._inversions.append(document.inversion(identifier, result, self._session.run.run_dir, measured))

    def _membership(self, planned: MembershipPlan) -> None:
        """Record the membership subject, and attack it."""
        plan = planned.plan
        identifier = plan.name
        if planned.subject is not None:
            identifier = f"{plan.name}-{planned.subject.role}"
            self._subjects.append(document.subject(identifier, plan, planned.subject.role, planned.subject,
                                                   planned.subject.run()))
        run_dir = self._session.run.run_dir
        if SHADOW in planned.attacks:
            self._membership_results.append(document.membership(identifier, membership_stage(planned), run_dir,
                                                                planned.shadows[0]))
        if planned.improved is not None:
            self._membership_results.append(document.membership(identifier, improved_stage(planned), run_dir,
                                                                planned.shadows[0]))
            if planned.improved.ablation:
                self._ablations.append(document.stage_record(identifier, ablation_stage(planned), run_dir))
        if planned.references is not None:
            self._reference_results.append(
                document.stage_record(identifier, reference_stage(planned), run_dir))
        if planned.document is not None:
            self._document(planned, identifier)

    def _document(self, planned: MembershipPlan, identifier: str) -> None:
        """Record the document's attack on a membership subject, beside the others on the same samples."""
        assert planned.document is not None
        plan, run_dir = planned.plan, self._session.run.run_dir
        result = document_stage(plan, planned.split, planned.document, subject_network(planned),
                                planned.subject_size, code_digest(plan, "document_attack.py"))
        record = document.document_attack(identifier, result, run_dir)
        others = [each for each in (*self._membership_results, *self._reference_results)
                  if each["subject"] == identifier]
        self._document_results.append({**record, "compared": compared(record, others, run_dir)})

    def _provided_subject(self, plan: SubjectPlan) -> dict[str, Any]:
        """Record a subject that was trained elsewhere, measured here."""
        assert plan.provided is not None
        data, network, members = plan.dataset, plan.provided.network, plan.provided.members
        predict = Predictor(network)
        seen = None if members is None else accuracy(
            ask(predict, data, TRAINING, plan.name, members), data.y_train[members])
        unseen = accuracy(ask(predict, data, TEST, plan.name), data.y_test)
        record = document.provided_subject(plan, unseen.to_json(), None if seen is None else seen.to_json(),
                                           count_parameters(network))
        differs = None if seen is None or plan.misfit else split_misfit(predict, data, seen, unseen)
        return {**record, **({"split_misfit": differs} if differs else {})}


def run_audit(session: Session, attacks: Sequence[str] = ATTACKS,
              provided: Subject | None = None) -> AuditReport | None:
    """Run an audit and write its report, as JSON and as a page; None on processes other than the main one.

    All attacks together make ``report.*``. A part of them makes ``report-inversion.*`` or ``report-membership.*``, so
    that an attack in the run directory of an audit takes nothing from the audit's report.
    """
    result = Audit(session, attacks, provided).run()
    if result is None:
        return None
    run_dir = session.run.run_dir
    name = "report" if set(attacks) == set(ATTACKS) else "-".join(["report", *attacks])
    write_json(result, run_dir, name)
    path = render_report(result, run_dir, arrays_root=run_dir, name=name)
    computed = sum(event.how == "computed" for event in session.run.log)
    session.say("")
    session.say(terminal_text(result))
    session.say("")
    if computed == 0:
        session.say(f"all {len(session.run.log)} stages were already done; only the report was rendered again")
    session.say(f"report: {path}")
    return AuditReport(result, path)


def audit(subject: Subject, data: str = "digits", run_dir: str | Path | None = None,
          attacks: Sequence[str] = ATTACKS, config: str | None = None, **settings: Any) -> AuditReport:
    """Audit a network of your own from Python.

    The network is left in evaluation mode, MindSpore in PyNative mode; its weights are not touched.

    Args:
        subject: the trained network and the rows it was trained on. Without rows, membership inference is
            skipped, and the report says why.
        data: name of the data set; the network must take its images as they are after ``data__image_size``.
        run_dir: where results go; ``runs/<subject's name>-<seed>`` by default.
        attacks: any of 'inversion', 'membership'.
        config: a YAML file under the settings.
        settings: configuration keys with ``__`` for the dot, e.g. ``membership__shadows=2``. Shadows are
            trained by the ``training`` section, so it must hold the recipe that the subject was trained by:
            ``training__optimizer="adam"``, ``training__epochs=20``, ...

    Returns:
        The report's content and the path of its page.

    Raises:
        InputError: as on the command line.
    """
    chosen = (attacks,) if isinstance(attacks, str) else tuple(attacks)
    for attack in chosen:
        if attack not in ATTACKS:
            raise InputError(f"attack '{attack}' is unknown{nearest(str(attack), ATTACKS)}")
    if not chosen:
        raise InputError(f"no attack asked for; expected any of {', '.join(ATTACKS)}")
    values = {"data.name": data, "name": subject.name, **settings}
    assignments = [f"{key.replace('__', '.')}={json.dumps(plain(value))}" for key, value in values.items()]
    merged = configuration.load(config, assignments)
    with session_alone(merged, None if run_dir is None else str(run_dir), None, "mindleak.audit(...)") as session:
        report = run_audit(session, chosen, subject)
    if report is None:
        raise InputError("mindleak.audit returns a report on rank 0 only")
    return report
