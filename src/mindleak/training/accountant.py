"""What a differentially private training promises: ε at a δ, by Google's dp-accounting.

Two accountants: the privacy loss distribution (Koskela et al., arXiv 1906.03049; Google's ``pld``), which is tight up
to discretisation, rounded to the safe side, and Rényi differential privacy (Mironov et al., arXiv 1908.10530; ``rdp``),
which is what most papers report and a little larger. Both assume Poisson sampling: every sample is in a batch with the
same probability, independently of the others. Neighbouring data sets differ by one sample added or removed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

from mindleak.errors import InputError

ACCOUNTANTS = ("pld", "rdp")
# Where the search for a noise multiplier ends: below, the promise is empty; above, nothing is learned.
_SMALLEST_NOISE, _LARGEST_NOISE = 0.2, 1000.0
_NOISE_TOLERANCE = 1e-3
# Grid of the privacy loss: dp-accounting's own for figures that are reported, a coarse one for searching. A coarser
# grid gives a larger ε, so what the search finds is on the safe side.
_FINE, _COARSE = 1e-4, 1e-3


def epsilon(accountant: str, sampling_rate: float, noise_multiplier: float, steps: int, delta: float,
            grid: float = _FINE) -> float:
    """Return ε after ``steps`` Gaussian mechanisms on Poisson samples; infinite without noise.

    Args:
        accountant: ``pld`` or ``rdp``.
        sampling_rate: probability q of a sample to be in a batch.
        noise_multiplier: σ, the noise's standard deviation divided by the clipping norm.
        steps: batches so far.
        delta: δ.
        grid: step of the discretised privacy loss; ``pld`` only.
    """
    if steps == 0:
        return 0.0
    if noise_multiplier == 0:
        return math.inf
    package = _package()
    ledger = (package.rdp.RdpAccountant() if accountant == "rdp"
              else package.pld.PLDAccountant(value_discretization_interval=grid))
    gaussian = package.GaussianDpEvent(noise_multiplier)
    event = gaussian if sampling_rate == 1 else package.PoissonSampledDpEvent(sampling_rate, gaussian)
    with _quiet():
        ledger.compose(event, steps)
        return float(ledger.get_epsilon(delta))


@functools.lru_cache(maxsize=64)
def noise_for(accountant: str, sampling_rate: float, steps: int, target_epsilon: float, delta: float) -> float:
    """Return the smallest noise multiplier whose ε after ``steps`` is at most ``target_epsilon``.

    To .001 and the search's grid, on the safe side.

    Raises:
        InputError: none between .2 and 1,000 does that.
    """
    def within(noise: float) -> bool:
        return epsilon(accountant, sampling_rate, noise, steps, delta, _COARSE) <= target_epsilon

    low, high = _SMALLEST_NOISE, 2 * _SMALLEST_NOISE
    while not within(high):
        low, high = high, 2 * high
        if low > _LARGEST_NOISE:
            raise InputError(f"dp.target_epsilon {target_epsilon} needs a noise multiplier above {_LARGEST_NOISE:g}; "
                             "train for fewer epochs, with smaller batches, or allow a larger epsilon")
    if within(low):
        return low
    while high - low > _NOISE_TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


def version() -> str:
    """Return the accountant package's name and version, for records."""
    from importlib.metadata import version as installed

    _package()
    return f"dp-accounting {installed('dp-accounting')}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package from telling of orders that it leaves out, as it may; its result is still a bound."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _package() -> Any:
    """Import dp-accounting when a private training is asked for; nobody else waits for it."""
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError as error:
        raise InputError("training.method dp_sgd needs the package dp-accounting, which cannot be imported "
                         f"({error}); pip install -r requirements.txt") from error
    return dp_accounting
