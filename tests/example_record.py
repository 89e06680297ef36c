"""A realistic record with made-up numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
RECIPES = [("lenet5", "ordinary"), ("lenet5", "suppress"), ("lstm_rnn", "ordinary"), ("lstm_rnn", "suppress")]


def metric(value: float | None, spread: float = 0.01, method: str = "wilson", **more: Any) -> dict[str, Any]:
    if value is None:
        return {"value": None, "ci": None, "ci_level": None, "ci_method": None, "n": 0, **more}
    return {
        "value": value,
        "ci": [value - spread, value + spread],
        "ci_level": 0.95,
        "ci_method": method,
        "n": 10000,
        **more,
    }


def finding(text: str, verdict: str | None = None) -> dict[str, Any]:
    return {"subject": None, "family": "membership", "question": "Who was in the training set?", "verdict": verdict,
            "text": text, "metrics": []}


def build_document(folder: Path, *, channels: int = 1, images: int = 30, recipes: int = 4) -> dict[str, Any]:
    """Write the picture files below ``folder`` and return a document that refers to them."""
    rng = np.random.default_rng(7)
    document: dict[str, Any] = {
        "schema": 2,
        "title": "What LeNet5 and the LSTM-RNN give away: Fashion-MNIST",
        "created": "2025-03-04T10:15:00+00:00",
        "config": {
            "data": {"name": "fashion_mnist", "resize": 32},
            "audit": {"models": ["lenet5", "lstm_rnn"]},
            "suppress": {"sparse_end": 0.95, "mask_times": 1000},
            "note": "first run",
        },
        "provenance": _provenance(),
        "subjects": [],
        "results": {"inversion": [], "membership": []},
        "cautions": [],
        "skipped": [
            {
                "subject": f"{m}-{t}-headline",
                "family": "membership",
                "reason": "trained on the whole training split: no honest non-members are left",
            }
            for m, t in RECIPES[:recipes]
        ],
        "findings": [
            finding(
                "On 10,000 members and 10,000 non-members, the shadow attack tells lstm_rnn · ordinary apart at AUC "
                "0.561 [0.551, 0.571]; the other three subjects stay within their intervals of guessing.", "shown",
            ),
            finding(
                "Suppress training lowered the judge's confidence in inverted LeNet5 images from 0.998 to 0.941 and "
                "raised SSIM from 0.257 to 0.384: it did not make the pictures harder to recognise.", "not shown",
            ),
        ],
    }
    for position, (model, training) in enumerate(RECIPES[:recipes]):
        for role in ("headline", "membership"):
            document["subjects"].append(_subject(model, training, role, position))
        document["results"]["inversion"].append(
            _inversion(folder, f"{model}-{training}-headline", position, channels, images, rng)
        )
        document["results"]["membership"].append(_membership(f"{model}-{training}-membership", position, rng))
    return document


def _provenance() -> dict[str, Any]:
    return {
        "mindleak": "0.1.0",
        "mindspore": "2.8.0",
        "mindarmour": "2.0.0",
        "numpy": "1.26.4",
        "python": "3.11.7",
        "platform": "Linux-6.1-x86_64",
        "device_target": "CPU",
        "threads": 2,
        "seed": 1,
        "command": "mindleak audit --config configs/audit_fashion_mnist.yaml",
        "seconds_total": 6512.4,
        "data": {
            "name": "fashion_mnist",
            "digest": "sha256:" + "3f" * 32,
            "n_train": 60000,
            "n_test": 10000,
            "image_shape": [1, 32, 32],
            "num_classes": 10,
            "preparation": {"resize": "bilinear 28 to 32", "scale": "1/255"},
        },
        "split": {
            "digest": "sha256:" + "a1" * 32,
            "sizes": {"target_in": 10000, "target_out": 10000, "population": 5000, "shadow_pool": 35000},
        },
        "stages": [
            {
                "name": f"train {m}-{t}",
                "key": "9c1f" * 4,
                "seconds": 100.0 + 400 * (t == "suppress"),
                "cached": t == "ordinary",
            }
            for m, t in RECIPES
        ],
    }


def _subject(model: str, training: str, role: str, position: int) -> dict[str, Any]:
    layers = [
        ("conv1.weight", 150, 140, 10),
        ("conv2.weight", 2400, 2250, 50),
        ("fc1.weight", 48000, 45600, -1),
        ("fc2.weight", 10080, 9576, -1),
        ("fc3.weight", 840, 790, 50),
    ]
    sparsity = {
        "target": 0.95,
        "overall": 0.949,
        "masked_total": 61470,
        "mask_updates": 1001,
        "layers": [
            {
                "name": n,
                "size": size,
                "zeros": zeros,
                "fraction": zeros / size,
                "target": 0.95,
                "reachable": min(0.95, 1 - floor / size) if floor > 0 else 0.95,
                "min_num": floor,
            }
            for n, size, zeros, floor in layers
        ],
    }
    history = [
        {
            "epoch": e,
            "train_loss": 1.2 * 0.72**e + 0.02,
            "train_accuracy": 1 - 0.3 * 0.75**e,
            "val_loss": 1.1 * 0.75**e + 0.05,
            "val_accuracy": 1 - 0.28 * 0.78**e - 0.01,
            "learning_rate": 0.01,
            "seconds": 3.2,
        }
        for e in range(1, 21)
    ]
    return {
        "id": f"{model}-{training}-{role}",
        "model": model,
        "training": training,
        "role": role,
        "n_train": 60000 if role == "headline" else 10000,
        "test_accuracy": metric(0.989 - 0.011 * position, 0.002),
        "train_accuracy": metric(0.9986, 0.0004),
        "sparsity": sparsity if training == "suppress" else None,
        "history": history,
        "parameters": 61684,
        "seconds": 211.0,
        "checkpoint": f"ckpt/audit-1/{model}-{training}-{role}-20_1875.ckpt",
    }


def _inversion(
    folder: Path, subject: str, position: int, channels: int, images: int, rng: np.random.Generator
) -> dict[str, Any]:
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    originals = np.clip(
        np.sin(6 * ramp[None, None, :, None] * rng.random((images, channels, 1, 1)) * 3) * ramp[None, None, None, :],
        0,
        1,
    ).astype(np.float32)
    inversions = np.clip(originals + rng.normal(0, 0.25, originals.shape), 0, 1).astype(np.float32)
    file = folder / "arrays" / f"{subject}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, originals=originals, inversions=inversions)
    labels = [int(n) for n in rng.integers(0, 10, images)]
    predicted = [label if i % 7 else (label + 1) % 10 for i, label in enumerate(labels)]
    keys = {
        "l2_relative": 0.78,
        "l2": 7.1,
        "ssim": 0.257,
        "ssim_mindarmour": 0.301,
        "psnr": 11.2,
        "feature_mse": 0.00123,
        "confidence": 0.998,
        "judge_accuracy": 0.967,
    }
    metrics = {key: metric(value * (1 - 0.03 * position), value * 0.03, "bootstrap") for key, value in keys.items()}
    controls = {
        "mean_image": {key: metric(value * 0.4, value * 0.02, "bootstrap") for key, value in keys.items()},
        "original": {"confidence": metric(0.999, 0.001, "bootstrap")},
    }
    return {
        "subject": subject,
        "attack": "mindarmour",
        "layer": "fc1",
        "n": images,
        "iterations": 100,
        "loss_weights": [1.0, 0.1, 5.0],
        "judge": "lenet5_bias trained on target-out",
        "metrics": metrics,
        "controls": controls,
        "labels": labels,
        "predicted": predicted,
        "arrays": str(file.relative_to(folder)),
        "seconds": 18.0,
    }


def _membership(subject: str, position: int, rng: np.random.Generator) -> dict[str, Any]:
    shift = (0.02, 0.0, 0.22, 0.05)[position]
    score_in, score_out = rng.normal(shift, 1, 10000), rng.normal(0, 1, 10000)
    thresholds = np.sort(score_out)[::-1]
    tpr = [0.0, *np.searchsorted(np.sort(-score_in), -thresholds).astype(float) / 10000, 1.0]
    fpr = [0.0, *(np.arange(1, 10001) / 10000), 1.0]
    auc = (0.506, 0.5, 0.561, 0.514)[position]
    too_few = "1,000 non-members of a class cannot resolve an FPR of 0.1 %"

    def figures(auc: float, n: int, low: dict[str, Any]) -> dict[str, Any]:
        spread = 0.6 / n**0.5
        return {
            "accuracy": metric(0.5 + (auc - 0.5) / 1.5, spread),
            "precision": metric(0.52, spread),
            "recall": metric(0.61, spread),
            "f1": metric(0.56, spread, "bootstrap"),
            "support": n,
            "non_member": {
                "precision": metric(0.51, spread),
                "recall": metric(0.4321, spread),
                "f1": metric(0.48, spread),
                "support": n,
            },
            "auc": metric(auc, spread, "delong"),
            "tpr@0.01": metric(
                0.0112 + (auc - 0.5) / 10, 0.002, fpr=0.0098, fpr_ci=[0.0081, 0.0119], threshold=1.7, ties=0
            ),
            "tpr@0.001": low,
        }

    return {
        "kind": "shadows",
        "subject": subject,
        "attack": "shadow",
        "n_shadows": 4,
        "n_in": 10000,
        "n_out": 10000,
        "overall": figures(
            auc, 10000, metric(0.0013, 0.0006, fpr=0.0009, fpr_ci=[0.0005, 0.0017], threshold=2.9, ties=3)
        ),
        "per_class": [
            {
                "class": c,
                "name": name,
                "support_in": 1000,
                "support_out": 1000,
                **figures(auc + 0.004 * (c - 5), 1000, metric(None, reason=too_few)),
            }
            for c, name in enumerate(CLASSES)
        ],
        "shadow_accuracy": [{"train": 0.995 - 0.001 * s, "test": 0.962 - 0.002 * s} for s in range(4)],
        "detectable": {"auc": 0.5114, "tpr@0.01": 0.0148, "tpr_own_roc@0.01": 0.0142, "level": 0.95, "power": 0.8},
        "roc": {"fpr": [float(v) for v in fpr], "tpr": [float(v) for v in tpr]},
        "seconds": 900.0,
    }
