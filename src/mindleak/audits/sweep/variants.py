"""The variants of a sweep: ways to make networks, each with several on halves of one pool of training rows.

Every variant trains ``sweep.models`` networks on the halves that ``data.splits.halves`` deals out. The networks of a
variant are each other's shadows, the attacked one left out (docs/methods.md, "Sweeps").
"""

from __future__ import annotations

from mindleak import settings as configuration
from mindleak.data.dataset import Dataset
from mindleak.data.splits import halves, split_roles
from mindleak.errors import InputError
from mindleak.models import registry
from mindleak.models.estimators import ESTIMATORS
from mindleak.subjects.session import Session
from mindleak.subjects.subject import SubjectPlan, sized
from mindleak.subjects.variant import Pool, Variant

# A sixth of the data is what a membership subject is trained on, so halves of a third are of that size.
POOL_SHARE = 3


def planned_variants(session: Session) -> list[Variant]:
    """Return the variants of the configuration, in its order.

    Raises:
        InputError: settings that cannot work, or numbers of networks or images that have no halves.
    """
    settings = session.config.sweep
    if settings.models < 2 or settings.models % 2:
        raise InputError(f"sweep.models is {settings.models}; expected an even number from 2 on, since "
                         f"{settings.models} networks cannot each have half of the samples and each sample half of the "
                         "networks")
    return [_variant(session, name) for name in settings.variants]


def _variant(session: Session, name: str) -> Variant:
    own = configuration.for_variant(session.config, name)
    if own.model.name in ESTIMATORS:
        raise InputError(f"model.name of variant '{name}' is {own.model.name}, which is no network; expected one, or "
                         "subjects instead of variants")
    plan = SubjectPlan(session, name, sized(session, own, registry.CLASSIFIERS.get(own.model.name)))
    plan.place = "sweep.variants"
    settings = plan.config.sweep
    return Variant(plan, make_pool(plan.dataset, settings.pool, settings.models, session.seed("sweep")))


def make_pool(data: Dataset, size: int | None, models: int, seed: int) -> Pool:
    """Draw the pool from the training split, class by class, and deal its halves out.

    Raises:
        InputError: a pool that leaves nothing outside it.
    """
    available = len(data.y_train)
    size = available // POOL_SHARE if size is None else size
    if not 2 <= size < available:
        raise InputError(f"sweep.pool is {size}; expected 2 to {available - 1}, since the judge learns from the rest")
    split = split_roles(data, {"pool": size}, seed)
    return Pool(*halves(data.y_train, split.indices["pool"], models, seed, split.images))
