"""What happened in each epoch, and how it is shown and kept."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mindleak.printable import say
from mindleak.runs.atomic import atomic_write_text


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Training figures are means over the epoch's steps, validation figures those after its last.

    (With MindArmour's suppress classes the training figures are measured after the epoch too: their step returns only a
    loss.) ``seconds`` are None for an epoch of an earlier process: checkpoints keep no times, so that equal trainings
    give equal files.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float | None = dataclasses.field(default=None, compare=False)

    def line(self, epochs: int) -> str:
        """Return the line that is printed after the epoch."""
        took = "" if self.seconds is None else f"  {self.seconds:.1f} s"
        return (f"epoch {self.epoch:3d}/{epochs}  train loss {self.train_loss:.4f} acc {self.train_accuracy:.4f}"
                f"  val loss {self.val_loss:.4f} acc {self.val_accuracy:.4f}"
                f"  lr {self.learning_rate:.5g}{took}")


FIELDS = tuple(field.name for field in dataclasses.fields(EpochRecord))


def write_history(path: Path, records: Sequence[EpochRecord]) -> None:
    """Write the records as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(record) for record in records)
    atomic_write_text(path, text.getvalue())


class EpochPrinter:
    """Prints a line per epoch, and between them a progress bar where standard error is a terminal."""

    def __init__(self, label: str, epochs: int, enabled: bool = True) -> None:
        self._label = label
        self._epochs = epochs
        self._enabled = enabled
        # Kept from the start, because standard output is redirected while MindArmour's classes train.
        self._stream = sys.stdout

    def epoch(self, record: EpochRecord) -> None:
        """Show a finished epoch."""
        self.note(record.line(self._epochs))

    def note(self, text: str) -> None:
        """Show a line about the training."""
        if self._enabled:
            prefix = f"[{self._label}] " if self._label else ""
            say(prefix + text, self._stream)

    def wants_steps(self) -> bool:
        """True where somebody watches the steps go by."""
        return self._enabled and sys.stderr.isatty()
