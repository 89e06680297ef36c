"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mindleak.reporting.canvas import blank, house_style, percent_axis
from mindleak.reporting.wording import Subjects


def curves_figure(subject: Mapping[str, Any], subjects: Subjects) -> Optional[Figure]:
    """Draw loss and accuracy by epoch, training and validation; None where nothing was recorded."""
    history = subject["history"]
    if not history:
        return None
    with house_style():
        figure = blank(7.0, 2.35, subjects.name(subject["id"]).full)
        loss, accuracy = figure.subplots(1, 2)
        drawn = _curves(loss, history, "loss", subjects.look(subject["id"]).colour)
        drawn += _curves(accuracy, history, "accuracy", subjects.look(subject["id"]).colour)
        if not drawn:
            return None
        loss.set_ylabel("Loss")
        loss.set_ylim(bottom=0)
        accuracy.set_ylabel("Accuracy")
        accuracy.yaxis.set_major_formatter(percent_axis())
        accuracy.legend(loc="lower right")
        for axes in (loss, accuracy):
            axes.set_xlabel("Epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.margins(x=0.04, y=0.08)
    return figure


def _curves(axes: Any, history: Sequence[Mapping[str, Any]], quantity: str, colour: str) -> int:
    """Draw the training (thin, dashed, open) and validation (thick, filled) lines; return how many there were."""
    epochs = [row["epoch"] for row in history]
    small = len(epochs) > 40
    forms = {
        "train": ("training", {"linestyle": (0, (4, 1.5)), "linewidth": 1.1, "markerfacecolor": "none"}),
        "val": ("validation", {"linestyle": "-", "linewidth": 1.7}),
    }
    drawn = 0
    for prefix, (label, form) in forms.items():
        values = np.array([row.get(f"{prefix}_{quantity}") for row in history], dtype=float)
        if np.isfinite(values).any():
            marker = {"marker": "" if small else "o", "markersize": 3}
            axes.plot(epochs, values, color=colour, label=label, **marker, **form)
            drawn += 1
    return drawn
