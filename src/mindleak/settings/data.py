"""The images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting

RESIZE_METHODS = ("bilinear", "pad")


@dataclass(frozen=True)
class Data(Section, per_subject=True):
    """The images that networks are trained on and asked about."""

    name: str = setting("digits", "the data set ('mindleak data list' has all), or custom for files of your own")
    dir: Optional[str] = setting(None, "folder with the data sets, or the files of custom; null: MINDLEAK_DATA_DIR",
                                 of_run=False)
    image_size: Optional[int] = setting(None, "height and width that images are brought to; null: their own, or what "
                                        "the network was made for where they are too small for it")
    resize: str = setting("bilinear", "how images are brought to another size; pad: centred in zeros",
                          choices=RESIZE_METHODS)
