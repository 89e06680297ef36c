"""What all work of one call shares: the merged configuration, the device, the run, the loaded data."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easydict import EasyDict

from mindleak import device
from mindleak import settings as configuration
from mindleak.data.catalogue import load
from mindleak.data.dataset import Dataset
from mindleak.printable import say
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import Run
from mindleak.settings.schema import SCHEMA

if TYPE_CHECKING:
    from mindleak.training.compiled import CompiledTrainings, Shelf


@dataclass
class Session:
    """One call of the program.

    Attributes:
        config: merged configuration.
        device: where this process runs.
        run_dir: folder of the run; there is none yet where ``run`` has never been asked for.
        ckpt_dir: folder of this run's checkpoints.
        command: how the program was called, for the report's provenance.
        warnings: what the user has been warned of, for the report.
        speaks: False where another process will say the same.
        asks: False where networks are not asked anything, since other processes will do it on the device.
    """

    config: EasyDict
    device: device.Device
    run_dir: Path
    ckpt_dir: Path
    command: str
    warnings: list[str] = field(default_factory=list)
    speaks: bool = True
    asks: bool = True
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    @cached_property
    def run(self) -> Run:
        """The run directory, made when first asked for: input that turns out to be wrong leaves no folder behind.

        Raises:
            InputError: it belongs to another configuration, or cannot be written.
        """
        identity = configuration.identity(self.config)
        identity["device"] = {"target": self.device.target}
        # The device is the one found here, so there is no other default to hold it against.
        defaults = {**configuration.identity(SCHEMA.defaults), "device": identity["device"]}
        return Run.open(self.run_dir, identity, device_target=self.device.target,
                        whole=configuration.to_plain(self.config), defaults=defaults,
                        **({} if self.is_heard else {"say": _silent}))

    @cached_property
    def compiled(self) -> CompiledTrainings:
        """What the trainings of this process share; loads MindSpore when first asked for."""
        from mindleak.training.compiled import CompiledTrainings

        return CompiledTrainings()

    @cached_property
    def asked(self) -> Shelf[Any]:
        """Networks with their compiled forward passes, in which models of one architecture take turns."""
        from mindleak.training.compiled import Shelf

        return Shelf(most=2)

    def silent(self) -> Session:
        """Return the same session, with the same run, without a voice: for trainings too many to tell of each."""
        _ = self.run, self.compiled, self.asked
        quiet = copy.copy(self)
        quiet.speaks = False
        return quiet

    def say(self, text: str) -> None:
        """Print a line, on the one process that speaks."""
        if self.is_heard:
            say(text)

    @property
    def is_heard(self) -> bool:
        """Whether this process is the one that speaks, and has not been told to be silent."""
        return self.speaks and self.device.is_main

    def warn(self, text: str) -> None:
        """Tell the user once of what makes figures doubtful; it will stand in the report as well."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.say(f"warning: {text}")

    def dataset(self, data: EasyDict) -> Dataset:
        """Return the data set of a ``data`` section, loaded once; what is doubtful about it is said."""
        key = stable_hash(configuration.to_plain(data))
        if key not in self._datasets:
            self._datasets[key] = load(data.name, data.dir, data.image_size, data.resize)
            for doubt in self._datasets[key].doubts:
                self.warn(f"data set '{data.name}': {doubt}")
        return self._datasets[key]

    def seed(self, *purpose: Any) -> int:
        """Return a seed for one purpose; purposes do not share random numbers."""
        return int(stable_hash([self.config.seed, *purpose])[:7], 16)


def _silent(line: str) -> None:
    """Swallow a line: only rank 0 speaks."""
