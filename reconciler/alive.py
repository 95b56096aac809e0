"""The sign of life on disk: ``STATE/alive``, which the controller writes every few seconds and anybody may read.

It has one size from its beginning on, and is written over the same bytes: that takes no room, so it can be written on
the fullest disk. It must never be truncated, renamed or removed, and nothing may be decided by it: it is for people.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reconciler.model.recorded import SignOfLife

FILE_NAME = "alive"

_SIZE_BYTES = 4096
_TROUBLE_CHARACTERS = 500  # of which none takes more than six bytes
_READINGS = 5
_SIGN = TypeAdapter(SignOfLife)


def encode(sign: SignOfLife) -> str:
    """The sign as one line of JSON of bounded length."""
    trouble = " ".join(sign.trouble.split())
    if len(trouble) > _TROUBLE_CHARACTERS:
        trouble = trouble[: _TROUBLE_CHARACTERS - 1] + "…"
    printable = "".join(c if c.isprintable() else "\ufffd" for c in trouble)
    return _SIGN.dump_json(replace(sign, trouble=printable)).decode()


def decode(text: str | bytes) -> SignOfLife | None:
    """The sign that a text holds; None where it holds none."""
    try:
        return _SIGN.validate_json(text)
    except ValidationError:
        return None


def write(path: Path, sign: SignOfLife) -> None:
    """Write the sign over the one before. A new file is readable by everybody, whatever the umask. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.fstat(file).st_size == 0:
            os.fchmod(file, 0o644)
        os.pwrite(file, encode(sign).encode().ljust(_SIZE_BYTES - 1) + b"\n", 0)
    finally:
        os.close(file)


def read(path: Path) -> SignOfLife | None:
    """The sign that was written last; None where none can be read."""
    before = None
    with suppress(OSError):
        for _ in range(_READINGS):
            # While it is written, a reading may be of both signs.
            if (content := path.read_bytes()) == before:
                return decode(content)
            before = content
    return None
