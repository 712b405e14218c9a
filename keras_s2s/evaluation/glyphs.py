"""Labels of tokens in plots, with fonts and with marks for characters that cannot be seen.

This module needs Matplotlib, which the extra `plots` installs. `plots` and `figures` use the labels
and fonts.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

# DejaVu Sans comes with Matplotlib and covers Latin, Greek, Cyrillic and more. Chinese, Japanese,
# Korean and the scripts of India, which it lacks, are drawn with those OTHER_FONTS that are
# installed.
FONT = "DejaVu Sans"
OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    *("WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai"),
)
MISSING_GLYPH, EMPTY_TOKEN, NOT_A_CHARACTER = "□", "∅", "�"
SPACE = "␣"
BREAKS = {"\n": "↵", "\r": "↵", "\t": "⇥"}
LONGEST_LABEL = 24  # characters


def token_label(token: str) -> str:
    """Returns the label of a token, one line of characters that can all be seen and drawn.

    White space becomes `␣`, `↵` or `⇥`. Control characters and lone surrogates become `�`.
    Characters that no font has become `□`. An empty token becomes `∅`. A combining accent at the
    start gets a `◌` to sit on. A token of more than 24 characters is cut and ends in `…`.

    Args:
        token: any string.

    Returns:
        The label, 1 to 25 characters.

    Example:
    >>> token_label(" a b")
    '␣a␣b'
    """
    if not token:
        return EMPTY_TOKEN
    if len(token) > LONGEST_LABEL:
        token = token[: LONGEST_LABEL - 1] + "…"
    seat = "◌" if unicodedata.category(token[0]).startswith("M") else ""
    return seat + "".join(BREAKS.get(c) or (SPACE if c.isspace() else _glyph(c)) for c in token)


def printable_line(text: str) -> str:
    """Returns a text as one line for a heading, like a label but with spaces for white space."""
    return "".join(" " if c.isspace() else _glyph(c) for c in text)


def _glyph(character: str) -> str:
    if unicodedata.category(character).startswith("C"):
        return NOT_A_CHARACTER
    return character if ord(character) in _drawable() else MISSING_GLYPH


def font(size: float) -> FontProperties:
    """Returns DejaVu Sans in `size` points, with installed fonts for the characters it lacks."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=_families(), size=size)


def widest(texts: Iterable[str], properties: FontProperties) -> float:
    """Returns the width in inches of the widest of the texts."""
    from matplotlib.textpath import text_to_path

    sizes = [text_to_path.get_text_width_height_descent(text, properties, False) for text in texts]
    return max(width for width, _, _ in sizes) / 72


@functools.cache
def _families() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [FONT, *(name for name in OTHER_FONTS if name in installed)]


@functools.cache
def _drawable() -> frozenset[int]:
    """Returns the code points for which at least one of the fonts has a glyph."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = [FontProperties(family=name) for name in _families()]
    files = [findfont(family, fallback_to_default=False) for family in families]
    return frozenset(point for file in files for point in get_font(file).get_charmap())
