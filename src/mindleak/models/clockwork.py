"""The Clockwork RNN (Koutník et al., arXiv 1402.3511): an Elman network whose units keep different time."""

from __future__ import annotations

import math

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindleak.errors import InputError

DEFAULT_MODULES = 4


def checked_periods(periods: int | list[int] | None, hidden_size: int) -> tuple[int, ...]:
    """Return the modules' periods in rising order.

    Args:
        periods: the periods themselves, or how many modules there are, with periods 1, 2, 4, …; None: 4 modules.
        hidden_size: all units together; every module gets as many.

    Raises:
        InputError: no periods, one below 1, or a hidden size that cannot be dealt out evenly.
    """
    if isinstance(periods, (list, tuple)):
        if not periods or not all(type(period) is int and period >= 1 for period in periods):
            raise InputError(f"model.periods is {list(periods)}; expected a list of whole numbers from 1 on, or their "
                             "number")
        found = tuple(sorted(periods))
    else:
        modules = DEFAULT_MODULES if periods is None else periods
        # No image has 2^20 steps, so further modules would move at the first step only.
        if not 1 <= modules <= 20:
            raise InputError(f"model.periods is {modules}; expected a number of modules from 1 to 20, with periods 1, "
                             "2, 4, …, or a list of periods")
        found = tuple(1 << module for module in range(modules))
    if hidden_size % len(found):
        raise InputError(f"model.hidden_size is {hidden_size}, which {len(found)} modules (model.periods) cannot share "
                         f"evenly; expected a multiple of {len(found)}")
    return found


class ClockworkRNN(nn.Cell):
    """Elman layers whose units are dealt to modules; the module of period T moves at steps 0, T, 2T, … (eq. 1 to 3).

    Between its ticks a module holds its state. It hears from modules of its own and of longer periods only: the
    recurrent matrix is block-upper-triangular, and what would lie below is no parameter at all. Modules of equal
    period are one. Steps are counted from 0, so that every module has seen the first of them.

    Layers, directions, biases and initialisation as in ``mindspore.nn.RNN`` (batch first): with all periods 1 this is
    the same network, to the weight. ``weight_hh_l0_t2`` (units of period 2, units of period 2 and longer) is a
    module's part of the recurrent matrix.

    Shape: (N, T, input_size) → outputs (N, T, H·D), last states (layers·D, N, H), with D directions.
    """

    def __init__(self, input_size: int, hidden_size: int, periods: tuple[int, ...], steps: int, num_layers: int = 1,
                 bidirectional: bool = False) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        of_units = np.repeat(periods, hidden_size // len(periods))
        self.ticks = Tensor((np.arange(steps)[:, None] % of_units == 0).astype(np.float32))
        distinct = sorted(set(periods))
        # First unit and size of every module; its connections come from all units from its first one on.
        self.starts = tuple(int(np.argmax(of_units == period)) for period in distinct)
        self.sizes = tuple(int((of_units == period).sum()) for period in distinct)
        self._make_parameters(input_size, distinct)
        self.flip = ops.ReverseV2([1])

    def _make_parameters(self, input_size: int, periods: list[int]) -> None:
        """Draw all weights, in the order of ``nn.RNN``."""
        bound = 1 / math.sqrt(self.hidden_size)

        def drawn(name: str, *shape: int) -> Parameter:
            return Parameter(Tensor(np.random.uniform(-bound, bound, shape).astype(np.float32)), name=name)

        w_ih, w_hh, b_ih, b_hh = [], [], [], []
        hidden = self.hidden_size
        for layer in range(self.num_layers):
            for place in (f"l{layer}", f"l{layer}_reverse")[:1 + self.bidirectional]:
                width = input_size if layer == 0 else hidden * (1 + self.bidirectional)
                w_ih.append(drawn(f"weight_ih_{place}", hidden, width))
                w_hh += [drawn(f"weight_hh_{place}_t{period}", size, hidden - start)
                         for period, start, size in zip(periods, self.starts, self.sizes)]
                b_ih.append(drawn(f"bias_ih_{place}", hidden))
                b_hh.append(drawn(f"bias_hh_{place}", hidden))
        self.w_ih_list, self.w_hh_list = ParameterTuple(w_ih), ParameterTuple(w_hh)
        self.b_ih_list, self.b_hh_list = ParameterTuple(b_ih), ParameterTuple(b_hh)

    def recurrent_weight(self, place: int) -> Tensor:
        """Return the recurrent matrix (H, H) of one layer and direction, zeros where modules do not hear."""
        rows: tuple[Tensor, ...] = ()
        for module in range(len(self.starts)):
            block = self.w_hh_list[place * len(self.starts) + module]
            if self.starts[module] > 0:
                block = ops.concat((ops.zeros((self.sizes[module], self.starts[module]), block.dtype), block), 1)
            rows += (block,)
        return ops.concat(rows, 0)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return all outputs and the last states; see the class."""
        states: tuple[Tensor, ...] = ()
        for layer in range(self.num_layers):
            if self.bidirectional:
                forward, first = self.run_layer(x, 2 * layer)
                backward, second = self.run_layer(self.flip(x), 2 * layer + 1)
                x = ops.concat((forward, self.flip(backward)), 2)
                states += (first, second)
            else:
                x, last = self.run_layer(x, layer)
                states += (last,)
        return x, ops.stack(states)

    def run_layer(self, x: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """Return outputs (N, T, H) and last state (N, H) of one layer and direction."""
        sums = ops.matmul(x, self.w_ih_list[place].swapaxes(0, 1)) + self.b_ih_list[place] + self.b_hh_list[place]
        recurrent = self.recurrent_weight(place).swapaxes(0, 1)
        hidden = ops.zeros((x.shape[0], self.hidden_size), x.dtype)
        outputs: tuple[Tensor, ...] = ()
        for step in range(x.shape[1]):
            hidden = ops.where(self.ticks[step] > 0, ops.tanh(sums[:, step] + ops.matmul(hidden, recurrent)), hidden)
            outputs += (hidden,)
        return ops.stack(outputs, 1), hidden
