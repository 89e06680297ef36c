"""Reference models per minute, compilation and questions included, against sequential torch eager on the same CPU.

One unit is one model: made, trained on 10,000 rows of a shared data set with validation after every epoch, and asked
for its logits on 10,000 rows. What the first unit takes beyond the others (start, imports, compilation) is spread over
all models of the run, whose number is printed. FCNets are attack models on ten posteriors; one unit is a stack of them,
and the peer is ``torch.func``: ``stack_module_state``, ``vmap`` of ``functional_call``, and Adam over stacked weights.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

import _pairs
import _training
import train_lenet5
import train_lstm_rnn

TASKS = {"lenet5": (train_lenet5.TASK, 32), "lstm_rnn": (train_lstm_rnn.TASK, 64)}
FEATURES, HIDDEN, RATE, BATCH = 10, 20, 0.01, 100


def rows_of(case: _pairs.Case, model: int) -> np.ndarray:
    """Return the rows that a model is trained on."""
    generator = np.random.default_rng(model)
    return generator.choice(case["samples"], case["rows"], replace=case["rows"] > case["samples"])


def ours(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """Train by the product's path, one model after the other in shared graphs; or stacks of FCNets."""
    from mindleak import device

    device.configure("CPU", threads=case["threads"])
    if case["model"] == "fcnet":
        our_stacks(case, tick)
        return
    from mindleak.training.compiled import CompiledTrainings
    from mindleak.training.history import EpochPrinter
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingData, TrainingRequest
    from mindleak.training.trainer import Training

    task, batch = TASKS[case["model"]]
    arrays = _training.load_arrays(case)
    recipe = Recipe(epochs=case["epochs"], batch_size=batch, **task.recipe)
    shelf, quiet = CompiledTrainings(), EpochPrinter("", 0, enabled=False)
    for model in range(case["rounds"] + 1):
        network = _training.make_network(task, arrays.x.shape[1:], model)
        data = TrainingData(arrays.x, arrays.y, arrays.x_val, arrays.y_val, str(model), rows_of(case, model))
        trained = Training.train(TrainingRequest(network, data, recipe, model, printer=quiet,
                                                 shared=(shelf, case["model"])))
        logits = trained.predict(arrays.x[:case["rows"]])
        tick({"loss": trained.history[-1].train_loss, "asked": len(logits)})


def our_stacks(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """Train stacks of FCNets by the product's path."""
    from mindleak import device
    from mindleak.models.fcnet import FCNet
    from mindleak.training.stacked import FCNetStack

    features, targets = posteriors(case)
    generator = np.random.default_rng(0)
    for unit in range(case["rounds"] + 1):
        with device.seeded(unit):
            networks = [FCNet(FEATURES, HIDDEN) for _ in range(case["stack"])]
        stack = FCNetStack(networks, features, targets, RATE)
        for _ in range(case["epochs"]):
            stack.epoch(list(orders(case, generator)))
        margins = np.stack([stack.margins(model, features) for model in range(case["stack"])])
        tick({"loss": float(np.logaddexp(0, margins * (1 - 2 * targets)).mean()), "asked": margins.size})


def posteriors(case: _pairs.Case) -> tuple[np.ndarray, np.ndarray]:
    """Return posteriors float32 (rows, 10) of a made-up model that leaks, and who was a member."""
    generator = np.random.default_rng(0)
    members = np.arange(case["rows"]) % 2
    logits = generator.normal(size=(case["rows"], FEATURES))
    logits[:, 0] += 2 + members
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), members


def orders(case: _pairs.Case, generator: np.random.Generator) -> np.ndarray:
    """Return an epoch's batches of every model, (models, steps, batch)."""
    steps = case["rows"] // BATCH
    return np.stack([generator.permutation(case["rows"])[:steps * BATCH].reshape(steps, BATCH)
                     for _ in range(case["stack"])]).astype(np.int32)


def peer(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """The same in torch: eager, one model after the other; or torch.func's stacks."""
    import torch

    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    if case["model"] == "fcnet":
        torch_stacks(case, tick)
        return
    task, batch = TASKS[case["model"]]
    arrays = _training.load_arrays(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the arrays are read-only, and nobody here writes to them
        images, val_images = torch.from_numpy(arrays.x), torch.from_numpy(arrays.x_val)
    labels, val_labels = torch.tensor(arrays.y).long(), torch.tensor(arrays.y_val).long()
    for model in range(case["rounds"] + 1):
        rows = torch.from_numpy(rows_of(case, model))
        network = task.torch_network()
        optimizer = task.torch_optimizer(network.parameters())
        own_images, own_labels = images[rows], labels[rows]
        for _ in range(case["epochs"]):
            loss, _ = _training._torch_epoch(network, optimizer, own_images, own_labels, batch)
            _training._torch_validation(network, val_images, val_labels)
        with torch.inference_mode():
            logits = torch.cat([network(part) for part in images[:case["rows"]].split(1000)])
        tick({"loss": loss, "asked": len(logits)})


def torch_stacks(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """Train stacks of the same networks by torch.func."""
    import torch
    from torch import nn
    from torch.func import functional_call, stack_module_state, vmap
    from torch.nn import functional

    table, members = posteriors(case)
    features, targets = torch.from_numpy(table), torch.from_numpy(members)
    generator = np.random.default_rng(0)
    for _ in range(case["rounds"] + 1):
        networks = [nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
                    for _ in range(case["stack"])]
        weights, _ = stack_module_state(networks)
        base = copy.deepcopy(networks[0]).to("meta")

        def losses(own: Any, x: Any, truth: Any, base: Any = base) -> Any:
            return functional.cross_entropy(functional_call(base, own, (x,)), truth)

        optimizer = torch.optim.Adam(weights.values(), lr=RATE)
        for _ in range(case["epochs"]):
            for rows in torch.from_numpy(orders(case, generator)).long().transpose(0, 1):
                optimizer.zero_grad()
                vmap(losses)(weights, features[rows], targets[rows]).sum().backward()
                optimizer.step()
        with torch.inference_mode():
            loss = vmap(losses, (0, None, None))(weights, features, targets).mean()
        tick({"loss": float(loss), "asked": case["stack"] * len(features)})


def measure(case: _pairs.Case, with_peer: bool) -> dict[str, Any]:
    """Return the record of a case: seconds per model, everything counted, and models per minute."""
    units = _pairs.alternate(__file__, case, with_peer)
    each = case["stack"]
    # Compilation, in the first unit, is spread over all models of the run.
    seconds = {side: [unit.seconds / each for unit in of_side] for side, of_side in units.items()}
    surplus = {side: max(0.0, values[0] - sorted(values[1:])[len(values[1:]) // 2]) / len(values)
               for side, values in seconds.items()}
    amortised = {side: [value + surplus[side] for value in values[1:]] for side, values in seconds.items()}
    record = _pairs.compare(case["name"], amortised["ours"], amortised.get("peer", ()), "s/model",
                            models=each * len(units["ours"]), epochs=case["epochs"], rows=case["rows"],
                            first_surplus={side: value * len(seconds[side]) for side, value in surplus.items()},
                            last={side: of_side[-1].figures for side, of_side in units.items()})
    _pairs.show(record)
    for side, values in amortised.items():
        print(f"    {side:<5} {60 * len(values) / sum(values):8.1f} models per minute over {record['models']} models, "
              f"training loss of the last {record['last'][side]['loss']:.4f}", flush=True)
    return record


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: ours, _pairs.PEER: peer})
    parser = _pairs.standard_parser(__doc__)
    _pairs.add_threads(parser)
    parser.add_argument("--models", nargs="+", choices=[*TASKS, "fcnet"], default=[*TASKS, "fcnet"],
                        help="which networks (all)")
    parser.add_argument("--stack", type=int, default=10, metavar="N", help="FCNets per stack (10, one per class)")
    _training.add_data(parser)
    arguments = parser.parse_args()
    with_peer = _pairs.require_peer("torch", arguments.no_peer)
    rows, epochs, models = (200, 1, 2) if arguments.toy else (10_000, 2, 4) if arguments.quick else (10_000, 10, 16)
    common = {"data": "digits" if arguments.toy else _training.dataset_name(arguments.data_dir),
              "data_dir": arguments.data_dir, "samples": rows if arguments.toy else 60_000, "validation": rows // 10,
              "rows": rows, "epochs": epochs, "rounds": models - 1}
    cases = [{"name": f"reference_models/{model}/threads{threads}", "model": model, "threads": threads,
              "image_size": TASKS[model][0].image_size if model in TASKS else None,
              "stack": 1 if model in TASKS else arguments.stack, **common}
             for threads in arguments.threads for model in arguments.models]
    _pairs.finish([measure(case, with_peer) for case in cases[:len(arguments.models) if arguments.toy else None]])


if __name__ == "__main__":
    main()
