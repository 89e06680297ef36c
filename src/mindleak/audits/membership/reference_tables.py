"""Tables of the attacks that use reference models: one row per attack."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.wording import Subjects, count, metric_label, percent

_OWN_ROC = "tpr_own_roc"
_PPV_AT = "0.01"


def reference_table(result: Record, subjects: Subjects) -> Table:
    """Return the attacks on one subject: areas, and rates at thresholds of the references."""
    attacks = result["attacks"]
    keys = _keys(attacks)
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: {count(result['n_in'])} members, {count(result['n_out'])} non-members, {result['n_references']} "
        f"references of {count(result['reference_size'])} samples, population {count(result['population'])}",
        ["Attack", *map(metric_label, keys)],
    )
    table.groups = [[Row(attack["attack"], "", [[table.metric(key, attack["overall"].get(key))] for key in keys])
                     for attack in attacks]]
    return table


def reference_worth(result: Record, subjects: Subjects) -> Table:
    """Return what the attacks' accusations are worth: PPV by the share of members, ε, and the same on references."""
    attacks = result["attacks"]
    priors = list(dict.fromkeys(key for attack in attacks for key in attack["ppv"].get(_PPV_AT, {})))
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: what an accusation is worth, at the references' threshold for 1 % FPR",
        ["Attack", *map(metric_label, priors), "ε at least", "AUC on references, mean ± sd"],
    )
    table.groups = [[
        Row(
            attack["attack"],
            "",
            [
                *([table.metric(key, attack["ppv"].get(_PPV_AT, {}).get(key), with_fpr=False)] for key in priors),
                [_epsilon(attack)],
                [_mean_and_deviation(attack["as_targets"])],
            ],
        )
        for attack in attacks
    ]]
    return table


def reference_details(result: Record, subjects: Subjects) -> Table:
    """Return what the figures of ``reference_table`` rest on: own-ROC rates, the bootstrap, ties, what was tuned."""
    attacks = result["attacks"]
    own = list(dict.fromkeys(key for attack in attacks for key in attack["overall"] if key.startswith(_OWN_ROC)))
    # A rate has a column for its bootstrap interval only if the bootstrap gave some attack one.
    drawn = list(dict.fromkeys(key for attack in attacks
                               for key, metric in attack["bootstrap"].items() if metric["ci"]))
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: thresholds from the subject's own ROC, and what the attacks rest on",
        [
            "Attack",
            *map(metric_label, own),
            *(f"{metric_label(key)}, bootstrap" for key in drawn),
            "Ties at the 1 % threshold",
            "Settings",
        ],
    )
    table.groups = [[
        Row(
            attack["attack"],
            "",
            [
                *([table.metric(key, attack["overall"].get(key))] for key in own),
                *([table.metric(key, attack["bootstrap"].get(key))] for key in drawn),
                [plain_cell((attack["overall"].get(f"tpr@{_PPV_AT}") or {}).get("ties"))],
                [Cell(_settings(attack["notes"]))],
            ],
        )
        for attack in attacks
    ]]
    return table


def _keys(attacks: Sequence[Record]) -> list[str]:
    """Return the metrics of the main table, in the order of the attacks' own."""
    found = dict.fromkeys(key for attack in attacks for key in attack["overall"] if not key.startswith(_OWN_ROC))
    order = {"auc": 0, "balanced_accuracy": 1, "balanced_accuracy_per_class": 2}
    return sorted(found, key=lambda key: order.get(key, 3))


def _epsilon(attack: Record) -> Cell:
    bound = attack["epsilon"]
    if bound is None:
        return plain_cell(None)
    return Cell(f"{bound['epsilon']:.2f}", detail=f"{percent(1 - bound['alpha'])} level, δ {bound['delta']:g}")


def _mean_and_deviation(targets: Record) -> Cell:
    area = targets.get("auc") or {}
    if area.get("mean") is None:
        return plain_cell(None)
    deviation = "" if area["sd"] is None else f" ± {area['sd']:.3f}"
    return Cell(f"{area['mean']:.3f}{deviation}", detail=f"{targets['targets']} targets")


def _settings(notes: Record) -> str:
    """Write what an attack was run with; the σ in one phrase is enough."""
    shown = {key: value for key, value in notes.items() if key != "sigma"}
    return "; ".join(f"{key.replace('_', ' ')}: {value:g}" if isinstance(value, float)
                     else f"{key.replace('_', ' ')}: {value}" for key, value in shown.items()) or "none"
