"""Secrets, read from a directory that people, or a tool of theirs, keep.

The rule is that of mounted Kubernetes secrets: secret ``database`` is the file ``DIR/database``, its field ``password``
the file ``DIR/database/password``. A value is the file's text without one newline at its end, which editors add.

A value goes into a container's environment and nowhere else: never into an error, a label, a record or a log. Whether
it has changed is told by a keyed digest. Values are looked at every few seconds, and a change counts once two looks
agree on it: then the app is rolled out with it, as with any other change. Before that no replica is created with
another value than those that run.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.observed import SecretsSeen
from reconciler.model.reasons import Reason
from reconciler.model.secrets import KEY_NAME_LENGTH, changed, combined, reference_of, secret_variables
from reconciler.model.spec import App, SecretVariable
from reconciler.model.version import Version
from reconciler.ports import TryLater
from reconciler.runtime.digest_key import DigestKey

MAX_SECRET_BYTES = 64 * 1024
# The time between two looks at an app's secrets, which have to agree: longer than it takes to write one.
LOOK_SECONDS = 5.0


class SecretsDirectory:
    """The directory of secrets. None: there are no secrets here. It is looked at anew for each secret."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def value_of(self, variable: SecretVariable) -> str:
        """The secret's value. Raises TryLater where there is none yet, or none that can be read."""
        if self._directory is None:
            raise TryLater(Reason.SECRET_MISSING, f"{_described(variable)}: this controller has no secrets directory")
        path = self._path_of(variable, self._directory)
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

    def has_file_for(self, variable: SecretVariable) -> bool:
        """Whether there is a file for it, and no pipe or the like, which may have whoever reads it wait."""
        try:
            return self._directory is not None and self._path_of(variable, self._directory).is_file()
        except OSError:  # for one, whoever makes a plan may not look into the directory
            return False

    @staticmethod
    def _path_of(variable: SecretVariable, directory: Path) -> Path:
        return directory / variable.key / (variable.field or "")


@dataclass(frozen=True, slots=True)
class Given:
    """What a replica is given: values by variable, and one digest of them all, "" where there are none."""

    values: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found ``at`` a moment, as it had been ``since``."""

    app: App
    digests: Mapping[str, str]
    since: float
    at: float


class Secrets:
    """The secrets of apps: their values for who is created, their digests for who decides."""

    def __init__(self, directory: SecretsDirectory, key: DigestKey) -> None:
        self._directory = directory
        self._key = key
        self._looks: Mapping[str, _Look] = {}

    def begin(self) -> None:
        """Make sure that there is a key. Raises Unavailable."""
        self._key.made()

    def of(self, version: Version) -> Given:
        """What a replica of this version is given. Raises TryLater also where a secret is not what it was for replicas
        before."""
        variables = secret_variables(version.app)
        if not variables:
            return Given({}, "")
        values = self._read(variables)
        digests = _digests(self._key.made(), variables, values)
        if names := changed(version.secrets, digests):
            raise TryLater(
                Reason.SECRET_CHANGED,
                f"secret {', '.join(names)} has changed, and no replica gets another one than those "
                "before it; once it has stayed so for some seconds, all of them are replaced",
            )
        return Given(
            {variable.name: value for variable, value in zip(variables, values, strict=True)}, combined(digests)
        )

    def seen(self, apps: Sequence[App], now: float) -> Mapping[str, SecretsSeen]:
        """See `ports.Runtime.secrets_of`."""
        key = self._key.known()
        looks = [self._look(app, key, now) for app in apps] if key else []
        self._looks = {look.app.name: look for look in looks if look}
        return {
            name: SecretsSeen(look.digests, look.at - look.since >= LOOK_SECONDS) for name, look in self._looks.items()
        }

    def _look(self, app: App, key: bytes, now: float) -> _Look | None:
        """The last look at an app's secrets, or a new one where that is too old; None where not all can be read."""
        before = self._looks.get(app.name)
        if before and before.app is app and before.at <= now < before.at + LOOK_SECONDS:
            return before
        variables = secret_variables(app)
        if not all(map(self._directory.has_file_for, variables)):
            return None
        try:
            digests = _digests(key, variables, self._read(variables))
        except TryLater:
            return None
        unchanged = before is not None and before.digests == digests and before.at <= now
        return _Look(app, digests, before.since if before and unchanged else now, now)

    def _read(self, variables: Iterable[SecretVariable]) -> list[str]:
        """The values of these variables, each secret read once. Raises TryLater."""
        known: dict[tuple[str, str | None], str] = {}
        for variable in variables:
            if (variable.key, variable.field) not in known:
                known[variable.key, variable.field] = self._directory.value_of(variable)
        return [known[variable.key, variable.field] for variable in variables]


def _digests(key: bytes, variables: Iterable[SecretVariable], values: Iterable[str]) -> dict[str, str]:
    """The digest of each secret, by its reference."""
    contents: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for variable, value in zip(variables, values, strict=True):
        # Two secrets, a.b and the field b of a, may have one reference, and then they have one digest.
        contents[reference_of(variable)].add((variable.key, variable.field or "", value))
    name = hashlib.sha256(key).hexdigest()[:KEY_NAME_LENGTH]
    return {
        reference: name + hmac.new(key, json.dumps(sorted(content)).encode(), hashlib.sha256).hexdigest()[:16]
        for reference, content in contents.items()
    }


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
