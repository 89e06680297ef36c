"""What methods and measures of a deletion audit are called on the page and in a terminal."""

from __future__ import annotations

METHOD_NAMES = {
    "before": "before the deletion", "full": "full retraining", "never": "never saw the samples (control)",
    "sharded": "sharded retraining", "fine_tune": "fine-tuning on the rest", "gradient_ascent": "gradient ascent",
    "random_labels": "random labels", "bad_teacher": "bad teacher", "ssd": "selective synaptic dampening",
    "scrub": "SCRUB", "sparse_fine_tune": "pruning, then fine-tuning",
    "suppress_fine_tune": "suppression, then fine-tuning",
}
COLUMNS = {
    "accuracy/test": "Test accuracy", "accuracy/retained": "Accuracy, retained",
    "accuracy/forgotten": "Accuracy, deleted",
    "accuracy/never_seen": "Accuracy, never seen",
}
ATTACKS = {
    "auc/loss": "AUC, loss alone", "auc/u_lira": "AUC, U-LiRA", "excess@0.01/u_lira": "TPR − FPR at 1 %, U-LiRA",
    "auc/two_models": "AUC, both models", "auc/retained": "AUC, retained against never seen",
}
