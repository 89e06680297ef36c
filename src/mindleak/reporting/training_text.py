"""What a terminal says of a training beside its accuracy: zeros per layer, and what DP-SGD promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def sparsity_lines(sparsity: Mapping[str, Any]) -> Iterator[str]:
    """Yield the zeros per masked layer beside the target and what its floor allows."""
    for layer in sparsity["layers"]:
        yield (f"  {layer['name']:<24} {layer['zeros']:>7} of {layer['size']:>7} zero, {layer['fraction']:.4f} "
               f"(target {layer['target']:.2f}, reachable {layer['reachable']:.4f})")
    updates = f" after {sparsity['mask_updates']} mask updates" if "mask_updates" in sparsity else ""
    yield f"  {'all masked weights':<24} {sparsity['overall']:.4f} zero{updates}"


def privacy_lines(privacy: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is promised and what that rests on."""
    promised = "no epsilon: " + privacy["reason"] if privacy["epsilon"] is None else f"epsilon {privacy['epsilon']:.3f}"
    yield (f"  {promised} at delta {privacy['delta']:g} after {privacy['steps']:,} steps, by "
           f"{privacy['accountant']}; noise multiplier {privacy['noise_multiplier']:.4g}, clipping norm "
           f"{privacy['clip_norm']:g}, sampling rate {privacy['sampling_rate']:.4g}")
    yield "  it holds where:"
    yield from (f"  - {assumption}" for assumption in privacy["assumptions"])
