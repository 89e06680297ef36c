"""A deletion audit on the report's page: the tables of a request, and its picture of gap against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from matplotlib.figure import Figure

from mindleak.audits.deletion.words import (
    ATTACKS,
    BEFORE,
    COLUMNS,
    CONTROLS,
    DONE,
    FULL,
    METHOD_NAMES,
    SHARDED,
    SHARDED_BEFORE,
    U_LIRA,
    audited,
    counted,
    recorded,
    request_words,
)
from mindleak.evaluation.metric import Record
from mindleak.reporting.canvas import blank, house_style, percent_axis
from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.page import Page, Section
from mindleak.reporting.palette import MUTED, look
from mindleak.reporting.wording import count, has_value

HERE = Path(__file__).parent
# Points whose costs differ by less than this share are drawn side by side.
NEAR = 0.08


def deletion_sections(results: Sequence[Record], page: Page) -> list[Section]:
    """Return one section with a part per request, and the ledger of the run directory where it has one."""
    if not results:
        return []
    parts = [{"title": f"{result['subject']}: {request_words(result['request'])}", "note": note(result),
              "tables": deletion_tables(result), "further": further_tables(result),
              "drawn": page.hang(f"deletion-{number}", gap_figure(result), _caption(result), _in_words(result)),
              "traps": [f"{METHOD_NAMES[entry['method']]}: {entry['traps']}" for entry in result["methods"]
                        if "traps" in entry]} for number, result in enumerate(audited(results))]
    ledgers = [{"title": f"{result['subject']}: ledger of deletions", "table": ledger_table(result["ledger"]),
                "last_hash": result["ledger"]["last_hash"]} for result in recorded(results)]
    return [page.section(HERE / "section.html.j2", "deletion", "Deletion", parts=parts, ledgers=ledgers,
                         heading="Deletion: are the deleted samples forgotten")]


def deletion_tables(result: Record) -> list[Table]:
    """Return what the networks can do and what it cost, and what attacks make of them; a row per method."""
    able, attacked = (Table(f"{title}: mean over {result['models']} networks", ["Method", *columns])
                      for title, columns in (
                          ("Accuracy and cost", (*COLUMNS.values(), "Sample-epochs", "Seconds")),
                          ("Attacks on deleted samples", (*ATTACKS.values(), "U-LiRA less full retraining's"))))
    able.groups = [[Row(_name(entry), "", [*([able.metric(key.partition("/")[0], entry["measures"].get(key))]
                                             for key in COLUMNS),
                                           [plain_cell(round(entry["sample_epochs"]))],
                                           [Cell(f"{entry['seconds']:.1f}")]], _is_control(entry))
                    for entry in result["methods"]]]
    attacked.groups = [[Row(_name(entry), "", [*([attacked.metric(key.partition("/")[0], entry["measures"].get(key))]
                                                 for key in ATTACKS),
                                               [_gap(attacked, entry["gaps"].get(U_LIRA))]], _is_control(entry))
                        for entry in result["methods"]]]
    return [able, attacked]


def further_tables(result: Record) -> list[Table]:
    """Return relearning times, and how the hyper-parameters of approximate methods were chosen, where there are any."""
    again = Table(f"Relearning: steps until known as before, mean over {result['models']} networks",
                  ["Method", "Deleted samples", "Never-seen samples", "Doublings sooner",
                   "Not known again"])
    again.groups = [[Row(_name(entry), "", [[again.metric("steps", entry["relearning"]["steps"], of="deleted samples")],
                                            [again.metric("steps", entry["relearning"]["control"],
                                                          of="never-seen samples")],
                                            [again.metric("doublings", entry["relearning"]["faster"])],
                                            [Cell(f"{entry['relearning']['unreached']} of {2 * result['models']}")]],
                         _is_control(entry))
                     for entry in result["methods"] if entry.get("relearning")]]
    tried = Table(f"Hyper-parameters, chosen on another request: score of {result['validation_models']} networks, 1 "
                  "being a full retraining", ["Method", "Hyper-parameters", "Score", "Chosen"])
    tried.groups = [[Row(_name(entry), "", [[Cell(_settings(each["settings"]))],
                                            [plain_cell(None) if each["score"] is None
                                             else Cell(f"{each['score']:.3f}")],
                                            [Cell("yes" if each["settings"] == entry["settings"] else "")]])
                     for entry in result["methods"] for each in entry.get("tried", ())]]
    return [table for table in (again, tried) if table.groups[0]]


def _settings(settings: Mapping[str, Any]) -> str:
    """Write hyper-parameters."""
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in settings.items() if value is not None)


def ledger_table(ledger: Record) -> Table:
    """Return a row per deletion of a ledger."""
    done = sum(entry["state"] == DONE for entry in ledger["entries"])
    table = Table(f"{counted(done, 'deletion')} from {count(ledger['samples'])} samples in "
                  f"{counted(ledger['shards'], 'shard')} of {counted(ledger['slices'], 'slice')}",
                  ["Deletion", "When", "State", "Request", "Samples", "Shards retrained", "Sample-epochs", "All anew",
                   "Digest"])
    table.groups = [[Row(str(entry["number"]), "", [
        [Cell(entry["when"])], [Cell(entry["state"])], [Cell(entry["request"])], [plain_cell(entry["count"])],
        [plain_cell(entry["shards"])],
        *([plain_cell(cost)] for cost in entry["sample_epochs"]), [Cell(entry["rows_digest"][:12])]])
        for entry in ledger["entries"]]]
    return table


def _name(entry: Record) -> str:
    name = METHOD_NAMES[entry["method"]]
    return name[0].upper() + name[1:]


def _is_control(entry: Record) -> bool:
    return entry["method"] in CONTROLS


def _gap(table: Table, gap: Optional[Mapping[str, Any]]) -> Cell:
    """Return the difference from a full retraining, and whether it was shown to be within the margin."""
    if gap is None:
        return plain_cell(None)
    cell = table.metric("auc_difference", gap)
    said = f"within {gap['margin']:g}" if gap["equivalent"] else f"not shown within {gap['margin']:g}"
    return Cell(cell.text, cell.interval, said if has_value(gap) else "", cell.note)


def gap_figure(result: Record) -> Optional[Figure]:
    """Draw every method's distance from a full retraining against its cost; the band is the margin.

    Bars are the intervals that are held against the margin.
    """
    drawn = [entry for entry in result["methods"]
             if has_value(entry["gaps"].get(U_LIRA)) and entry["method"] not in (BEFORE, SHARDED_BEFORE)]
    if not drawn:
        return None
    full = next(entry for entry in result["methods"] if entry["method"] == FULL)
    with house_style():
        figure = blank(6.4, 3.6)
        axes = figure.subplots()
        axes.axhspan(-result["margin"], result["margin"], color=MUTED, alpha=0.15, linewidth=0)
        axes.axhline(0.0, color=MUTED, linewidth=0.9)
        places: list[float] = []
        for number, entry in enumerate(drawn):
            gap, shown = entry["gaps"][U_LIRA], look(number)
            inner = gap["inner"] or [gap["value"]] * 2
            share = _beside(places, max(entry["sample_epochs"] / full["sample_epochs"], 1e-4))
            places.append(share)
            axes.errorbar(share, gap["value"], yerr=[[gap["value"] - inner[0]], [inner[1] - gap["value"]]],
                          color=shown.colour, marker=shown.marker, markersize=6, linestyle="",
                          label=METHOD_NAMES[entry["method"]])
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(percent_axis())
        axes.set_xlabel("Sample-epochs, as a share of a full retraining's")
        axes.set_ylabel("AUC less full retraining's")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _beside(places: Sequence[float], share: float) -> float:
    """Return where a point is drawn: a little to the right where its bar would hide another's."""
    while any(abs(share / place - 1) < NEAR for place in places):
        share *= 1 + NEAR
    return share


def _caption(result: Record) -> str:
    return ("How much more U-LiRA tells of deleted samples than after a full retraining (upwards), against what the "
            "method costs; points of equal cost stand side by side. The band is the margin of "
            f"{result['margin']:g}; a bar wholly within it was shown to be equivalent.")


def _in_words(result: Record) -> str:
    said = [f"{METHOD_NAMES[entry['method']]} {entry['gaps'][U_LIRA]['value']:+.3f}" for entry in result["methods"]
            if has_value(entry["gaps"].get(U_LIRA))]
    return f"Difference of U-LiRA's AUC from a full retraining's: {'; '.join(said)}"


def note(result: Record) -> str:
    """Say who was trained on what, and what the goal of a deletion is."""
    sharding = result["sharding"]
    sharded = (f" Sharded networks: {counted(sharding['shards'], 'shard')} of {counted(sharding['slices'], 'slice')}."
               if any(entry["method"] == SHARDED for entry in result["methods"]) else "")
    who = (f"{result['models']} networks, each trained on {count(result['members'])} samples, of which "
           f"{count(result['forgotten'])} are deleted; {count(result['never_seen'])} of the same classes and split "
           "were never seen.")
    return (f"{who} Each network is attacked with the others as references, all deleted from by the same method. The "
            "goal of a deletion is the full retraining's figure, not one half. An area by the loss well below one half "
            "is over-forgetting: deleted samples are told by being less known than never-seen ones. Equivalence is "
            f"tested at 5 % for each method by itself.{sharded}")
