"""What every job starts from: the merged configuration, the device, the run directory, the loaded data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easydict import EasyDict

from mindleak import config as configuration
from mindleak import device
from mindleak.data.catalogue import load
from mindleak.data.dataset import Dataset
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import Run


@dataclass
class Session:
    """One call of the program.

    Attributes:
        config: merged configuration.
        device: where this process runs.
        run: the run directory.
        ckpt_dir: folder of this run's checkpoints.
        command: how the program was called, for the report's provenance.
    """

    config: EasyDict
    device: device.Device
    run: Run
    ckpt_dir: Path
    command: str
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a line, on the one process that speaks."""
        if self.device.is_main:
            print(text, flush=True)

    def dataset(self, data: EasyDict) -> Dataset:
        """Return the data set of a ``data`` section, loaded once."""
        key = stable_hash(configuration.to_plain(data))
        if key not in self._datasets:
            self._datasets[key] = load(data.name, data.dir, data.image_size, data.resize)
        return self._datasets[key]

    def seed(self, *purpose: Any) -> int:
        """Return a seed for one purpose; purposes do not share random numbers."""
        return int(stable_hash([self.config.seed, *purpose])[:7], 16)


def open_session(config: EasyDict, run_dir: str | None, ckpt_dir: str | None, command: str) -> Session:
    """Configure the device, open the run directory, and return the session.

    Raises:
        InputError: the device is not there, or the run directory belongs to another configuration.
    """
    selected = device.configure(config.device.target, config.device.id, config.device.threads)
    name = f"{config.name or 'default'}-{config.seed}"
    folder = Path(run_dir) if run_dir else Path("runs") / name
    identity = configuration.identity(config)
    identity["device"] = {"target": selected.target}
    run = Run.open(folder, identity, device_target=selected.target,
                   **({} if selected.is_main else {"say": _silent}))
    checkpoints = Path(ckpt_dir) if ckpt_dir else Path("ckpt") / folder.name
    return Session(config, selected, run, checkpoints, command)


def _silent(line: str) -> None:
    """Swallow a line: only rank 0 speaks."""
