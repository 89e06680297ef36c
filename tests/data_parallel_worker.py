"""One process of trainings whose batches are divided: weights go to FOLDER/MODEL-OPTIMIZER-METHOD-RANK.npz.

Run under msrun by training/test_data_parallel.py, or alone: data_parallel_worker.py FOLDER MODEL-OPTIMIZER-METHOD ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mindleak import device


def main() -> None:
    folder, *trainings = sys.argv[1:]
    here = device.configure("CPU", threads=1, data_parallel=device.launched_by_msrun())
    for training in trainings:
        train(Path(folder) / f"{training}-{here.rank}.npz", *training.split("-"))


def train(file: Path, model: str, optimizer: str, method: str) -> None:
    from mindleak.data import catalogue
    from mindleak.models import registry
    from mindleak.training.history import EpochPrinter
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingData, TrainingRequest
    from mindleak.training.suppress.graph import SuppressTraining
    from mindleak.training.suppress.settings import SuppressSettings
    from mindleak.training.trainer import Training

    digits = catalogue.load("digits", None, 16 if model == "lenet5_bias" else None)
    data = TrainingData(digits.x_train[:640], digits.y_train[:640], digits.x_test[:100], digits.y_test[:100], "digits")
    network = registry.build(model, digits.image_shape, 10, seed=3)
    rate = {"sgd": 0.1, "momentum": 0.02, "adam": 0.003}[optimizer]
    recipe = Recipe(epochs=4, batch_size=32, optimizer=optimizer, learning_rate=rate)
    printer = EpochPrinter("parallel", recipe.epochs, False)
    if method == "suppress":
        settings = SuppressSettings(sparse_end=0.8, start_epoch=1, mask_times=15)
        result = SuppressTraining.train(TrainingRequest(network, data, recipe, 5, settings, printer=printer))
    else:
        result = Training.train(TrainingRequest(network, data, recipe, 5, printer=printer))
    weights = {parameter.name: parameter.asnumpy() for parameter in result.network.get_parameters()}
    history = np.array([[record.train_loss, record.train_accuracy] for record in result.history])
    np.savez(file, history=history, **weights)


if __name__ == "__main__":
    main()
