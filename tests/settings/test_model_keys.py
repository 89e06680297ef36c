"""Keys that only networks, or only some of the models that are none, look at."""

from __future__ import annotations

import pytest

from mindleak import settings as config
from mindleak.errors import InputError

NO_NETWORK = "which is no network; omit it, or set another model.name"


@pytest.mark.parametrize(("given", "message"), [
    (["model.name=kmeans", "estimator.trees=3"], "estimator.trees has no effect unless model.name=random_forest, "
     "which here is kmeans; set that too, or omit estimator.trees"),
    (["estimator.max_depth=3"], "estimator.max_depth has no effect unless model.name=decision_tree or random_forest, "
     "which here is lenet5_bias"),
    (["model.name=decision_tree", "training.epochs=3"], f"training.epochs has no effect on model.name=decision_tree, "
     f"{NO_NETWORK}"),
    (["model.name=decision_tree", "training.method=dp_sgd"], "training.method has no effect"),
    (["model.name=decision_tree", "membership.training.epochs=3"], "membership.training.epochs has no effect"),
    (["model.name=kmeans", "prune.sparsity=0.5"], "prune.sparsity has no effect on model.name=kmeans"),
    (["model.name=kmeans", "model.hidden_size=3"], "model.hidden_size has no effect on model.name=kmeans"),
    (["model.name=kmeans", "model.checkpoint=x.ckpt"], "model.checkpoint has no effect on model.name=kmeans"),
    (["subjects.a.model.name=kmeans", "subjects.a.training.epochs=2"], "subjects.a.training.epochs has no effect"),
    (["subjects.a.model.name=kmeans", "subjects.b.model.name=decision_tree", "training.epochs=2"],
     "training.epochs has no effect on model.name=decision_tree and kmeans"),
    (["subjects.a.model.name=kmeans", "subjects.a.estimator.trees=2", "subjects.b.model.name=random_forest"],
     "subjects.a.estimator.trees has no effect unless model.name=random_forest, which here is kmeans"),
    (["model.name=kmeans", "estimator.centroids=0"], "estimator.centroids is 0; expected at least 1"),
    (["model.name=kmeans", "estimator.centroid=1"], "did you mean 'estimator.centroids'?"),
], ids=lambda value: " ".join(value)[:60])
def test_what_a_model_does_not_look_at_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        config.load(None, given)
    assert message in str(raised.value)


def test_what_subjects_have_in_common_may_be_for_some_of_them() -> None:
    merged = config.load(None, ["subjects.net.model.name=lenet5_bias", "subjects.forest.model.name=random_forest",
                                "subjects.tree.model.name=decision_tree", "training.epochs=2", "estimator.trees=3"])
    assert (merged.training.epochs, merged.estimator.trees) == (2, 3)


def test_variants_of_a_sweep_are_looked_at_too() -> None:
    given = ["model.name=kmeans", "sweep.variants.a.model.name=lenet5_bias", "sweep.baseline=a", "training.epochs=2"]
    assert config.load(None, given).training.epochs == 2
