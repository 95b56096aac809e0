"""Secrets, read from a directory that people, or a tool of theirs, keep.

The rule is that of mounted Kubernetes secrets: secret ``database`` is the file ``DIR/database``, its field ``password``
the file ``DIR/database/password``. A value is the file's text without one newline at its end, which editors add.

A value goes into a container's environment and nowhere else: never into an error, a label or a log. It is read when a
replica is created, so a changed secret reaches an app by its next rollout (``restartToken`` asks for one).
"""

from __future__ import annotations

from pathlib import Path

from reconciler.model.reasons import Reason
from reconciler.model.spec import SecretVariable
from reconciler.ports import TryLater

MAX_SECRET_BYTES = 64 * 1024


class SecretsDirectory:
    """The directory of secrets. None: there are no secrets here. It is looked at anew for each secret."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def value_of(self, variable: SecretVariable) -> str:
        """The secret's value. Raises TryLater where there is none yet, or none that can be read."""
        if self._directory is None:
            raise TryLater(Reason.SECRET_MISSING, f"{_described(variable)}: this controller has no secrets directory")
        path = self._directory / variable.key / (variable.field or "")
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise TryLater(
                Reason.SECRET_MISSING, f"{_described(variable)}: there is no file {path}; create it"
            ) from None
        except IsADirectoryError:
            raise TryLater(
                Reason.SECRET_MISSING, f"{_described(variable)}: {path} is a directory; name one of its files as field"
            ) from None
        except OSError as error:
            raise TryLater(Reason.SECRET_UNREADABLE, f"{_described(variable)}: {path}: {error.strerror}") from None
        return _text(content, f"{_described(variable)}: {path}")


def _text(content: bytes, subject: str) -> str:
    """A secret's content as text. The errors quote nothing of the content, and hold no other error that does."""
    if len(content) > MAX_SECRET_BYTES:
        raise TryLater(Reason.SECRET_UNREADABLE, f"{subject} holds more than {MAX_SECRET_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise TryLater(Reason.SECRET_UNREADABLE, f"{subject} is not UTF-8 text") from None
    if "\0" in text:
        raise TryLater(Reason.SECRET_UNREADABLE, f"{subject} contains a NUL character")
    return text.removesuffix("\n").removesuffix("\r")


def _described(variable: SecretVariable) -> str:
    field = f", field {variable.field}" if variable.field else ""
    return f"secret {variable.key}{field}, for the variable {variable.name}"
