"""Which apps nginx takes, when it does not take all of them.

Decides who is left out: as few as possible. First every app is looked at apart from the others, in groups, so that few
tests find the few bad ones among many; an app that fails falls back to what it had. Then all are put together, and
where two apps want the same, the one that has it keeps it. It must never lay at an app's door what nginx refuses
without any app as well, nor leave out an app that is being served: then the whole configuration stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reconciler.model.routes import AppRoutes, Refusal


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why nginx refuses a configuration, and the app whose lines it named, if it did."""

    message: str
    app_name: str | None = None


class Hopeless(Exception):
    """Leaving apps out would not help, or would cost one that is being served. The message says what nginx said."""


Apps = tuple[AppRoutes, ...]
Check = Callable[[Apps], Verdict | None]


def largest_accepted(wanted: Apps, served: Mapping[str, AppRoutes], check: Check) -> tuple[Apps, tuple[Refusal, ...]]:
    """The apps to serve, in order of name, and the refusals. ``served``: what there is now, by app name.

    Raises Hopeless.
    """
    if check(wanted) is None:
        return wanted, ()
    if verdict := check(()):
        raise Hopeless(verdict.message)
    sound, refused = _sound(wanted, check)
    kept = _as_before([app for app in wanted if app.app_name in refused], served, check)
    accepted, conflicts = _together((*kept, *sound), served, check)
    refused = conflicts | refused
    for name in sorted(refused.keys() & served.keys() - {app.app_name for app in accepted}):
        raise Hopeless(f"{name}, also as it was before: {refused[name]}")
    return accepted, tuple(Refusal(name, message) for name, message in sorted(refused.items()))


def _sound(apps: Apps, check: Check) -> tuple[Apps, dict[str, str]]:
    """The apps that nginx takes apart from others, and why it does not take the rest."""
    if not apps or (verdict := check(apps)) is None:
        return apps, {}
    if len(apps) == 1:
        return (), {apps[0].app_name: verdict.message}
    sound: Apps = ()
    refused: dict[str, str] = {}
    for part in _parts(apps, verdict.app_name):
        found, complaints = _sound(part, check)
        sound, refused = (*sound, *found), refused | complaints
    return sound, refused


def _parts(apps: Apps, blamed_name: str | None) -> tuple[Apps, Apps, Apps]:
    """The app that was blamed by itself, since the blame may be wrong (a brace that is missing is noticed in the next
    app's lines), and two halves of the others."""
    blamed = tuple(app for app in apps if app.app_name == blamed_name)
    others = tuple(app for app in apps if app.app_name != blamed_name)
    half = len(others) // 2
    return blamed, others[:half], others[half:]


def _as_before(apps: list[AppRoutes], served: Mapping[str, AppRoutes], check: Check) -> Apps:
    """What refused apps keep: their old routes and options with the servers of now, so that replicas still come and
    go; and if that won't do, all of the old."""
    old = [(served[app.app_name], app) for app in apps if app.app_name in served]
    kept, refused = _sound(tuple(replace(before, servers=app.servers) for before, app in old), check)
    unchanged, _ = _sound(tuple(before for before, app in old if app.app_name in refused), check)
    return (*kept, *unchanged)


def _together(apps: Apps, served: Mapping[str, AppRoutes], check: Check) -> tuple[Apps, dict[str, str]]:
    """As many of these as nginx takes beside each other; who is served already comes first, newcomers last."""
    everyone = _in_order(apps)
    if check(everyone) is None:
        return everyone, {}
    accepted: Apps = ()
    refused: dict[str, str] = {}
    for group in _by_claim(everyone, served):
        accepted, complaints = _grow(accepted, group, served, check)
        refused |= complaints
    return accepted, refused


def _by_claim(apps: Apps, served: Mapping[str, AppRoutes]) -> tuple[Apps, Apps, Apps]:
    """Those who want what they have, those who want something else, and newcomers."""
    old = tuple(app for app in apps if app.app_name in served)
    settled = tuple(app for app in old if app.routes == served[app.app_name].routes)
    moved = tuple(app for app in old if app.routes != served[app.app_name].routes)
    return settled, moved, tuple(app for app in apps if app.app_name not in served)


def _grow(base: Apps, more: Apps, served: Mapping[str, AppRoutes], check: Check) -> tuple[Apps, dict[str, str]]:
    """``base`` with as many of ``more`` as nginx takes beside it, and why it does not take the others."""
    everyone = _in_order((*base, *more))
    if not more or (verdict := check(everyone)) is None:
        return everyone, {}
    if len(more) == 1:
        kept = _as_before(list(more), served, lambda old: check(_in_order((*base, *old))))
        return _in_order((*base, *kept)), {more[0].app_name: verdict.message}
    half = len(more) // 2
    base, first = _grow(base, more[:half], served, check)
    base, second = _grow(base, more[half:], served, check)
    return base, first | second


def _in_order(apps: Apps) -> Apps:
    return tuple(sorted(apps, key=lambda app: app.app_name))
