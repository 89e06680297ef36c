"""What a job of several processes would be refused for, asked once and before they start; see ``cli.check``."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak import settings as configuration
from mindleak.audits.audit import Audit
from mindleak.jobs.train import planned_trainings
from mindleak.models.estimators import ESTIMATORS
from mindleak.models.registry import CLASSIFIERS
from mindleak.subjects.session import Session


def run_check(session: Session, trains: bool, asked: Sequence[str] | None, resume: bool, restart: bool) -> None:
    """Load and plan what a command would; no network is asked, which the processes do on their own device.

    Args:
        session: of ``session.session_in_advance``.
        trains: whether the command is a training, otherwise it is an audit.
        asked: families asked for alone; None for a whole audit.
        resume, restart: of a training.

    Raises:
        InputError: what each of the processes would say.
    """
    if session.device.target != "CPU" and _has_own_model(session):
        # A network of the user's may be made of operators that the device alone has, so none is made here.
        for name in session.config.subjects or [None]:
            own = session.config if name is None else configuration.for_subject(session.config, name)
            session.dataset(own.data)
    elif trains:
        planned_trainings(session, resume, restart)
    else:
        Audit(session, asked).plan()


def _has_own_model(session: Session) -> bool:
    """Return whether any network of the configuration comes from a file of the user's."""
    whole = session.config
    parts = [whole, *(part for named in configuration.named_parts(whole).values() for part in named.values())]
    names = [part["model"]["name"] for part in parts if "name" in part.get("model", {})]
    return any(name not in (*CLASSIFIERS, *ESTIMATORS) for name in (*names, whole.judge.model))
