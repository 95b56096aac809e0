"""The key of an instance's digests of secrets: made once, kept where only the controller may read it, never told.

Without it a digest is of no use to anybody; with another one no digest says anything of those before. So it is written
whole or not at all, and one that can't be read is no reason for another.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from reconciler.ports import Unavailable

_KEY_BYTES = 32


class DigestKey:
    """The key in this file. None: a key for the moment."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._key = secrets.token_bytes(_KEY_BYTES) if path is None else None

    def known(self) -> bytes | None:
        """The key; None where there is none so far, or none that we may read."""
        try:
            self._key = self._key or self._read()
        except Unavailable:
            return None
        return self._key

    def made(self) -> bytes:
        """The key, made where there is none yet. Raises Unavailable where it can't be read or kept."""
        self._key = self._key or self._read() or self._write()
        return self._key

    def _read(self) -> bytes | None:
        """The key on record; None where there is none, or one that was cut short."""
        assert self._path is not None
        try:
            key = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{self._path} can't be read: {error.strerror}") from error
        return key if len(key) == _KEY_BYTES else None

    def _write(self) -> bytes:
        assert self._path is not None
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, passing = tempfile.mkstemp(prefix=f"{self._path.name}.", dir=self._path.parent)  # of mode 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            Path(passing).replace(self._path)
        except OSError as error:
            raise Unavailable(f"{self._path} can't be written: {error.strerror}") from error
        return key
