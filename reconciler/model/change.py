"""The commit by which an app became what the source asks for: for people, and part of no decision."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.moments import Moment


@dataclass(frozen=True, slots=True)
class Change:
    """The commit that changed an app last, by its full name, its author's name and the first line of its message.

    ``at`` is when it was committed, by the clock of whoever did. ``of_file``: of a file that holds several apps it is
    only known to have changed that, be it for this app or another.
    """

    commit: str
    author: str
    at: Moment
    subject: str
    of_file: bool = False


def better_known(before: Change | None, now: Change | None) -> Change | None:
    """What is known of the last change of an app that is as it was ``before``: by the source, unless that knows less,
    since its history begins later, or tells of a file alone."""
    return before if before and (now is None or now.of_file) else now
