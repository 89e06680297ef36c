"""DP-SGD (Abadi et al., arXiv 1607.00133), native: every sample's gradient clipped, Gaussian noise on their sum.

Batches are Poisson samples, as the accountant assumes: how many samples a step has is drawn from the binomial
distribution, then which ones. A compiled step has one shape, so it is as wide as the largest batch that the seed draws
in the whole training; nothing is cut off, and the rest of a narrower batch is masked. The noisy sum is divided by the
expected batch size, which is no secret; the drawn one is.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindleak.errors import InputError, Key
from mindleak.models.registry import CLASSIFIERS
from mindleak.settings.dp import Dp
from mindleak.training import accountant
from mindleak.training.loop import LoopTotals, interruptible, on_device
from mindleak.training.noise import noise_blocks, steps_per_block
from mindleak.training.per_sample import PerSampleGradients, require_exact, require_separable
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest, TrainingResult
from mindleak.training.trainer import Training, calls

# A private step costs more than an ordinary one, so fewer make up a call that Ctrl-C and the progress bar wait for.
STEPS_PER_CALL = 100
# A user's network has its per-sample gradients checked on so many samples.
_TRIED = 4
# Keeps the sampling apart from what else is drawn by the same seed.
_STREAM = int.from_bytes(b"poisson", "big")

ASSUMPTIONS = (
    "neighbouring data sets differ by one training sample added or removed",
    "Poisson sampling: every sample is in every batch with the same probability, independently",
    "the weights after all epochs are released, and those after each epoch may be",
    "recipe and architecture were chosen without looking at the training data; tuning on it is not accounted for",
    "training loss and accuracy in the history are not private and are not to be released",
    "sampling and noise come from seeded generators that are not cryptographic, in float32: whoever knows the seed can "
    "undo the noise, so keep it to yourself",
)


@dataclass(frozen=True)
class DPSettings:
    """How private; field names are the keys of ``dp`` in a configuration.

    Of ``noise_multiplier`` (σ: the noise's standard deviation divided by ``clip_norm``) and ``target_epsilon`` one is
    given; the other follows by the accountant. ``training.batch_size`` is the expected batch size.
    """

    clip_norm: float = 1.0
    noise_multiplier: float | None = None
    target_epsilon: float | None = None
    delta: float = 1e-5
    accountant: str = "pld"

    def __post_init__(self) -> None:
        Dp.require(self.as_dict(), "dp")
        if (self.noise_multiplier is None) == (self.target_epsilon is None):
            raise InputError(Key("training.method"), " dp_sgd needs either ", Key("dp.noise_multiplier"), " or ",
                             Key("dp.target_epsilon"), f", got noise_multiplier {self.noise_multiplier}, "
                             f"target_epsilon {self.target_epsilon}")
        if self.accountant == "pld" and self.delta < accountant.SMALLEST_PLD_DELTA:
            raise InputError(Key("dp.delta"), f" is {self.delta:g}; expected at least "
                             f"{accountant.SMALLEST_PLD_DELTA:g} with ", Key("dp.accountant"), " pld, whose rounding "
                             "exceeds smaller ones; ", Key("dp.accountant"), "=rdp takes them")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Promise:
    """The private part of a training, worked out: noise and ε."""

    settings: DPSettings
    sampling_rate: float
    steps_per_epoch: int
    noise_multiplier: float

    @classmethod
    def of(cls, recipe: Recipe, settings: DPSettings, samples: int) -> Promise:
        """Work out the noise, by the accountant where a target ε is given."""
        rate, steps = recipe.batch_size / samples, recipe.steps_per_epoch(samples)
        noise = settings.noise_multiplier
        if noise is None:
            assert settings.target_epsilon is not None
            noise = accountant.noise_for(settings.accountant, rate, steps * recipe.epochs, settings.target_epsilon,
                                         settings.delta)
        return cls(settings, rate, steps, noise)

    def epsilon(self, epochs: int) -> float:
        """Return ε after so many epochs."""
        return accountant.epsilon(self.settings.accountant, self.sampling_rate, self.noise_multiplier,
                                  epochs * self.steps_per_epoch, self.settings.delta)

    def line(self) -> str:
        """Return what is printed before the first epoch."""
        return (f"DP-SGD: noise multiplier {self.noise_multiplier:.4g}, clipping norm {self.settings.clip_norm:g}, "
                f"sampling rate {self.sampling_rate:.4g}, {self.steps_per_epoch} steps an epoch")

    def record(self, epochs: int, largest_batch: int) -> dict[str, Any]:
        """Return what a report says: ε, δ and all they rest on."""
        epsilon = self.epsilon(epochs)
        finite = math.isfinite(epsilon)
        return {"epsilon": epsilon if finite else None, "reason": None if finite else "no noise was added",
                "delta": self.settings.delta, "noise_multiplier": self.noise_multiplier,
                "clip_norm": self.settings.clip_norm, "sampling": "poisson", "sampling_rate": self.sampling_rate,
                "steps": epochs * self.steps_per_epoch, "largest_batch": largest_batch,
                "accountant": f"{self.settings.accountant} of {accountant.version()}",
                "assumptions": list(ASSUMPTIONS)}


class PoissonBatches:
    """The batches of a training: every sample in each of them with probability ``rate``, independently.

    A function of (seed, epoch), so an interrupted training continues with the batches it would have had.

    Attributes:
        largest: size of the largest batch in all epochs.
        width: of the table of an epoch's batches: a little more, so that trainings by other seeds mostly have the same
            and need not be compiled anew.
    """

    def __init__(self, samples: int, rate: float, steps: int, epochs: int, seed: int) -> None:
        self._samples, self._rate, self._steps, self._seed = samples, rate, steps, seed
        self.largest = max(1, *(int(self._sizes(epoch)[0].max()) for epoch in range(1, epochs + 1)))
        self.width = _rounded_up(self.largest)

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batches of an epoch, int32 (steps, width), and their sizes, int32 (steps,).

        A row's entries behind its size are no part of the batch.
        """
        sizes, generator = self._sizes(epoch)
        order = np.zeros((self._steps, self.width), np.int32)
        for row, size in zip(order, sizes):
            row[:size] = generator.choice(self._samples, size, replace=False, shuffle=False)
        return order, sizes.astype(np.int32)

    def _sizes(self, epoch: int) -> tuple[np.ndarray, np.random.Generator]:
        """Return how many samples each batch has, and the generator that goes on to draw which."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, epoch, _STREAM])))
        return generator.binomial(self._samples, self._rate, self._steps), generator


class PrivateLoop:
    """DP-SGD steps on device-resident data, compiled once for all epochs.

    Args:
        network: see ``PerSampleGradients``.
        optimizer: updates the network's parameters in place; what it does with a noisy gradient costs no privacy.
        images: float32 (N, ...).
        labels: int32 (N,).
        width: columns of ``order``, the size of the largest batch.
        expected: expected batch size, the divisor of the noisy sum.
        clip_norm: C.
        noise_multiplier: σ; the noise on every coordinate of the sum has standard deviation σC.
    """

    def __init__(self, network: nn.Cell, optimizer: nn.Optimizer, images: np.ndarray, labels: np.ndarray,
                 width: int, expected: int, clip_norm: float, noise_multiplier: float) -> None:
        self._images = on_device(images, "mindleak.images")
        self._labels = on_device(labels, "mindleak.labels")
        self._gradients = PerSampleGradients(network, images.shape[1:], width, clip_norm)
        self.coordinates = sum(int(parameter.size) for parameter in optimizer.parameters)
        self._steps = _compile_steps(self._gradients, optimizer, width, expected, clip_norm * noise_multiplier)

    def run(self, order: Tensor, sizes: Tensor, noise: Tensor, start: int, stop: int, totals: LoopTotals) -> None:
        """Take the steps ``start`` to ``stop``; add losses and hits of their samples to ``totals``.

        Args:
            order: int32 (steps, width).
            sizes: int32 (steps,).
            noise: standard normal, float32 (stop − start or more, coordinates).
            start: first step.
            stop: the one behind the last.
            totals: sums over samples, not over batches.
        """
        self._gradients.set_train(True)
        with interruptible():
            sums = self._steps(self._images, self._labels, order, sizes, noise, Tensor(start, ms.int32),
                               Tensor(stop, ms.int32))
            loss, correct = (float(value.asnumpy()) for value in sums)
        totals.loss += loss
        totals.correct += correct
        totals.steps += stop - start


def _compile_steps(gradients: PerSampleGradients, optimizer: nn.Optimizer, width: int, expected: int,
                   deviation: float) -> Any:
    """Return the compiled steps of ``PrivateLoop.run``."""
    places = Tensor(np.arange(width, dtype=np.int32))
    shapes = tuple(tuple(parameter.shape) for parameter in optimizer.parameters)
    ends = tuple(int(end) for end in np.cumsum([parameter.size for parameter in optimizer.parameters]))
    backward, clipped_sum = gradients.backward, gradients.clipped_sum

    @ms.jit
    def steps(images: Parameter, labels: Parameter, order: Tensor, sizes: Tensor, noise: Tensor, start: Tensor,
              stop: Tensor) -> tuple[Tensor, Tensor]:
        step = start
        loss_sum = ops.zeros((), ms.float32)
        correct = ops.zeros((), ms.float32)
        while step < stop:
            batch = order[step]
            valid = ops.less(places, sizes[step]).astype(ms.float32)
            truth = ops.gather(labels, batch, 0)
            (_, losses, logits), values = backward(ops.gather(images, batch, 0), truth)
            sums, _ = clipped_sum(values, valid)
            if deviation > 0:
                normal = noise[step - start] * deviation
                noisy: tuple[Tensor, ...] = ()
                for index in range(len(sums)):
                    begin = 0 if index == 0 else ends[index - 1]
                    noisy += (sums[index] + normal[begin:ends[index]].reshape(shapes[index]),)
                sums = noisy
            averages: tuple[Tensor, ...] = ()
            for index in range(len(sums)):
                averages += (sums[index] / expected,)
            optimizer(averages)
            loss_sum = loss_sum + (losses * valid).sum()
            hits = ops.equal(ops.argmax(logits, 1).astype(ms.int32), truth).astype(ms.float32)
            correct = correct + (hits * valid).sum()
            step = step + 1
        return loss_sum, correct

    return steps


class PrivateTraining(Training):
    """A training by DP-SGD: its epochs are made of Poisson batches and noisy sums.

    An epoch is ⌊samples / batch size⌋ batches, ``recipe.batch_size`` being the expected one; schedule, optimiser and
    weight decay are post-processing. Sampling and noise have streams of their own. ``record`` says what was promised.
    """

    section = "dp"
    settings_type = DPSettings
    kind = "dp_sgd training"

    @classmethod
    def train(cls, request: TrainingRequest) -> TrainingResult:
        """Train a network; see ``check`` and ``Training.train`` for what is refused."""
        network, data = request.network, request.data
        cls.check(network, data.x.shape[1:], request.recipe, request.settings, data.samples)
        if type(network) not in CLASSIFIERS.values():
            require_exact(network, *data.own(_TRIED))
        training = cls(request)
        if request.checkpoints is None or not request.resume or request.checkpoints.latest() is None:
            request.printer.note(training.promise.line())
        return training.run()

    @classmethod
    def check(cls, network: nn.Cell, shape: tuple[int, ...], recipe: Recipe, settings: DPSettings,
              samples: int) -> None:
        """Refuse what would fail or break the promise, before anything is trained.

        Raises:
            InputError: δ that allows publishing a sample, a schedule that looks at the data, a target that no noise
                reaches, or a network whose per-sample gradients are not to be had.
        """
        recipe.steps_per_epoch(samples)
        if settings.delta >= 1 / samples:
            raise InputError(Key("dp.delta"), f" {settings.delta:g} is no promise for {samples} training samples: a "
                             f"method that publishes one of them at random has delta {1 / samples:.2g}; take a smaller "
                             "one")
        if recipe.schedule == "plateau":
            raise InputError("dp_sgd cannot use ", Key("training.schedule"), " 'plateau', which follows the training "
                             "loss, and that is not private; expected constant, step, cosine")
        require_separable(network, shape)
        Promise.of(recipe, settings, samples)

    @classmethod
    def divides(cls, settings: DPSettings) -> bool:
        """Return False: every process would add noise of its own."""
        return False

    def __init__(self, request: TrainingRequest) -> None:
        self.promise = Promise.of(request.recipe, request.settings, request.data.samples)
        self.batches = PoissonBatches(request.data.samples, self.promise.sampling_rate, self.promise.steps_per_epoch,
                                      request.recipe.epochs, request.seed)
        super().__init__(request)

    def make_loop(self, network: nn.Cell, optimizer: nn.Cell) -> PrivateLoop:
        """Return the compiled private loop."""
        return PrivateLoop(network, optimizer, self.request.data.x, self.request.data.y, *self.graph_key())

    def graph_key(self) -> tuple[int, int, float, float]:
        """Return width and expected size of batches, clipping norm, and noise."""
        return (self.batches.width, self.recipe.batch_size, self.promise.settings.clip_norm,
                self.promise.noise_multiplier)

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Take an epoch's steps; return mean loss and accuracy over all samples drawn."""
        positions, counts = self.batches.epoch(epoch)
        order, sizes = Tensor(self.request.data.rows_at(positions)), Tensor(counts)
        block = steps_per_block(self.loop.coordinates, STEPS_PER_CALL)
        noise = noise_blocks(self.request.seed, epoch, self.loop.coordinates, self.steps, block)
        totals = LoopTotals()
        for (start, stop), normals in zip(calls(self.steps, self.request.printer, block), noise):
            self.loop.run(order, sizes, Tensor.from_numpy(_whole(normals, block)), start, stop, totals)
        drawn = max(1, int(counts.sum()))
        return totals.loss / drawn, totals.correct / drawn

    def announce(self, epoch: int) -> None:
        """Say what has been promised so far."""
        settings = self.promise.settings
        self.request.printer.note(f"after epoch {epoch}: epsilon {self.promise.epsilon(epoch):.3f} at delta "
                                  f"{settings.delta:g} ({settings.accountant}, Poisson sampling, one sample added or "
                                  "removed)")

    def record(self) -> dict[str, Any]:
        """Return ε, δ and all they rest on."""
        return {"privacy": self.promise.record(self.recipe.epochs, self.batches.largest)}


def _rounded_up(size: int) -> int:
    """Return the next multiple of an eighth of the power of two that is not above: at most an eighth more."""
    unit = 1 << max(0, size.bit_length() - 4)
    return -(-size // unit) * unit


def _whole(normals: np.ndarray, block: int) -> np.ndarray:
    """Fill a block up with zeros that no step uses: one shape means one compilation."""
    missing = block - len(normals)
    return normals if missing == 0 else np.concatenate([normals, np.zeros((missing, normals.shape[1]), np.float32)])
