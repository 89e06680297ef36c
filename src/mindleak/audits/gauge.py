"""What a family measures of networks that are compared, and how its figures read in a report.

The sweep asks every family for one and knows no more of it. Loads nothing heavy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from mindleak.subjects.asked import Task
    from mindleak.subjects.variant import Variant


@dataclass(frozen=True)
class Measure:
    """One figure of every network, the same for all variants.

    Attributes:
        label: heading of its column.
        leak: it tells what a network gives away, so that variants are told apart by it.
        table: heading of the table that it stands in, none for the first; None where another cell shows it.
        lowest: that it can be; 1 is the highest.
        points: a change of it is told in percentage points.
        realised: name of the measure with the false-positive rate that its threshold realises.
        failures: name of the measure with the share of networks' answers that mean nothing in it.
        failed: of such a measure, what the share counts, to follow "12 % of the"; empty in all others.
    """

    label: str
    leak: bool = False
    table: Optional[str] = ""
    lowest: float = 0.0
    points: bool = False
    realised: Optional[str] = None
    failures: Optional[str] = None
    failed: str = ""


@dataclass(frozen=True)
class NetworkFigures:
    """What one network of a variant gives away.

    Attributes:
        values: by the measure's name, ``KIND/OF``; the kind is one of ``reporting.wording``. A measure that does not
            exist for this network is left out.
        parts: by the same names, for measures to which the variant's other networks contribute, what each of them makes
            of it, None in the network's own place (``evaluation.shared_references``).
    """

    values: Mapping[str, float]
    parts: Mapping[str, Sequence[Optional[float]]] = field(default_factory=dict)


class Gauge(ABC):
    """Measures the networks of every variant alike. Made before any training, it refuses what cannot work."""

    @property
    def tasks(self) -> Sequence[Task]:
        """Trainings that it needs beside the variants' own."""
        return []

    @abstractmethod
    def measured(self, variant: Variant, backwards: bool = False) -> list[NetworkFigures]:
        """Return the figures of a variant's networks, in their order; stages that are there are not computed again.

        Args:
            variant: whose networks.
            backwards: begin with the last network, where another process has begun with the first.
        """

    @abstractmethod
    def measure(self, name: str) -> Measure:
        """Return how a measure reads."""

    def record(self) -> dict[str, Any]:
        """Return what the report says of it beside the figures; ``note`` is a sentence for below the tables."""
        return {}
