"""Models that are no networks: scikit-learn's, fitted to the flat pixels instead of trained in epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import MODELS, UNITS

DECISION_TREE, RANDOM_FOREST, KMEANS = "decision_tree", "random_forest", "kmeans"
ESTIMATORS = (DECISION_TREE, RANDOM_FOREST, KMEANS)
_TREES = (DECISION_TREE, RANDOM_FOREST)


@dataclass(frozen=True)
class Estimator(Section, per_subject=True):
    """Models of scikit-learn's that are no networks: model.name=decision_tree, random_forest or kmeans."""

    max_depth: Optional[int] = setting(None, "levels of a tree at most (decision_tree, random_forest); null: until "
                                       "its leaves hold one class each", least=1, most=UNITS, needs_models=_TREES)
    min_leaf: int = setting(1, "images that a leaf of a tree holds at least (decision_tree, random_forest)", least=1,
                            needs_models=_TREES)
    trees: int = setting(100, "trees of model.name=random_forest, each fitted to images drawn with replacement",
                         least=1, most=MODELS, needs_models=(RANDOM_FOREST,))
    centroids: int = setting(5, "centroids a class, on average, of model.name=kmeans", least=1, most=UNITS,
                             needs_models=(KMEANS,))
