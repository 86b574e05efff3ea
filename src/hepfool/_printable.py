# SPDX-License-Identifier: BSD-3-Clause
"""Text of others, such as the names of columns, as one line that a terminal or a page can show."""

from __future__ import annotations

import unicodedata

#: Controls, halves of characters, ends of lines and paragraphs; what changes the direction of the text after it comes on top.
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def printable(text: str) -> str:
    """Write characters that cannot be shown as their escape sequences."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character in _DIRECTIONS or unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )
