"""Texts without secrets: how much of one is to be found before it is taken out, and what stands in its place.

A value is looked for line by line, since a text may begin or end in the middle of one. What is as short as ``on`` or
``1`` is no secret to anybody and stands in every other sentence: it is left alone. What is a little longer may be part
of an innocent word, and is taken out only where it is a word by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Shorter lines are left where they are; from here on they are taken out as words, and longer ones anywhere.
MIN_WORD_LENGTH = 4
MIN_LENGTH_ANYWHERE = 8
_MASK = "***"
# No letter or digit beside it, but for the letter of an escape sequence, as in the text of a Python or JSON string.
_BEFORE, _AFTER = r"(?:(?<![^\W_])|(?<=\\[nrt]))", r"(?![^\W_])"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text with *** in place of each line of these values."""
    lines = {line for secret in secrets for line in secret.splitlines() if len(line) >= MIN_WORD_LENGTH}
    if not lines:
        return text
    # In one pass, so that no mask is taken for a secret; the longest first, since one may contain another.
    return re.sub("|".join(map(_pattern, sorted(lines, key=len, reverse=True))), _MASK, text)


def _pattern(line: str) -> str:
    if len(line) >= MIN_LENGTH_ANYWHERE:
        return re.escape(line)
    before = _BEFORE if line[0].isalnum() else ""
    return before + re.escape(line) + (_AFTER if line[-1].isalnum() else "")
