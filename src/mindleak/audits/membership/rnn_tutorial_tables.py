"""The RNN tutorial's membership attack in the report: how it is judged, what it prints, and the others beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL
from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.wording import NBSP, Subjects, count, has_value, number, percent, written_bounds

_JUDGED = {
    AS_IN_TUTORIAL: "as the tutorial does",
    "as_drawn": "all as drawn, across the splits",
    "balanced": "balanced classes, across the splits",
    "same_split": "balanced classes, same split: membership alone",
    "split_control": "null control: non-members of the two splits",
}
_TRAINED = {
    AS_IN_TUTORIAL: "Attack models trained as the tutorial does: every non-member twice",
    "none": "Trained without balancing",
    "once": "Trained on balanced classes, every row once",
}
_PARTS = {"above_chance": "Across the splits", "split": "of this: difference between the splits",
          "membership": "of this: membership"}


def judged_table(result: Record, subjects: Subjects) -> Table:
    """Return every way of judging the attack, grouped by how its attack models were trained."""
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: {result['n_shadows']} shadows of {count(result['train_size'])} samples, judged in several ways",
        ["Judged on", "Members", "Non-members", "Accuracy", "Always “member”", "Balanced accuracy", "AUC",
         "Smallest visible AUC, asked alone"],
    )
    for trained, heading in _TRAINED.items():
        rows = [each for each in result["evaluations"] if each["training"] == trained]
        table.groups.append([Row(heading, "", [[Cell("")] for _ in table.head[1:]]),
                             *(_judged_row(table, each) for each in rows)])
    return table


def _judged_row(table: Table, judged: Record) -> Row:
    smallest = judged["detectable"]
    return Row(
        _JUDGED[judged["evaluation"]],
        "",
        [
            [_counted(judged["n_in"], judged["counted_in"])],
            [_counted(judged["n_out"], judged["counted_out"])],
            [table.metric("accuracy", judged["accuracy"])],
            [plain_cell(None) if judged["always_member"] is None else Cell(percent(judged["always_member"], 2))],
            [table.metric("balanced_accuracy", judged["balanced_accuracy"])],
            [table.metric("auc", judged["auc"])],
            [plain_cell(None) if smallest is None else Cell(number("auc", smallest))],
        ],
        control=True,
    )


def _counted(distinct: int, rows: int) -> Cell:
    """Write how many samples there are, and how many rows they make where one counts twice."""
    return Cell(count(distinct), detail=f"{count(rows)} rows" if rows != distinct else "")


def parts_table(result: Record, subjects: Subjects) -> Table:
    """Return what balanced accuracy has above chance, and its two parts."""
    name = subjects.name(result["subject"]).full
    table = Table(f"{name}: balanced accuracy above chance, and what it is made of", ["Part", "Points"])
    table.groups = [[Row(label, "", [[_points(table, result["decomposition"][part])]], control=part != "above_chance")
                     for part, label in _PARTS.items()]]
    return table


def _points(table: Table, metric: Record) -> Cell:
    """Return a cell in percentage points."""
    if not has_value(metric):
        return table.missing(metric.get("reason") or "no reason was recorded")
    low, high = metric["ci"]
    return Cell(_signed(metric["value"]), f"[{_signed(low)}, {_signed(high)}]")


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "\u2212")


def classes_table(result: Record, subjects: Subjects) -> Table:
    """Return what the tutorial prints of every class."""
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: per class, as the tutorial prints it",
        ["Class", "Training number", "Testing number", "Tested in whole batches", "Accuracy"],
    )
    table.groups = [[
        Row(
            each["name"],
            "",
            [
                [_whole(each["training_number"])],
                [_whole(each["testing_number"])],
                [_whole(each["tested"])],
                [_class_accuracy(table, result, each)],
            ],
        )
        for each in result["classes"]
    ]]
    return table


def _whole(number_of: int) -> Cell:
    return Cell(count(number_of))


def _class_accuracy(table: Table, result: Record, each: Record) -> Cell:
    if each["accuracy"] is None:
        reason = result["skipped_classes"].get(each["name"]) or "no whole batch of rows to test"
        return table.missing(reason)
    return Cell(percent(each["accuracy"], 2))


def comparison_table(result: Record, subjects: Subjects) -> Table:
    """Return the other attacks on the same samples beside the RNN tutorial's."""
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: the RNN tutorial's attack and others on the same samples of the training split",
        ["Attack", "Members / non-members", "AUC", "AUC of the tutorial's", "Difference"],
    )
    table.groups = [[
        Row(
            each["attack"],
            "",
            [
                [Cell(f"{count(each['n_in'])} / {count(each['n_out'])}")],
                [table.metric("auc", each["auc"])],
                [table.metric("auc", each["own_auc"])],
                [table.metric("difference", each["difference"])],
            ],
        )
        for each in result["compared"]
    ]]
    return table


def rnn_tutorial_tables(results: Sequence[Record], subjects: Subjects) -> list[dict[str, Any]]:
    """Return, per subject, the tables and the classification report that the page shows."""
    return [{"tables": [table for table in (judged_table(each, subjects), parts_table(each, subjects),
                                            comparison_table(each, subjects)) if table.filled],
             "classes": classes_table(each, subjects), "report": each["report"], "saved": list(each["saved"].values())}
            for each in results]


def rnn_tutorial_lines(results: Sequence[Record], subjects: Subjects) -> list[str]:
    """Return the attacks as lines for a terminal: the tutorial's classification report, then every way of judging."""
    lines: list[str] = []
    for result in results:
        name = subjects.name(result["subject"]).full
        lines.append(f"{name}: the RNN tutorial's attack, {result['n_shadows']} shadows")
        lines += [f"  class {each['name']}: training number is {each['training_number']}, testing number is "
                  f"{each['testing_number']}, accuracy {_plain_accuracy(each['accuracy'])}"
                  for each in result["classes"]]
        lines += [line for line in result["report"].splitlines() if line]
        for each in result["evaluations"]:
            figures = "  ".join(_short(label, key, each[key])
                                for label, key in (("bal. acc.", "balanced_accuracy"), ("AUC", "auc")))
            lines.append(f"  {each['training']:>8} {each['evaluation']:<13} {figures}".replace(NBSP, " "))
        lines += [f"  saved: {path}" for path in result["saved"].values()]
    return lines


def _plain_accuracy(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _short(label: str, key: str, metric: Record) -> str:
    if not has_value(metric):
        return f"{label} -"
    interval = written_bounds(key, metric)
    return f"{label} {number(key, metric['value'])}" + (f" [{interval[0]}, {interval[1]}]" if interval else "")
