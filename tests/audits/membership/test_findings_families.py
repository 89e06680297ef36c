"""Where nothing is there, an audit's words say so in at least nineteen of twenty audits, question by question."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindleak.evaluation.empirical_epsilon import epsilon_at
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc, tpr_at_fpr
from mindleak.evaluation.thresholds import Threshold, tpr_at_threshold
from records import audited, texts

SAMPLES = 240
MEMBERS = np.arange(SAMPLES) < SAMPLES // 2
REFERENCE_ATTACKS = ("lira_online", "rmia_online", "loss")
# What each question's findings say, and only they, where something was shown.
CLAIMS = {
    "chance": ("better than chance", "below chance"),
    "rates": ("found more often", "found less often", "more than the"),
    "epsilon": ("ε is at least",),
    "suppression": ("rises by", "falls by"),
    "references": ("stronger:", "weaker:"),
    "improved": ("find more", "find less"),
    "ablation": ("raised by g", "lowered by", "is shown for g", "leaving out"),
    "inversion": ("they differ in",),
    "mean image": (" above the mean image", " below the mean image"),
}


def scored(generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=SAMPLES)


def leak(scores: np.ndarray) -> dict[str, Any]:
    """Figures of an attack; the threshold of other models is known exactly."""
    own = tpr_at_fpr(scores, MEMBERS, 0.01)
    return {"auc": auc(scores, MEMBERS).to_json(), "tpr_own_roc@0.01": own.to_json(),
            "tpr@0.01": tpr_at_threshold(scores, MEMBERS, Threshold(0.01, 1.0, 1000)).to_json()}


def attacked(folder: Path, subject: str, attack: str, scores: np.ndarray) -> dict[str, Any]:
    np.savez(folder / f"{subject}-{attack}.npz", rows=np.arange(SAMPLES), members=MEMBERS, scores=scores)
    return {"subject": subject, "attack": attack, "arrays": f"{subject}-{attack}.npz", "overall": leak(scores),
            "n_in": SAMPLES // 2, "n_out": SAMPLES // 2, "notes": [], "skipped_classes": {}}


def by_references(folder: Path, subject: str, generator: np.random.Generator) -> dict[str, Any]:
    scores = {attack: scored(generator) for attack in REFERENCE_ATTACKS}
    columns = {f"scores_{name}": one for name, one in scores.items()}
    np.savez(folder / f"{subject}.npz", rows=np.arange(SAMPLES), **columns)
    attacks = [{"attack": name, "overall": leak(one), "n_in": SAMPLES // 2, "n_out": SAMPLES // 2, "notes": {},
                "epsilon": epsilon_at(one, MEMBERS, 1.5).to_json()} for name, one in scores.items()]
    return {"subject": subject, "attacks": attacks, "arrays": f"{subject}.npz", "notes": []}


def ablation(subject: str, generator: np.random.Generator) -> dict[str, Any]:
    change = [auc_difference(scored(generator), scored(generator), MEMBERS).to_json() for _ in range(6)]
    return {"subject": subject, "attack_model": "fcnet", "one_per_class": True, "variants": [
        {"name": f"{start}g{number}", "change": change[number], "change_from_all": change[number]}
        for number, start in enumerate(["posterior + "] * 3 + ["all but "] * 3)]}


def inversion(subject: str, layer: str, generator: np.random.Generator) -> dict[str, Any]:
    change = [mean_metric(generator.normal(0, 0.1, 30), null=0.0).to_json() for _ in range(3)]
    return {"subject": subject, "layer": layer, "n": 30, "dead": 0, "arrays": "",
            "metrics": {"confidence": {"value": 0.5}},
            "differences": {"mean_image": {"confidence": change[0]},
                            "non_members": {"confidence": change[1], "ssim": change[2]}},
            "non_members": {"source": "training split", "n": 30}}


def null_audit(folder: Path, generator: np.random.Generator) -> list[str]:
    """Return the findings of an audit of two subjects by five attacks each, none of which finds anything."""
    subjects = [{"id": name, "model": "lenet5", "training": training, "data_digest": "d"}
                for name, training in (("plain", "ordinary"), ("sparse", "suppress"))]
    names = [record["id"] for record in subjects]
    body = audited(
        subjects=subjects,
        inversion=[inversion(name, layer, generator) for name in names[:1] for layer in ("conv1", "fc1", "fc2")],
        shadows=[attacked(folder, name, attack, scored(generator)) for name in names
                       for attack in ("shadow", "improved")],
        references=[by_references(folder, name, generator) for name in names],
        ablations=[ablation(name, generator) for name in names],
    )
    return texts(body, folder)


def false_alarms(sentences: list[str]) -> set[str]:
    said = [sentence for sentence in sentences if not sentence.startswith("Verdicts in words")]
    said = [sentence.replace("ε is at least", "") if "by itself" in sentence else sentence for sentence in said]
    return {question for question, claims in CLAIMS.items()
            if any(claim in sentence for sentence in said for claim in claims)}


@pytest.mark.parametrize("audits", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_null_audits_say_something_in_at_most_one_of_twenty(tmp_path: Path, audits: int) -> None:
    generator = np.random.default_rng(5)
    alarms = Counter(question for _ in range(audits) for question in false_alarms(null_audit(tmp_path, generator)))
    tolerated = 0.05 * audits + 3 * np.sqrt(audits * 0.05 * 0.95)
    assert all(count <= tolerated for count in alarms.values()), alarms
