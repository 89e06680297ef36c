"""Charts of membership inference: log-log ROC, and AUC and TPR with their intervals.

The log-log ROC follows Carlini et al. (arXiv 2112.03570, figure 2), with what the sample size cannot resolve marked
on it: no false-positive rate below 1/n_out can be observed, and one below 10/n_out rests on a handful of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from mindleak.reporting.canvas import blank, house_style, percent_axis
from mindleak.reporting.palette import INK, MUTED, RULE, Look
from mindleak.reporting.palette import look as nth_look
from mindleak.reporting.wording import Subjects, bounds, has_value, number

FEW_FALSE_POSITIVES = 10
_BINS_PER_DECADE = 150


def roc_figure(results: Sequence[Mapping[str, Any]], subjects: Subjects) -> Optional[Figure]:
    """Draw the ROC curves of all membership results on log-log axes; None where no result carries a curve.

    Shaded: rates below 1/n_out of the largest non-member set. A curve is thin where it rests on fewer than ten
    false positives. The diagonal is what guessing gives.
    """
    several = _several(results)
    return _log_log([_curve(result, _label(result, subjects, several),
                            nth_look(place) if several else subjects.look(result["subject"]))
                     for place, result in enumerate(results)])


def _several(results: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the results are of more than one attack, which then has to be named."""
    return len({result.get("attack") for result in results}) > 1


def _label(result: Mapping[str, Any], subjects: Subjects, several: bool) -> str:
    recipe = subjects.name(result["subject"]).recipe
    return f"{recipe}, {result['attack']}" if several else recipe


def attacks_roc_figure(result: Mapping[str, Any], title: str) -> Optional[Figure]:
    """Draw the ROC curves of several attacks on one subject, as ``roc_figure`` does for several subjects."""
    return _log_log([_curve(attack, attack["attack"], nth_look(place))
                     for place, attack in enumerate(result["attacks"])], title)


@dataclass(frozen=True)
class _Curve:
    """One line of a ROC figure."""

    fpr: np.ndarray
    tpr: np.ndarray
    n_out: int
    label: str
    look: Look


def _curve(result: Mapping[str, Any], label: str, look: Look) -> _Curve:
    auc = result["overall"].get("auc")
    if has_value(auc):
        label += f", AUC {number('auc', auc['value'])}"
    roc = result["roc"]
    return _Curve(np.asarray(roc["fpr"], float), np.asarray(roc["tpr"], float), result["n_out"], label, look)


def _log_log(curves: Sequence[_Curve], title: str = "") -> Optional[Figure]:
    shown = [curve for curve in curves if len(curve.fpr) > 1]
    if not shown:
        return None
    n_out = max(curve.n_out for curve in shown)
    left = 0.3 / n_out
    with house_style():
        figure = blank(5.6, 5.2, title)
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log", xlim=(left, 1.15), ylim=(left, 1.15))
        axes.set_aspect("equal")
        axes.plot([left, 1], [left, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="guessing")
        for curve in shown:
            _roc_curve(axes, curve)
        _mark_resolution(axes, left, n_out)
        axes.set_xlabel("False-positive rate (non-members called members)")
        axes.set_ylabel("True-positive rate (members found)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(percent_axis())
            axis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower right")
    return figure


def _roc_curve(axes: Any, curve: _Curve) -> None:
    fpr, tpr = thin(curve.fpr, curve.tpr)
    solid = fpr * curve.n_out >= FEW_FALSE_POSITIVES
    first = int(np.argmax(solid)) if solid.any() else len(fpr) - 1
    form = {"color": curve.look.colour, "drawstyle": "steps-post"}
    axes.plot(fpr[: first + 1], tpr[: first + 1], linewidth=0.8, linestyle=curve.look.dash, **form)
    axes.plot(fpr[first:], tpr[first:], linewidth=1.7, linestyle=curve.look.dash, label=curve.label, **form)


def _mark_resolution(axes: Any, left: float, n_out: int) -> None:
    """Shade what n_out non-members cannot resolve and mark where counts are few."""
    note = {"rotation": 90, "fontsize": 7.5, "color": MUTED, "va": "top", "clip_on": True}
    axes.axvspan(left, 1 / n_out, color=RULE, alpha=0.55, linewidth=0)
    axes.text((left / n_out) ** 0.5, 0.85, f"below 1 in {n_out:,}: cannot be seen", ha="center", **note)
    few = FEW_FALSE_POSITIVES / n_out
    if few < 1:
        axes.axvline(few, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    # Further right the words would cross the curves. They can be left out, since the caption says the same.
    if few < 0.01:
        words = f"left of here: fewer than {FEW_FALSE_POSITIVES} false positives"
        axes.text(few * 0.93, 0.85, words, ha="right", **note)


def thin(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop the points of a ROC curve that a log-log drawing cannot show apart.

    Args:
        fpr, tpr: ascending rates, shape (n,). Points at rate zero have no place on a log axis and go.

    Returns:
        The first and last point of each of 150 steps per decade of FPR, so no step of the curve moves by more than
        1/150 of a decade.
    """
    positive = fpr > 0
    fpr, tpr = fpr[positive], tpr[positive]
    if fpr.size == 0:
        return fpr, tpr
    step = np.floor(np.log10(fpr) * _BINS_PER_DECADE)
    change = np.flatnonzero(np.diff(step)) + 1
    keep = np.unique(np.concatenate([[0], change, change - 1, [fpr.size - 1]]))
    return fpr[keep], tpr[keep]


def summary_figure(results: Sequence[Mapping[str, Any]], subjects: Subjects) -> Optional[Figure]:
    """Draw AUC and TPR at 1 % FPR per subject with intervals, guessing, and what would go unnoticed.

    The grey bar of a row runs from guessing to the smallest value that its sample size would have shown.
    """
    shown = [result for result in results if has_value(result["overall"].get("auc"))]
    if not shown:
        return None
    with house_style():
        figure = blank(7.0, 1.05 + 0.42 * len(shown))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, key, guess in zip(panels, ("auc", "tpr@0.01"), (0.5, 0.01)):
            for row, result in enumerate(shown):
                _interval_row(axes, row, key, guess, result, subjects)
            axes.grid(axis="y", visible=False)
            axes.axvline(guess, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.12)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        panels[0].set_title("AUC")
        panels[1].set_title("TPR at 1 % FPR")
        panels[1].xaxis.set_major_formatter(percent_axis())
        panels[0].set_yticks(range(len(shown)), [_label(r, subjects, _several(shown)) for r in shown])
        panels[0].set_ylim(len(shown) - 0.5, -0.65)
    return figure


def _interval_row(axes: Any, row: int, key: str, guess: float, result: Mapping[str, Any], subjects: Subjects) -> None:
    effects = result.get("detectable") or {}
    if key in effects:
        # If the sample is too small to have shown anything, even a perfect attack would have gone unnoticed.
        smallest = 1.0 if effects[key] is None else effects[key]
        axes.barh(row, smallest - guess, left=guess, height=0.5, color=RULE, linewidth=0)
    metric = result["overall"].get(key)
    if metric is None or not has_value(metric):
        return
    look = subjects.look(result["subject"])
    interval = bounds(metric)
    if interval:
        axes.plot(interval, [row, row], color=look.colour, linewidth=2, solid_capstyle="butt")
    axes.plot(metric["value"], row, marker=look.marker, markersize=6.5, color=look.colour, linestyle="")
    axes.text(1.02, row, number(key, metric["value"]), transform=axes.get_yaxis_transform(), va="center")
