"""Making and saving figures without pyplot: no global state, no backend chosen on import, the same bytes each time.

A figure is drawn once, in the light colours of :mod:`mindleak.reporting.palette`. ``png_bytes`` gives the file for
the run; ``inline_svg`` gives the same drawing for the page, with its colours turned into CSS variables, its text
left as text, and its ids made unique so that many drawings can live in one page.
"""

from __future__ import annotations

import functools
import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mindleak.reporting.palette import INK, MUTED, PAPER, RULE, css_variables

PNG_DPI = 150

# Fonts for glyphs that DejaVu Sans, which comes with matplotlib, does not have; those installed are used.
_OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans"),
)

_STYLE: dict[str, Any] = {
    "font.size": 8.5,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "image.composite_image": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "path.simplify": True,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "svg.hashsalt": "mindleak",
}
_NO_DATE = {"Creator": None, "Date": None, "Format": None, "Type": None}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save under the house's settings, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context({**_STYLE, "font.family": list(_fonts())}):
        yield


def writable(text: str) -> bool:
    """Tell whether the fonts of this machine have a glyph for every character, so that none becomes an empty box."""
    return all(any(ord(letter) in glyphs for glyphs in _fonts().values()) for letter in text)


@functools.cache
def _fonts() -> dict[str, frozenset[int]]:
    """Return the fonts to draw with, in the order in which they are asked, and the code points each can write."""
    # Imported when a figure is first drawn, because finding all fonts of a machine takes time.
    from matplotlib import font_manager

    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    names = ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]
    return {name: frozenset(font_manager.get_font(font_manager.findfont(name)).get_charmap()) for name in names}


def blank(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure of ``width`` × ``height`` inches with its title at the top left."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def percent_axis() -> FuncFormatter:
    """Return a tick formatter that writes fractions as percentages."""
    return FuncFormatter(lambda value, _: f"{100 * value:.4g} %")


def png_bytes(figure: Figure) -> bytes:
    """Render to PNG at 150 dpi; no date and no program name inside, so equal figures give equal bytes."""
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """Render to an ``<svg>`` element for use inside HTML.

    Args:
        figure: what to render; its background is left transparent.
        name: prefix of all ids within, unique in the page (letters, digits, hyphens).
        alt: what a reader who cannot see the figure is told.
    """
    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_DATE)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", drawing, count=3)
    drawing = drawing.replace("xlink:href=", "href=")
    drawing = _own_ids(drawing, name)
    for colour, (variable, _, _) in css_variables().items():
        drawing = drawing.replace(colour, f"var({variable})")
    label = f'<svg class="chart" role="img" aria-label="{html.escape(alt)}" '
    return drawing.replace("<svg ", label, 1)


def _own_ids(drawing: str, name: str) -> str:
    """Drop the ids that nothing refers to and put ``name`` before the rest."""
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", drawing))

    def rename(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    drawing = re.sub(r'\sid="([^"]+)"', rename, drawing)
    return re.sub(r"(url\(|href=\")#", rf"\g<1>#{name}-", drawing)
