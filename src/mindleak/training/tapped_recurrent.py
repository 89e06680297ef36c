"""Recurrent layers that show what passes through them, and the per-sample gradients that follow from it.

A *place* is one layer in one direction. Per place there are probes (``training.tapped_layers``), time first, on its
inputs (T, N, I), on the sums of its gates (T, N, G·H), and on its states (T, N, H); the GRU, which resets what it takes
from its state within the new gate, has a second one on the sums of the state's side. Fused operators keep all of these
to themselves, so the tapped layers run step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindleak.models.clockwork import ClockworkRNN
from mindleak.training.tapped_layers import Shape, Tapped


class TappedRecurrent(Tapped):
    """A recurrent layer with probes; batch first, no initial state, no dropout between layers.

    A subclass gives ``step``: from the gates' sums of the inputs and of the states (N, G·H each; the first with both
    biases where there are three probes), state and cell (N, H) before, and the step's number, the state and cell (N, H)
    after it. ``probes_per_place`` is 4 where the state's side of the gates has a probe of its own.
    """

    probes_per_place = 3

    def __init__(self, layer: Any, name: str, shapes: Sequence[Shape]) -> None:
        super().__init__(layer, name, shapes)
        self.has_bias = bool(getattr(layer, "has_bias", True))

    @classmethod
    def objection(cls, layer: Any, taken: Shape) -> str | None:
        """See Tapped.objection."""
        if not getattr(layer, "batch_first", True) or getattr(layer, "dropout", False):
            return f"has batch_first={layer.batch_first}, dropout={layer.dropout}"
        return None

    @classmethod
    def probe_shapes(cls, layer: Any, taken: Shape, given: Shape, batch: int) -> list[Shape]:
        """See Tapped.probe_shapes; these have time first."""
        steps, hidden = given[0], layer.hidden_size
        shapes: list[Shape] = []
        for weight in layer.w_ih_list:
            gates = [(steps, batch, weight.shape[0])] * (cls.probes_per_place - 2)
            shapes += [(steps, batch, weight.shape[1]), *gates, (steps, batch, hidden)]
        return shapes

    @classmethod
    def parameters(cls, layer: Any) -> list[Parameter]:
        """See Tapped.parameters."""
        return [*layer.w_ih_list, *layer.w_hh_list, *layer.b_ih_list, *layer.b_hh_list]

    @classmethod
    def gradients(cls, layer: Any, taken: Shape) -> nn.Cell:
        """See Tapped.gradients."""
        return RecurrentGradients(layer, cls.probes_per_place)

    def construct(self, x: Tensor) -> Any:
        """Return what the layer returns for sequences (N, T, I): outputs (N, T, D·H) and last states (L·D, N, H)."""
        sequence = x.swapaxes(0, 1)
        hidden_states: tuple[Tensor, ...] = ()
        cell_states: tuple[Tensor, ...] = ()
        for layer in range(self.layer.num_layers):
            if self.layer.bidirectional:
                forward, first, first_cell = self.run_place(sequence, 2 * layer)
                backward, second, second_cell = self.run_place(ops.ReverseV2([0])(sequence), 2 * layer + 1)
                sequence = ops.concat((forward, ops.ReverseV2([0])(backward)), 2)
                hidden_states += (first, second)
                cell_states += (first_cell, second_cell)
            else:
                sequence, last, cell = self.run_place(sequence, layer)
                hidden_states += (last,)
                cell_states += (cell,)
        return sequence.swapaxes(0, 1), self.last_states(ops.stack(hidden_states), ops.stack(cell_states))

    def run_place(self, x: Tensor, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return states (T, N, H), last state and last cell of one place for inputs (T, N, I)."""
        start = self.probes_per_place * place
        x = self.reveal(x, self.probes[start])
        sums = ops.matmul(x, self.layer.w_ih_list[place].swapaxes(0, 1)) + self.probes[start + 1]
        own_sums = self.probes[start + self.probes_per_place - 2]
        if self.has_bias:
            sums = sums + self.layer.b_ih_list[place]
            if self.probes_per_place == 4:
                own_sums = own_sums + self.layer.b_hh_list[place]
            else:
                sums = sums + self.layer.b_hh_list[place]
        recurrent = self.recurrent_matrix(place).swapaxes(0, 1)
        hidden = ops.zeros((x.shape[1], self.layer.hidden_size), x.dtype)
        cell = hidden
        given, offsets = ops.unbind(sums), ops.unbind(own_sums)
        outputs: tuple[Tensor, ...] = ()
        for step in range(x.shape[0]):
            own = ops.matmul(hidden, recurrent)
            if self.probes_per_place == 4:
                own = own + offsets[step]
            hidden, cell = self.step(given[step], own, hidden, cell, step)
            outputs += (hidden,)
        # The last state is taken from what is revealed: a network may use nothing else of the sequence.
        sequence = self.reveal(ops.stack(outputs), self.probes[start + self.probes_per_place - 1])
        return sequence, sequence[-1], cell

    def recurrent_matrix(self, place: int) -> Tensor:
        """Return the weight (G·H, H) on the states."""
        return self.layer.w_hh_list[place]

    def last_states(self, hidden: Tensor, cell: Tensor) -> Any:
        """Return what the layer gives beside its outputs."""
        return hidden


class TappedLSTM(TappedRecurrent):
    """``nn.LSTM`` with probes; gates in the order input, forget, cell, output."""

    def step(self, given: Tensor, own: Tensor, hidden: Tensor, cell: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return state and cell after one step."""
        entry, forget, update, output = ops.split(given + own, self.layer.hidden_size, 1)
        cell = ops.sigmoid(forget) * cell + ops.sigmoid(entry) * ops.tanh(update)
        return ops.sigmoid(output) * ops.tanh(cell), cell

    def last_states(self, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return both states."""
        return hidden, cell


class TappedGRU(TappedRecurrent):
    """``nn.GRU`` with probes; gates in the order reset, update, new."""

    probes_per_place = 4

    def step(self, given: Tensor, own: Tensor, hidden: Tensor, cell: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the state after one step, and no cell."""
        reset_in, update_in, new_in = ops.split(given, self.layer.hidden_size, 1)
        reset_own, update_own, new_own = ops.split(own, self.layer.hidden_size, 1)
        new = ops.tanh(new_in + ops.sigmoid(reset_in + reset_own) * new_own)
        return new + ops.sigmoid(update_in + update_own) * (hidden - new), cell


class TappedRNN(TappedRecurrent):
    """``nn.RNN`` (tanh) with probes."""

    @classmethod
    def objection(cls, layer: nn.RNN, taken: Shape) -> str | None:
        """See Tapped.objection."""
        # MindSpore keeps no attribute of it but the operator.
        return "has nonlinearity='relu'" if "Relu" in type(layer.rnn).__name__ else super().objection(layer, taken)

    def step(self, given: Tensor, own: Tensor, hidden: Tensor, cell: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the state after one step, and no cell."""
        return ops.tanh(given + own), cell


class TappedClockwork(TappedRecurrent):
    """``ClockworkRNN`` with probes."""

    def step(self, given: Tensor, own: Tensor, hidden: Tensor, cell: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the state after one step, and no cell."""
        return ops.where(self.layer.ticks[step] > 0, ops.tanh(given + own), hidden), cell

    def recurrent_matrix(self, place: int) -> Tensor:
        """Return the recurrent matrix (H, H), put together from the modules' parts."""
        return self.layer.recurrent_weight(place)


class RecurrentGradients(nn.Cell):
    """Per-sample gradients of a recurrent layer, from what its probes show (norms as in Li et al., arXiv 2110.05679).

    With δ_t the gradient of the gates' sums: Σ_t δ_t ⊗ x_t for the inputs' weight, Σ_t δ_t ⊗ h_{t-1} for the states'
    (of a clockwork, a module's rows of the one and the units that it hears of the other), Σ_t δ_t for either bias.
    """

    def __init__(self, layer: Any, probes_per_place: int) -> None:
        super().__init__(auto_prefix=False)
        self.has_bias = bool(getattr(layer, "has_bias", True))
        self.places = layer.num_layers * (1 + layer.bidirectional)
        self.per_place = probes_per_place
        clockwork = isinstance(layer, ClockworkRNN)
        # For every part of the recurrent weight its first unit and the unit after its last.
        self.starts = layer.starts if clockwork else (0,)
        self.ends = tuple(start + size for start, size in zip(layer.starts, layer.sizes)) if clockwork else (0,)
        self.parts = len(self.starts)
        self.product = ops.BatchMatMul(transpose_b=True)
        self.outer = ops.BatchMatMul(transpose_a=True)

    def measure(self, values: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return squared norms (N,) and what ``collect`` needs: per place inputs, both errors, states before.

        ‖Σ_t δ_t ⊗ a_t‖² = Σ_{t,s} (δ_t·δ_s)(a_t·a_s).
        """
        norms = ops.zeros((values[0].shape[1],), ms.float32)
        kept: tuple[Tensor, ...] = ()
        for place in range(self.places):
            start = self.per_place * place
            inputs, errors, states = values[start], values[start + 1], values[start + self.per_place - 1]
            own_errors = values[start + self.per_place - 2]
            before = ops.concat((ops.zeros_like(states[:1]), states[:-1]))
            pairs = self.gram(errors)
            norms = norms + (pairs * self.gram(inputs)).sum(axis=(1, 2))
            if self.parts > 1:
                for part in range(self.parts):
                    rows = own_errors[:, :, self.starts[part]:self.ends[part]]
                    heard = before[:, :, self.starts[part]:]
                    norms = norms + (self.gram(rows) * self.gram(heard)).sum(axis=(1, 2))
            elif self.per_place == 4:
                norms = norms + (self.gram(own_errors) * self.gram(before)).sum(axis=(1, 2))
            else:
                norms = norms + (pairs * self.gram(before)).sum(axis=(1, 2))
            if self.has_bias:
                norms = norms + ops.square(errors.sum(axis=0)).sum(axis=1)
                norms = norms + ops.square(own_errors.sum(axis=0)).sum(axis=1)
            kept += (inputs, errors, own_errors, before)
        return norms, kept

    def gram(self, sequence: Tensor) -> Tensor:
        """Return the products of all pairs of steps, (N, T, T)."""
        by_sample = sequence.swapaxes(0, 1)
        return self.product(by_sample, by_sample)

    def collect(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient over the samples, per parameter: all w_ih, all w_hh, all b_ih, all b_hh."""
        inputs: tuple[Tensor, ...] = ()
        recurrent: tuple[Tensor, ...] = ()
        biases: tuple[Tensor, ...] = ()
        own_biases: tuple[Tensor, ...] = ()
        for place in range(self.places):
            errors = flat(kept[4 * place + 1] * factors.expand_dims(1))
            own_errors = flat(kept[4 * place + 2] * factors.expand_dims(1))
            before = flat(kept[4 * place + 3])
            inputs += (ops.matmul(errors.swapaxes(0, 1), flat(kept[4 * place])),)
            if self.parts > 1:
                for part in range(self.parts):
                    rows = own_errors[:, self.starts[part]:self.ends[part]]
                    recurrent += (ops.matmul(rows.swapaxes(0, 1), before[:, self.starts[part]:]),)
            else:
                recurrent += (ops.matmul(own_errors.swapaxes(0, 1), before),)
            biases += (errors.sum(axis=0),)
            own_biases += (own_errors.sum(axis=0),)
        return inputs + recurrent + biases + own_biases if self.has_bias else inputs + recurrent

    def collect_squares(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient², element by element, over the samples, in the order of ``collect``.

        A square of a sum over time needs the sum: every sample's gradient is formed.
        """
        inputs: tuple[Tensor, ...] = ()
        recurrent: tuple[Tensor, ...] = ()
        biases: tuple[Tensor, ...] = ()
        own_biases: tuple[Tensor, ...] = ()
        for place in range(self.places):
            errors, own_errors, before = kept[4 * place + 1], kept[4 * place + 2], kept[4 * place + 3]
            inputs += (self.squared(errors, kept[4 * place], factors),)
            if self.parts > 1:
                for part in range(self.parts):
                    rows = own_errors[:, :, self.starts[part]:self.ends[part]]
                    recurrent += (self.squared(rows, before[:, :, self.starts[part]:], factors),)
            else:
                recurrent += (self.squared(own_errors, before, factors),)
            biases += ((ops.square(errors.sum(axis=0)) * factors.expand_dims(1)).sum(axis=0),)
            own_biases += ((ops.square(own_errors.sum(axis=0)) * factors.expand_dims(1)).sum(axis=0),)
        return inputs + recurrent + biases + own_biases if self.has_bias else inputs + recurrent

    def squared(self, errors: Tensor, values: Tensor, factors: Tensor) -> Tensor:
        """Return Σ_n factor_n · (Σ_t δ_tn ⊗ a_tn)², (G, I), for errors (T, N, G) and values (T, N, I)."""
        gradients = self.outer(errors.swapaxes(0, 1), values.swapaxes(0, 1))
        flat_squares = ops.square(gradients).reshape((gradients.shape[0], -1))
        return ops.matmul(factors.expand_dims(0), flat_squares).reshape((gradients.shape[1], gradients.shape[2]))


def flat(sequence: Tensor) -> Tensor:
    """Return (T, N, ·) as (T·N, ·)."""
    return sequence.reshape((-1, sequence.shape[2]))
