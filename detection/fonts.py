"""A font that has the characters of a name: matplotlib's own, else one that the machine has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nas.errors import require


@cache
def font_file(text: str) -> Path | None:
    """The file of the first font with a glyph for every character of ``text``; None if there is none.

    DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, Arabic and more; Chinese, Japanese and Korean
    need a font of the machine's.
    """
    needed = {ord(character) for character in text if not character.isspace()}
    return next((Path(path) for path in _files() if needed <= _characters(path)), None)


def _files() -> Iterator[str]:
    manager = require("matplotlib.font_manager", "detection")
    yield manager.findfont("DejaVu Sans")
    yield from sorted({font.fname for font in manager.fontManager.ttflist})


@cache
def _characters(path: str) -> frozenset[int]:
    """The code points that a font has; none for a font of fixed sizes, which cannot be drawn at ours."""
    font = require("matplotlib.ft2font", "detection").FT2Font(path)
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
