"""The network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from mindleak.settings.fields import Section, setting

SEQUENCES = ("rows", "channels")
CELLS = ("rnn", "gru", "lstm", "clockwork")


@dataclass(frozen=True)
class Model(Section, per_subject=True, per_variant=True):
    """The network: its architecture, and where it comes from if it was trained elsewhere."""

    # lenet5, the tutorial's, starts too flat to learn from data as small as the digits.
    name: str = setting("lenet5_bias", "architecture: a registered one, path/to/net.py:ClassName, or what is no "
                        "network: decision_tree, random_forest, kmeans", one_network=True)
    width: float = setting(1.0, "factor on the number of channels and units (LeNet5)", above=0, most=100)
    hidden_size: int = setting(128, "units of each recurrent layer", least=1, most=20_000)
    layers: int = setting(1, "recurrent layers on top of each other", least=1, most=100)
    sequence: str = setting("rows", "how a recurrent network reads an image: rows: as H steps of C·W numbers; "
                            "channels: as C steps of H·W numbers", choices=SEQUENCES)
    cell: str = setting("lstm", "cell of model.name=recurrent", choices=CELLS)
    bidirectional: bool = setting(False, "model.name=recurrent reads the steps in both directions")
    periods: Union[None, int, list] = setting(
        None, "of the clockwork cell: its modules' periods, or how many modules with periods 1, 2, 4, …; null: four")
    checkpoint: Optional[str] = setting(None, "weights of a network trained elsewhere, to be attacked as they are",
                                        one_network=True)
    members: Optional[str] = setting(None, "rows of the training split that the checkpoint was trained on (.npy)",
                                     one_network=True)
