"""Content that only stands for the content meant: what Git LFS, git-crypt, SOPS and age leave in a repository.

Decides by well-known marks alone what was found, and what would be right. Git is asked for what is committed and no
filter is ever run, so a pointer or a cipher would be deployed as it is.
"""

from __future__ import annotations

import json
import re

_PLAIN = "its plain content, or the value as a secret (`source: secret`)"
_POINTER = ("a Git LFS pointer", "the content itself in git: what LFS keeps elsewhere isn't fetched")
_MARKS = (
    (b"version https://git-lfs.github.com/spec/v1", _POINTER),
    (b"\0GITCRYPT\0", ("a file encrypted by git-crypt", _PLAIN)),
    (b"age-encryption.org/v1\n", ("a file encrypted by age", _PLAIN)),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", ("a file encrypted by age", _PLAIN)),
)
_SOPS = ("a file encrypted by SOPS", _PLAIN)
# What SOPS adds to a file, by its format: .env; YAML; INI and TOML.
_SOPS_LINES = re.compile(
    r"^sops_(?:mac|lastmodified)=|^sops:[ \t]*\n(?:[ \t].*\n|\n)*?[ \t]+(?:mac|lastmodified):"
    r"|^\[sops\][ \t]*\n(?:[^\[\n].*\n|\n)*?[ \t]*(?:mac|lastmodified)[ \t]*=",
    re.MULTILINE,
)


def stand_in(content: bytes) -> tuple[str, str] | None:
    """Found and expected where content only stands for other content; None for all the rest."""
    for mark, told in _MARKS:
        if content.startswith(mark):
            return told
    return _SOPS if b"sops" in content and _is_sops(content.decode("utf-8", "replace")) else None


def _is_sops(text: str) -> bool:
    if text.lstrip().startswith("{"):
        return _is_sops_json(text)
    return bool(_SOPS_LINES.search(text.replace("\r\n", "\n")))


def _is_sops_json(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    added = value.get("sops") if isinstance(value, dict) else None
    return isinstance(added, dict) and not {"mac", "lastmodified"}.isdisjoint(added)
