"""Which secrets have changed since containers were made with them, and whose turn it is to be rolled out for that.

A change counts once two looks agree on it. One secret may be that of many apps, so one app after the other takes it;
one that lacks a replica until then takes it out of turn. A secret that can't be read is no change, and neither is one
that nothing was known of.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.decide.rollout.failure import deadline_of
from reconciler.model.app_state import AppState
from reconciler.model.events import Event
from reconciler.model.observed import Observed
from reconciler.model.reasons import Reason
from reconciler.model.secrets import changed
from reconciler.model.version import Version


def noticed(apps: Mapping[str, AppState], observed: Observed) -> tuple[dict[str, AppState], tuple[Event, ...]]:
    """The apps, with the secrets that their containers are to be created with, and the changes among them."""
    apps, events = dict(apps), []
    turn_is_taken = any(_is_rolling_out(app) for app in apps.values())
    for name, seen in sorted(observed.secrets.items()):
        if name not in apps:
            continue
        app, version = apps[name], apps[name].version
        names = changed(version.secrets, seen.digests)
        if not names and version.secrets != seen.digests:
            apps[name] = app.secrets_recorded(seen.digests)
        if not (names and seen.agreed) or version.app.spec.suspend or (turn_is_taken and not _is_in_need(app)):
            continue
        apps[name] = app.changed(_after_change(app, seen.digests), observed.at).given_a_new_chance()
        events.append(Event(observed.at, "app", f"secrets changed: {', '.join(names)}", name))
        turn_is_taken = True
    return apps, tuple(events)


def _is_rolling_out(app: AppState) -> bool:
    """Whether it is being rolled out for its secrets, and nothing outside holds that up."""
    version, rollout = app.version, app.rollout
    is_for_secrets = rollout is not None and version.secrets_turn > 0 and rollout.to_hash == version.spec_hash
    return is_for_secrets and deadline_of(app, version) is not None


def _is_in_need(app: AppState) -> bool:
    """Whether a replica can't be created before the change has been noticed."""
    backoff = app.pacing.creation
    return backoff is not None and backoff.reason == Reason.SECRET_CHANGED


def _after_change(app: AppState, digests: Mapping[str, str]) -> Version:
    """Its newest version with these secrets; where they are what they were before, that version again."""
    version = app.version
    before = (known for known in app.versions if known.secrets == digests and known.text_hash == version.text_hash)
    sibling = next(before, None)
    return version.like(sibling) if sibling else version.with_changed_secrets(digests)
