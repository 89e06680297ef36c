"""The ablation of the improved attack: what each variant reaches on one subject, and what it gains over the posterior.

All variants learn from the same shadows and are judged on the same samples, so their areas are compared in pairs
(DeLong et al. 1988, ``evaluation.paired``). Intervals speak of this subject and these shadows, on other samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.attacks.membership.improved import ALL, BASELINE, AblationVariant
from mindleak.attacks.membership.metric import balanced_threshold
from mindleak.attacks.membership.report import LEVEL, TARGET_FPRS
from mindleak.attacks.membership.shadow import ShadowAttackResult
from mindleak.evaluation.metric import Metric, undefined
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc, balanced_accuracy_at
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold


def ablation_record(variants: Sequence[AblationVariant], results: Mapping[str, ShadowAttackResult]) -> dict[str, Any]:
    """Return the ablation's figures as JSON values, one record per variant.

    ``overall`` holds AUC, balanced accuracy and TPR at the thresholds of the shadow kept for them; ``change`` the
    paired difference of AUC to the posterior alone, ``change_from_all`` that to all groups; ``threshold_shadow_auc``
    the area on that shadow, by which a variant can be chosen without a look at the subject.

    Args:
        variants: the first two being ``BASELINE`` and ``ALL``.
        results: by the variants' names.
    """
    return {"baseline": BASELINE, "all": ALL, "n_variants": len(variants),
            "variants": [{"name": each.name, "features": list(each.features), "attack_model": each.model,
                          "one_per_class": each.per_class, **_figures(results[each.name]),
                          "change": _change(results[BASELINE], results[each.name]),
                          "change_from_all": _change(results[ALL], results[each.name])} for each in variants]}


def _figures(result: ShadowAttackResult) -> dict[str, Any]:
    kept, chosen = result.threshold_shadow, result.attacked
    scores, members = result.scores[chosen], result.members[chosen]
    known = np.isfinite(kept.scores)
    inside, outside = kept.scores[known & kept.members], kept.non_members()
    if min(len(inside), len(outside)) == 0:
        balanced = undefined("the threshold shadow has no scores of both kinds", len(members), level=LEVEL)
    else:
        balanced = balanced_accuracy_at(scores, members, balanced_threshold(inside, outside), LEVEL)
    rates = {f"tpr@{rate:g}": tpr_at_threshold(scores, members, threshold_at_fpr(outside, rate), LEVEL)
             for rate in TARGET_FPRS}
    overall = {"auc": auc(scores, members, LEVEL), "balanced_accuracy": balanced, **rates}
    return {"overall": {name: metric.to_json() for name, metric in overall.items()},
            "threshold_shadow_auc": auc(kept.scores[known], kept.members[known], LEVEL).to_json()}


def _change(before: ShadowAttackResult, after: ShadowAttackResult) -> dict[str, Any] | None:
    """Return the paired difference of areas; None between a variant and itself."""
    if before is after:
        return None
    both = before.attacked & after.attacked
    found: Metric = auc_difference(before.scores[both], after.scores[both], before.members[both], LEVEL)
    return found.to_json()
