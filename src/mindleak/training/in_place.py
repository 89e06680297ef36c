"""Writing parameters where they lie, so that graphs compiled before go on with the new values."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, ops


def write(parameter: Parameter, value: np.ndarray) -> None:
    """Give a parameter another value of its shape, cast to its type.

    ``Parameter.set_data`` would give it other memory, and a graph compiled before goes on with the old: of several
    models trained in one loop, all but the first then learn nothing.
    """
    ops.assign(parameter, Tensor(value, parameter.dtype))
