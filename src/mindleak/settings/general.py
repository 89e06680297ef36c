"""The keys that stand outside all sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting


@dataclass(frozen=True)
class General(Section):
    """What concerns the whole run."""

    name: Optional[str] = setting(
        None, "what the run is called, which names its folder in runs/; null: as the configuration file is called",
        of_run=False)
    seed: int = setting(0, "seed of everything random, from 0 on")
