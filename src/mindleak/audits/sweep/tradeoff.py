"""A sweep on the page: one table of all variants, and every leak drawn against what it is held against.

For defences that is the accuracy they cost; for variants of the subject the generalisation gap.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Optional

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mindleak.audits.sweep.findings import SUPPRESS, label_of
from mindleak.reporting.canvas import blank, house_style, percent_axis
from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.palette import MUTED, Look, look
from mindleak.reporting.wording import bounds, count, has_value, percent

Sweep = Mapping[str, Any]
PANELS_PER_ROW = 3
# So many characters fit above a panel.
TITLE_WIDTH = 32

# Per question of a sweep, what a variant is called and what a leak is drawn against.
NOUNS = {"defence": "defence", "subject": "network"}
AXES = {"defence": ("accuracy", "Test accuracy"), "subject": ("gap", "Generalisation gap")}


def sweep_tables(sweep: Sweep) -> list[Table]:
    """One row per variant, in tables that fit a page: accuracies first, then what each family measured.

    Each value is a mean over networks with its interval.
    """
    headings = dict.fromkeys(measure["table"] for measure in sweep["measures"].values() if measure["table"] is not None)
    tables = [_table(sweep, heading, _measures(sweep, heading)) for heading in headings]
    return [table for table in tables if len(table.head) > 1]


def _measures(sweep: Sweep, heading: str) -> list[str]:
    """Return the measures of a table that there are; of failed attacks only where there were any."""
    found = []
    for name, measure in sweep["measures"].items():
        values = [variant["measures"][name]["value"] for variant in sweep["variants"] if name in variant["measures"]]
        if measure["table"] == heading and values and (not measure["failed"] or any(values)):
            found.append(name)
    return found


def _table(sweep: Sweep, heading: str, measures: list[str]) -> Table:
    noun = NOUNS[sweep["question"]].capitalize()
    table = Table(
        f"{noun}s{', ' + heading if heading else ''}: mean over {sweep['models']} trainings each, on "
        f"{trained_on(sweep)} images",
        [noun, *(label_of(sweep, measure) for measure in measures)],
    )
    table.groups = [[Row(variant["name"], "" if heading else variant["setting"],
                         [[_cell(table, measure, variant["measures"], sweep)] for measure in measures])
                     for variant in sweep["variants"]]]
    return table


def trained_on(sweep: Sweep) -> str:
    """Return how many images a network is trained on, from the smallest to the largest."""
    sizes = sorted({variant["n_train"] for variant in sweep["variants"]})
    return count(sizes[0]) if len(sizes) == 1 else f"{count(sizes[0])} to {count(sizes[-1])}"


def _cell(table: Table, measure: str, measures: Mapping[str, Any], sweep: Sweep) -> Cell:
    """Return the cell of a measure, a rate at a threshold with the mean of what its thresholds realise."""
    metric = measures.get(measure)
    if metric is None:
        return plain_cell(None)
    kind, _, of = measure.partition("/")
    realised = measures.get(sweep["measures"][measure]["realised"])
    return table.metric(kind, metric if realised is None else {**metric, "fpr": realised["value"]}, of=of)


def tradeoff_figure(sweep: Sweep) -> Optional[Figure]:
    """Draw every leak against accuracy or gap, one panel each.

    The degrees of suppression are joined by a line in the order of the configuration; every other variant is a
    point of its own. Bars are the intervals over networks. None without a variant to draw.
    """
    held_against = AXES[sweep["question"]][0]
    shown = [variant for variant in sweep["variants"] if has_value(variant["measures"].get(held_against))]
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


def _panel(axes: Any, variants: list[Mapping[str, Any]], measure: str, sweep: Sweep) -> None:
    """Draw one leak: suppression as one chain from the baseline on, the others point by point."""
    across, title = AXES[sweep["question"]]
    measured = [variant for variant in variants if has_value(variant["measures"].get(measure))]
    family = [variant for variant in measured if variant["training"] == SUPPRESS]
    baseline = [variant for variant in measured if variant["name"] == sweep["baseline"]]
    chain = [(v["measures"][across]["value"], v["measures"][measure]["value"]) for v in baseline + family]
    if len(chain) > 1:
        axes.plot(*zip(*chain), color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    for number, variant in enumerate(family):
        _point(axes, variant["measures"], (across, measure), look(0),
               "suppress (share of zeros)" if number == 0 else None)
        place = variant["measures"][across]["value"], variant["measures"][measure]["value"]
        axes.annotate(variant["short"], place, xytext=(4, 4), textcoords="offset points", fontsize=7, color=MUTED)
    alone = [variant for variant in sweep["variants"] if variant["training"] != SUPPRESS]
    for number, variant in enumerate(alone, 1):
        if variant in measured:
            _point(axes, variant["measures"], (across, measure), look(number), variant["name"])
    axes.set_title(textwrap.fill(label_of(sweep, measure), TITLE_WIDTH))
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter(percent_axis())
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(0.12)


def _point(axes: Any, measures: Mapping[str, Any], names: tuple[str, str], appearance: Look,
           label: Optional[str]) -> None:
    """Draw one variant with its two intervals."""
    across, metric = (measures[name] for name in names)
    axes.errorbar(across["value"], metric["value"], xerr=_reach(across), yerr=_reach(metric),
                  color=appearance.colour, marker=appearance.marker, markersize=5, linewidth=1.0, linestyle="",
                  label=label, zorder=2)


def _reach(metric: Mapping[str, Any]) -> Optional[list[list[float]]]:
    """Return how far the interval reaches below and above the value, as error bars want it."""
    interval = bounds(metric)
    if interval is None:
        return None
    return [[max(metric["value"] - interval[0], 0.0)], [max(interval[1] - metric["value"], 0.0)]]


def sweep_caption(sweep: Sweep) -> str:
    """Say what the figure shows and where in it is good."""
    if sweep["question"] == "subject":
        return "Every network: generalisation gap (rightwards) against what it gives away (upwards)."
    return ("Every defence: test accuracy (rightwards) against what it gives away (upwards), so the lower right corner "
            "is best; the numbers beside the suppressed points are the shares of weights to be set to zero.")


def in_words(sweep: Sweep) -> str:
    """Say the figure for a reader who cannot see it."""
    said = [f"{d['name']} {percent(d['measures']['accuracy']['value'], 1)}" for d in sweep["variants"]
            if has_value(d["measures"].get("accuracy"))]
    return f"Test accuracy by {NOUNS[sweep['question']]}: " + "; ".join(said)


def sweep_note(sweep: Sweep) -> str:
    """Say what the measures were taken on, and what each family says of its own."""
    said = ("Each network is trained on half of a pool of training images, other halves for each; variants on equally "
            "many images have the same halves and seeds.")
    return " ".join([said, *(gauge["note"] for gauge in sweep["gauges"].values() if "note" in gauge)])
