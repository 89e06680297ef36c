"""``mindleak config``: what can be set, with defaults and ranges. Loads neither NumPy nor MindSpore."""

from __future__ import annotations

from mindleak.audits.families import families
from mindleak.printable import say
from mindleak.settings import reference


def run_config(key: str | None, markdown: bool) -> None:
    """Print the reference of all keys.

    Args:
        key: only this section or key; None: all.
        markdown: as ``docs/configuration.md``, which always has all.

    Raises:
        InputError: there is no such key.
    """
    families()
    shown = reference.chosen(key)
    say(reference.page() if markdown else reference.text(shown))
