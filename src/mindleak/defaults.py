"""Every configuration key with its default, and what defaults alone do not say: types, and sections of names."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "name": None,
    "seed": 0,
    # kernels: auto, mindspore or native (device.configure).
    # data_parallel: the processes of an msrun job share every batch of one training (mindleak train) instead of dealing
    # trainings out among them.
    "device": {"target": "CPU", "id": 0, "threads": 0, "kernels": "auto", "data_parallel": False},
    # image_size None: the images' own, or what the network was made for where they are too small for it.
    "data": {"name": "digits", "dir": None, "image_size": None, "resize": "bilinear"},
    "model": {
        # lenet5, the tutorial's, starts too flat to learn from data as small as the digits.
        "name": "lenet5_bias",
        "width": 1.0,
        "hidden_size": 128,
        "layers": 1,
        "sequence": "rows",
        # Of the recurrent networks: rnn, gru, lstm or clockwork.
        "cell": "lstm",
        "bidirectional": False,
        # Of the clockwork: a list, or how many of 1, 2, 4, …; None: four.
        "periods": None,
        "checkpoint": None,
        "members": None,
    },
    "training": {
        "method": "ordinary",
        # None: what the architecture asks for (20 for the recurrent ones, otherwise 10).
        "epochs": None,
        "batch_size": 32,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "constant",
        "schedule_every": 10,
        "schedule_factor": 0.5,
        "schedule_patience": 3,
    },
    "suppress": {
        "sparse_end": 0.95,
        "sparse_start": 0.0,
        "start_epoch": 3,
        "mask_times": 1000,
        "layers": "auto",
        "engine": "graph",
    },
    "dp": {
        "clip_norm": 1.0,
        # One of these two; the other follows.
        "noise_multiplier": None,
        "target_epsilon": None,
        "delta": 1e-5,
        "accountant": "pld",
    },
    "prune": {
        "sparsity": 0.95,
        "layers": "auto",
        "finetune_epochs": 0,
        # None: a tenth of training.learning_rate.
        "finetune_learning_rate": None,
    },
    "judge": {
        "model": "lenet5_bias",
        "epochs": 5,
        "batch_size": 32,
        "optimizer": "momentum",
        "learning_rate": 0.01,
        "momentum": 0.9,
    },
    "inversion": {
        "enabled": True,
        "engine": "batched",
        # One name or a list; None: the tutorial's fc1, or the last layer before the logits.
        "layer": None,
        "images": 30,
        "iterations": 100,
        "loss_weights": [1.0, 0.1, 5.0],
        # None: what the engine has by itself (batched: isotropic, sign, and a size that suits a CPU).
        "tv": None,
        "optimizer": None,
        "batch_size": None,
        "restarts": 1,
        "patience": 0,
    },
    "membership": {
        "enabled": True,
        # 'shadow' alone costs the least; the others need references (attacks/membership/names.py has them all).
        "attacks": ["shadow"],
        "references": 16,
        # Also ask for every image's mirror: 'mirror', where a mirrored image is an image of the same class.
        "augment": "none",
        "rmia": {"gamma": 2.0, "temperature": 1.0},
        "target_in": None,
        "target_out": None,
        "population": None,
        "shadow_pool": None,
        "shadows": 4,
        "training": {},
        "suppress": {},
        "dp": {},
        "prune": {},
        "attack": {
            "dim_hidden": 20,
            "epochs": 50,
            "batch_size": 100,
            "learning_rate": 0.01,
            "patience": 5,
        },
        # What the attack 'improved' looks at (attacks/membership/features.py has all groups) and what it learns with:
        # network, logistic, gradient_boosting or random_forest, one for all classes or one for each.
        "improved": {
            "features": ["posterior", "top3", "loss", "modified_entropy", "phi", "correct", "calibrated", "hidden"],
            "model": "network",
            "per_class": False,
            "hidden": [64, 32],
            "epochs": 40,
            "batch_size": 200,
            "learning_rate": 0.002,
            "patience": 5,
        },
        # What each group of features and each attack model is worth: true, or any of added, left_out, models.
        "ablation": False,
        # Seed 000's attack. None: as large as the subject's training set, a twentieth and three tenths of that.
        "document": {
            "shadows": 10,
            "train_size": None,
            "test_size": None,
            "shadow_test_size": None,
            "dim_hidden": 50,
            "epochs": 5,
            "batch_size": 50,
            "learning_rate": 0.001,
            "momentum": 0.9,
        },
    },
    "subjects": {},
    "sweep": {
        # defence: does it protect?; subject: what makes a network leak?
        "question": "defence",
        "variants": {},
        "baseline": "ordinary",
        # Further pairs of variants to compare.
        "pairs": [],
        "models": 4,
        # None: a third of the training split.
        "pool": None,
        # Membership attacks on every network, the variant's other networks being shadows and references.
        "attacks": ["shadow", "loss"],
    },
}

# Keys whose default does not tell the type: what they may hold besides null.
TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "data.dir": (str,),
    "data.image_size": (int,),
    "model.periods": (int, list),
    "model.checkpoint": (str,),
    "model.members": (str,),
    "training.epochs": (int,),
    "inversion.layer": (str, list),
    "inversion.tv": (str,),
    "inversion.optimizer": (str,),
    "inversion.batch_size": (int,),
    "membership.target_in": (int,),
    "membership.target_out": (int,),
    "membership.population": (int,),
    "membership.shadow_pool": (int,),
    "membership.ablation": (bool, list),
    "membership.document.train_size": (int,),
    "membership.document.test_size": (int,),
    "membership.document.shadow_test_size": (int,),
    "suppress.layers": (str, list),
    "dp.noise_multiplier": (float,),
    "dp.target_epsilon": (float,),
    "prune.layers": (str, list),
    "prune.finetune_learning_rate": (float,),
    "sweep.pool": (int,),
}

# Where nothing else ends a number: beyond these nothing is meant that a computer could do, and MindSpore or NumPy would
# end the process rather than say so.
_UNITS, _ROUNDS, _MODELS = 100_000, 10_000_000, 10_000
LARGEST: dict[str, int] = {
    "device.id": 65_535,
    "device.threads": 4_096,
    "model.width": 100,
    "model.hidden_size": 20_000,
    "model.layers": 100,
    "training.epochs": _ROUNDS,
    "suppress.start_epoch": _ROUNDS,
    "suppress.mask_times": _ROUNDS,
    "prune.finetune_epochs": _ROUNDS,
    "judge.epochs": _ROUNDS,
    "inversion.iterations": _ROUNDS,
    "inversion.restarts": _MODELS,
    "membership.references": _MODELS,
    "membership.shadows": _MODELS,
    "membership.attack.dim_hidden": _UNITS,
    "membership.attack.epochs": _ROUNDS,
    "membership.improved.hidden": _UNITS,
    "membership.improved.epochs": _ROUNDS,
    "membership.document.shadows": _MODELS,
    "membership.document.dim_hidden": _UNITS,
    "membership.document.epochs": _ROUNDS,
    "sweep.models": _MODELS,
}

# Sections that only one way to train looks at, and which one.
METHOD_SECTIONS = {"suppress": "suppress", "dp": "dp_sgd", "prune": "prune"}

# Sections whose keys are those of another section, all optional.
PARTIAL = {f"membership.{section}": section for section in ("training", "suppress", "dp", "prune")}

# What a subject of ``subjects`` may set for itself, over the sections of the same name.
SUBJECT_SECTIONS = ("data", "model", "training", "suppress", "dp", "prune", "inversion", "membership")

# What a variant of ``sweep.variants`` may set for itself: how its networks are made, never what they are judged by.
VARIANT_SECTIONS = ("model", "training", "suppress", "dp", "prune", "sweep")
# Of ``sweep`` itself that is how many rows it has; all else is common to the variants.
VARIANT_SWEEP_KEYS = ("pool",)

# Sections whose keys are names of the user's, each with sections of its own.
NAMED = {"subjects": SUBJECT_SECTIONS, "sweep.variants": VARIANT_SECTIONS}
