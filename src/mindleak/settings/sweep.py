"""Variants of a network that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from mindleak.errors import InputError, nearest
from mindleak.settings.fields import Section, named, setting
from mindleak.settings.limits import MODELS


@dataclass(frozen=True)
class Sweep(Section):
    """Which of several variants of a network leaks less, and what does it cost?"""

    question: str = setting("defence", "defence: does it protect?; subject: what makes a network leak?")
    variants: dict[str, Any] = named("variant", "variants by name, each with settings of its own over the common ones")
    baseline: str = setting("ordinary", "the variant that the others are compared with")
    pairs: list = setting([], "further pairs of variants to compare: [[a, b], …]")
    models: int = setting(4, "networks a variant", most=MODELS)
    pool: Optional[int] = setting(None, "training images that its networks share, each being trained on half of them; "
                                  "null: a third of the training split", per_variant=True)
    attacks: list[str] = setting(["shadow", "loss"], "membership attacks on every network, the variant's other "
                                 "networks being shadows and references")

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> None:
        """Refuse a comparison of variants that there are not."""
        variants = values["variants"]
        if not variants:
            return
        for pair in values["pairs"]:
            if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
                raise InputError(f"sweep.pairs holds {pair!r}; expected a list of two different names of "
                                 "sweep.variants")
        compared = [("pairs names", str(name)) for pair in values["pairs"] for name in pair]
        for key, name in [("baseline is", values["baseline"]), *compared]:
            if name not in variants:
                raise InputError(f"sweep.{key} '{name}', which is none of sweep.variants{nearest(name, variants)}")
