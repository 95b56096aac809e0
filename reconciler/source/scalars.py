"""What an unquoted word of YAML means.

Decides by YAML 1.2: `NO` is no boolean and `22:22` no number. Words that older readers take for a boolean or another
number are neither text nor that; whoever wrote one has to say, with quotes, what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """An unquoted word that YAML 1.1 and YAML 1.2 read differently. It fits no type, so it is always an error."""

    text: str


_WORDS: Mapping[str, Any] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | {word: Ambiguous(word) for lower in ("yes", "no", "on", "off") for word in (lower, lower.title(), lower.upper())}
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,32}|[0-9]{1,32}(\.[0-9]{0,32})?)([eE][-+]?[0-9]{1,3})?")
_OTHER_BASE = re.compile(r"0(o[0-7]{1,20}|x[0-9a-fA-F]{1,15})")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONG_NUMBER = re.compile(r"[-+]?[0-9][0-9.eE+-]*")


def plain_value(text: str) -> Any:
    """What YAML 1.2 reads in an unquoted word: None, a bool, a number or text; Ambiguous where readers differ."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _LEADING_ZERO.fullmatch(text):
        return Ambiguous(text)
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return Ambiguous(text) if _LONG_NUMBER.fullmatch(text) and len(text) > 18 else text
