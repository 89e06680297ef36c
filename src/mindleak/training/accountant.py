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
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindleak.errors import InputError, Key

# Below this δ the rounding of long convolutions decides: at 1e-11 and 200,000 steps ε exceeded Rényi's, and it grew
# with the noise.
SMALLEST_PLD_DELTA = 1e-10
# The search for a noise multiplier ends here: with less noise the promise is empty, with more nothing is learned.
_SMALLEST_NOISE, _LARGEST_NOISE = 0.01, 1000.0
# The noise multiplier found is a multiple of the first; below the second, steps are finer by powers of two.
_NOISE_STEP, _STEP_HALVES_BELOW = 0.2 / 256, 0.2
# The search begins on a coarse grid; each of its grids is four times finer than the one before. On the last, ε is
# less than .1 % too large.
_COARSER = (1024, 256, 64, 16, 4)
# The search is done when the noise changes by less than the first, relatively, from one grid to the next. On one grid
# it stops after a step shorter than the second, which ends far nearer to the goal than its length, or after so many.
_ARRIVED, _NEAR = 5e-4, 1e-2
_TRIES = 20
# The finest and the coarsest step of a discretised privacy loss.
_FINEST_GRID, _COARSEST_GRID = 1e-9, 1.0


@dataclass(frozen=True)
class _Training:
    """What ε depends on beside the noise; see ``epsilon``."""

    accountant: str
    sampling_rate: float
    steps: int
    delta: float

    def epsilon(self, noise_multiplier: float, grid: float) -> float:
        """Return ε, for ``pld`` with the privacy loss in steps of ``grid``; a coarser one makes it larger."""
        package = _package()
        ledger = (package.rdp.RdpAccountant() if self.accountant == "rdp"
                  else package.pld.PLDAccountant(value_discretization_interval=grid))
        gaussian = package.GaussianDpEvent(noise_multiplier)
        event = gaussian if self.sampling_rate == 1 else package.PoissonSampledDpEvent(self.sampling_rate, gaussian)
        with _quiet():
            ledger.compose(event, self.steps)
            return float(ledger.get_epsilon(self.delta))


@functools.lru_cache(maxsize=1024)
def epsilon(accountant: str, sampling_rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Return ε after ``steps`` Gaussian mechanisms on Poisson samples; infinite without noise.

    Args:
        accountant: ``pld`` or ``rdp``.
        sampling_rate: probability q of a sample to be in a batch.
        noise_multiplier: σ, the noise's standard deviation divided by the clipping norm.
        steps: batches so far.
        delta: δ.
    """
    if steps == 0:
        return 0.0
    if noise_multiplier == 0:
        return math.inf
    training = _Training(accountant, sampling_rate, steps, delta)
    grid = _COARSEST_GRID
    bound = training.epsilon(noise_multiplier, grid)
    # A bound of 0 cannot be improved, and computing it on the finest grid would take minutes.
    while accountant != "rdp" and bound > 0 and _grid_for(bound) < grid:
        grid = _grid_for(bound)
        bound = training.epsilon(noise_multiplier, grid)
    return bound


def _grid_for(bound: float) -> float:
    """Return the step of the privacy loss for an ε near ``bound``: 1e-4 from 1 to 4, 2e-4 to 10; beyond by its decade.

    ε is then good to less than .1 %, and a figure takes about a second. Far finer steps would make it worse again:
    probabilities are differences that are divided by the step.
    """
    decade = math.floor(math.log10(bound))
    share = 2.5e-4 if decade < 0 else 1e-4 if bound < 4 * 10.0**decade else 2e-4
    return float(min(max(share * 10.0**decade, _FINEST_GRID), _COARSEST_GRID))


@functools.lru_cache(maxsize=64)
def noise_for(accountant: str, sampling_rate: float, steps: int, target_epsilon: float, delta: float) -> float:
    """Return the smallest noise multiplier whose ε after ``steps`` is at most ``target_epsilon``.

    To .001, below .2 to .5 %, on the safe side: ``epsilon`` of what is returned is never above the target.

    Raises:
        InputError: none from .01 to 1,000 does that, or all of them promise more; the message says what can be had.
    """
    training = _Training(accountant, sampling_rate, steps, delta)
    fine = _grid_for(target_epsilon)
    # The guess is bounded because little noise on a fine grid would take minutes.
    noise, slope = min(max(1 / target_epsilon, 0.1), 100.0), -1.0
    grids = sorted({min(coarser * fine, _COARSEST_GRID) for coarser in _COARSER}, reverse=True)
    for grid in grids if accountant == "pld" else grids[:1]:
        before = noise
        noise, slope = _guess(training, target_epsilon, noise, slope, grid)
        if abs(noise / before - 1) <= _ARRIVED and _SMALLEST_NOISE < noise < _LARGEST_NOISE:
            break
    if noise <= _SMALLEST_NOISE or noise >= _LARGEST_NOISE:
        _require_reachable(training, target_epsilon, min(max(noise, _SMALLEST_NOISE), _LARGEST_NOISE))
    step = _NOISE_STEP * min(1.0, 2.0 ** math.floor(math.log2(noise / _STEP_HALVES_BELOW)))
    multiple = math.ceil(noise / step)
    while epsilon(accountant, sampling_rate, multiple * step, steps, delta) > target_epsilon:
        multiple += max(1, multiple // 1000)
    return multiple * step


def _guess(training: _Training, target_epsilon: float, noise: float, slope: float, grid: float) -> tuple[float, float]:
    """Return where ε on one grid is about ``target_epsilon``, and the slope of log ε over log σ there.

    By secants from ``noise`` on, the first one with ``slope``: ε falls roughly as a power of σ, so few tries do. What
    lies outside the search's limits is put on them.
    """
    last: tuple[float, float] | None = None
    for _ in range(_TRIES):
        # An ε of 0 has no logarithm; a thousandth of the target stands for it and asks for far less noise.
        excess = math.log(max(training.epsilon(noise, grid), target_epsilon / 1000) / target_epsilon)
        if last is not None and noise != last[0]:
            slope = min((excess - last[1]) / math.log(noise / last[0]), -0.2)
        last = (noise, excess)
        factor = math.exp(min(max(-excess / slope, -1.5), 1.5))
        before, noise = noise, min(max(noise * factor, _SMALLEST_NOISE), _LARGEST_NOISE)
        if abs(noise / before - 1) <= _NEAR:
            break
    return noise, slope


def _require_reachable(training: _Training, target_epsilon: float, limit: float) -> None:
    """Refuse a target that lies beyond what the limit promises at which the search has ended.

    Raises:
        InputError: see ``noise_for``.
    """
    reached = epsilon(training.accountant, training.sampling_rate, limit, training.steps, training.delta)
    there = f"a noise multiplier of {limit:g} promises"
    if limit == _SMALLEST_NOISE and reached < target_epsilon:
        raise InputError(Key("dp.target_epsilon"), f" is {target_epsilon:g}; expected at most {reached:.4g}, which "
                         f"{there}, the smallest that is searched; ", Key("dp.noise_multiplier"), "=0 trains without "
                         "noise and promises nothing")
    if limit == _LARGEST_NOISE and reached > target_epsilon:
        raise InputError(Key("dp.target_epsilon"), f" is {target_epsilon:g}; expected at least {reached:.4g}, which "
                         f"{there}, the largest that is searched; train for fewer epochs, with smaller batches, or "
                         "allow a larger epsilon")


def version() -> str:
    """Return the accountant package's name and version, for records."""
    from importlib.metadata import version as installed

    _package()
    return f"dp-accounting {installed('dp-accounting')}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package from telling of orders that it leaves out and of quotients that are infinite, as they may be.

    Its result is still a bound.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
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
        raise InputError(Key("training.method"), " dp_sgd needs the package dp-accounting, which cannot be imported "
                         f"({error}); pip install -r requirements.txt") from error
    return dp_accounting
