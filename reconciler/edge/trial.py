"""Which apps nginx takes, when it does not take all of them.

Decides who is left out: as few as possible, found in about two tests for each, by the line nginx blames. A blame is
believed only when the app fails alone as well (an unbalanced brace is reported in the next app's lines); where it
can't be told, halves are tried. An app that is left out falls back to what it had before. It must never lay at an
app's door what nginx refuses without any app as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.model.routes import AppRoutes, Refusal


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why nginx refuses a configuration, and the app whose lines it named, if it did."""

    message: str
    app_name: str | None = None


Apps = tuple[AppRoutes, ...]
Check = Callable[[Apps], Verdict | None]


class Hopeless(Exception):
    """nginx refuses even a configuration without apps. The message is nginx's."""


def largest_accepted(
    wanted: Apps, fallbacks: Mapping[str, Sequence[AppRoutes]], check: Check
) -> tuple[Apps, tuple[Refusal, ...]]:
    """The apps to serve, in order of name, and the refusals. ``fallbacks``: by app name, the best first.

    Raises Hopeless.
    """
    if check(wanted) is None:
        return wanted, ()
    if verdict := check(()):
        raise Hopeless(verdict.message)
    accepted, refused = _grow((), wanted, check)
    left = set(refused)
    for rank in range(max((len(fallbacks.get(name, ())) for name in left), default=0)):
        candidates = tuple(fallbacks[name][rank] for name in sorted(left) if len(fallbacks.get(name, ())) > rank)
        accepted, again = _grow(accepted, candidates, check)
        left -= {app.app_name for app in candidates} - set(again)
    return accepted, tuple(Refusal(name, message) for name, message in sorted(refused.items()))


def _grow(base: Apps, more: Apps, check: Check) -> tuple[Apps, dict[str, str]]:
    """``base`` with as many of ``more`` as nginx takes, and why it does not take the others."""
    refused: dict[str, str] = {}
    while more:
        verdict = check(_together(base, more))
        if verdict is None:
            return _together(base, more), refused
        if len(more) == 1:
            return base, refused | {more[0].app_name: verdict.message}
        blamed = tuple(app for app in more if app.app_name == verdict.app_name)
        alone = check(_together(base, blamed)) if blamed else None
        if alone is None:
            half = len(more) // 2
            base, first = _grow(base, more[:half], check)
            base, second = _grow(base, more[half:], check)
            return base, refused | first | second
        refused[blamed[0].app_name] = alone.message
        more = tuple(app for app in more if app is not blamed[0])
    return base, refused


def _together(base: Apps, more: Apps) -> Apps:
    return tuple(sorted((*base, *more), key=lambda app: app.app_name))
