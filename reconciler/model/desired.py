"""What a revision of the source asks for: app versions, and the problems found on the way.

A broken file is a value here (`Problem`), never an exception: bad input must not take the good input with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model.change import Change
from reconciler.model.version import Version


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the source, with everything its author needs to mend it.

    ``line`` counts from 1 and is None where a whole file is meant. ``found`` never holds a secret value.
    """

    path: str
    line: int | None
    field: str
    found: str
    expected: str
    app_name: str | None = None

    def __str__(self) -> str:
        location = self.path if self.line is None else f"{self.path}:{self.line}"
        subject = f"{self.field}: " if self.field else ""
        return f"{location}: {subject}found {self.found}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Blank:
    """A file of the source that asks for no app, though people may think that it does: one without any document, or
    with an ending that isn't a spec's.

    ``held`` names apps that the file holds, or held when it was last read and did; ``spec_path`` is where its apps
    were read from, or would be.
    """

    path: str
    found: str
    expected: str
    held: frozenset[str]
    spec_path: str


@dataclass(frozen=True, slots=True)
class Desired:
    """All that one snapshot of the source asks for.

    ``revision`` names the snapshot, ``branch`` the one it was read from, "" outside git or where it is on none;
    ``unfetched`` says why it is only what was fetched last, "" where it is what there is;
    ``rewritten`` says, in one sentence, that it doesn't come after the one read before, "" where it does, or nobody
    knows; ``notices`` are things people should know that are nobody's error, such as uncommitted changes that were
    ignored. Whether ``blanks`` are errors only the record can tell (`decide.blanks`).
    """

    revision: str
    apps: Mapping[str, Version]
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    blanks: tuple[Blank, ...] = ()
    branch: str = ""
    rewritten: str = ""
    unfetched: str = ""

    @property
    def changes(self) -> Mapping[str, Change | None]:
        """The commit that changed each app last, where that is known."""
        return {name: version.change for name, version in self.apps.items()}
