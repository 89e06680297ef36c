"""The defence sweep on the page: one table of all defences, and what each costs against what it hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mindleak.reporting.canvas import blank, house_style, percent_axis
from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.palette import MUTED, Look, look
from mindleak.reporting.wording import bounds, count, has_value, percent

Sweep = Mapping[str, Any]
PANELS_PER_ROW = 3
SUPPRESS = "suppress"


def sweep_table(sweep: Sweep) -> Table:
    """One row per defence: accuracy, zeros, and every leak, each a mean over networks with its interval."""
    measures = [measure for measure in sweep["labels"] if any(measure in d["measures"] for d in sweep["defences"])]
    table = Table(
        f"Defences: mean over {sweep['models']} networks each, trained on {count(sweep['n_train'])} images",
        ["Defence", *(sweep["labels"][measure] for measure in measures)],
    )
    rows = []
    for defence in sweep["defences"]:
        cells = [[_cell(table, measure, defence["measures"].get(measure))] for measure in measures]
        rows.append(Row(defence["name"], defence["setting"], cells))
    table.groups = [rows]
    return table


def _cell(table: Table, measure: str, metric: Optional[Mapping[str, Any]]) -> Cell:
    if metric is None:
        return plain_cell(None)
    return table.metric(measure.partition("/")[0], metric)


def tradeoff_figure(sweep: Sweep) -> Optional[Figure]:
    """Draw accuracy against every leak, one panel each; the better corner is the lower right one.

    The degrees of suppression are joined by a line in the order of the configuration; every other defence is a
    point of its own. Bars are the intervals over networks. None without a defence to draw.
    """
    shown = [defence for defence in sweep["defences"] if has_value(defence["measures"].get("accuracy"))]
    panels = [measure for measure in sweep["leaks"] if any(has_value(d["measures"].get(measure)) for d in shown)]
    if not panels:
        return None
    columns = min(PANELS_PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    with house_style():
        figure = blank(2.9 * columns + 0.3, 2.55 * rows + 0.75)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, measure in zip(grid.flat, panels):
            _panel(axes, shown, measure, sweep)
        for axes in grid.flat[len(panels):]:
            axes.set_visible(False)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    return figure


def _panel(axes: Any, defences: list[Mapping[str, Any]], measure: str, sweep: Sweep) -> None:
    """Draw one leak against accuracy: suppression as one chain from the baseline on, the others point by point."""
    measured = [defence for defence in defences if has_value(defence["measures"].get(measure))]
    family = [defence for defence in measured if defence["training"] == SUPPRESS]
    baseline = [defence for defence in measured if defence["name"] == sweep["baseline"]]
    chain = [(d["measures"]["accuracy"]["value"], d["measures"][measure]["value"]) for d in baseline + family]
    if len(chain) > 1:
        axes.plot(*zip(*chain), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    for number, defence in enumerate(family):
        _point(axes, defence["measures"], measure, look(0), "suppress (share of zeros)" if number == 0 else None)
        place = defence["measures"]["accuracy"]["value"], defence["measures"][measure]["value"]
        axes.annotate(defence["short"], place, xytext=(4, 4), textcoords="offset points", fontsize=7, color=MUTED)
    alone = [defence for defence in sweep["defences"] if defence["training"] != SUPPRESS]
    for number, defence in enumerate(alone, 1):
        if defence in measured:
            _point(axes, defence["measures"], measure, look(number), defence["name"])
    axes.set_title(sweep["labels"][measure])
    axes.set_xlabel("Test accuracy")
    axes.xaxis.set_major_formatter(percent_axis())
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(0.12)


def _point(axes: Any, measures: Mapping[str, Any], measure: str, appearance: Look, label: Optional[str]) -> None:
    """Draw one defence with its two intervals."""
    accuracy, metric = measures["accuracy"], measures[measure]
    axes.errorbar(accuracy["value"], metric["value"], xerr=_reach(accuracy), yerr=_reach(metric),
                  color=appearance.colour, marker=appearance.marker, markersize=5, linewidth=1.0, linestyle="",
                  label=label, zorder=2)


def _reach(metric: Mapping[str, Any]) -> Optional[list[list[float]]]:
    """Return how far the interval reaches below and above the value, as error bars want it."""
    interval = bounds(metric)
    if interval is None:
        return None
    return [[max(metric["value"] - interval[0], 0.0)], [max(interval[1] - metric["value"], 0.0)]]


def in_words(sweep: Sweep) -> str:
    """Say the figure for a reader who cannot see it."""
    said = [f"{d['name']} {percent(d['measures']['accuracy']['value'], 1)}" for d in sweep["defences"]
            if has_value(d["measures"].get("accuracy"))]
    return "Test accuracy by defence: " + "; ".join(said)


def sweep_note(sweep: Sweep) -> str:
    """Say what the measures were taken on, and what images that nobody gave away would score."""
    controls = sweep["controls"]
    said = "; ".join(f"{title}: confidence {controls[key]['confidence']:.3f}, SSIM {controls[key]['ssim']:.3f}"
                     for key, title in (("mean_image", "the mean image"), ("original", "the originals"))
                     if key in controls)
    return (f"Each network is trained on half of a pool of {count(sweep['pool'])} training images, other halves for "
            f"each; the same halves and seeds in every defence. Inversion: {count(sweep['images'])} members and as "
            f"many non-members per network and layer, judged by a {sweep['judge']} trained outside the pool. "
            f"Membership: the defence's other networks are the shadows. For comparison, {said}.")
