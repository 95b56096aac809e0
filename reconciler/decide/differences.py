"""Differences: what differs between two versions of an app, field by field, for people.

One list serves the event of a changed spec, the causes of actions, and `plan`. What may well be a secret is never
told: of variables, headers, files, arguments, bodies and queries only that they changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reconciler.decide.words import route_text
from reconciler.model.secrets import changed as changed_secrets
from reconciler.model.spec import (
    AppSpec,
    ContainerPort,
    CustomMetric,
    File,
    HttpHeader,
    Part,
    PlainVariable,
    Route,
    ScheduledBounds,
    SdkVariable,
    SecretVariable,
    Volume,
)
from reconciler.model.spec_types import without_query
from reconciler.model.version import CONTAINER_FIELDS, Version, container_fields, short

CHANGED = "(changed)"
MOST_TOLD = 12
# The fields that say how replicas are asked.
_CHECKS = ("healthCheck", "spec.readiness", "spec.edge.upstreamTLS")

_PRIVATE = frozenset({"args", "body", "command", "environment", "files", "headers", "query"})
_LONGEST_VALUE = 60

# By their names in YAML.
_CONTAINER_FIELDS = frozenset(str(AppSpec.model_fields[name].alias) for name in CONTAINER_FIELDS)

# What tells the items of a list apart: it stays while the item changes.
_KEYS: Mapping[type[Part], Callable[[Any], str]] = {
    ContainerPort: lambda port: str(port.container_port),
    CustomMetric: lambda metric: str(metric.name),
    File: lambda file: str(file.mount_path),
    HttpHeader: lambda header: str(header.name),
    PlainVariable: lambda variable: str(variable.name),
    Route: route_text,
    ScheduledBounds: lambda bounds: f"{bounds.cron} {bounds.timezone}",
    SdkVariable: lambda variable: str(variable.name),
    SecretVariable: lambda variable: str(variable.name),
    Volume: lambda volume: str(volume.mount_path),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs. ``field`` is its place in the spec (``scaling.minReplicas``, ``spec.environment[PORT]``),
    ``change`` what it was and is; ``recreates`` says that containers are created anew for it."""

    field: str
    change: str
    recreates: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.change}"


def differences(old: Version | None, new: Version) -> tuple[Difference, ...]:
    """Every field that differs, in the order of the spec; none where ``old`` is unknown."""
    if old is None or old is new:
        return ()
    recreated = old.spec_hash != new.spec_hash
    changed = [
        Difference(field, change, recreated and _makes_containers(field))
        for field, change in (*_of_parts("", old.app, new.app), *_of_contents(old, new))
    ]
    changed += [Difference(f"secret {name}", CHANGED, recreated) for name in changed_secrets(old.secrets, new.secrets)]
    return tuple(changed) or tuple(_only_written_out(old, new))


def recreating(old: Version | None, new: Version) -> tuple[Difference, ...]:
    """The differences for which containers are created anew."""
    if old is None or old.spec_hash == new.spec_hash:
        return ()
    return tuple(difference for difference in differences(old, new) if difference.recreates)


def changed_checks(old: Version | None, new: Version) -> str:
    """How the new version asks otherwise than the old one, and since which revision; "" where it doesn't."""
    changed = [difference for difference in differences(old, new) if difference.field.startswith(_CHECKS)]
    return f"its check was changed at {short(new.revision)}: {told(changed)}" if changed else ""


def told(changed: Sequence[Difference]) -> str:
    """Differences in one sentence; of many the first ones."""
    more = f"; and {len(changed) - MOST_TOLD} more" if len(changed) > MOST_TOLD else ""
    return "; ".join(map(str, islice(changed, MOST_TOLD))) + more


def _of_parts(prefix: str, old: Part, new: Part) -> Iterator[tuple[str, str]]:
    """What differs between two parts of one kind, by fields."""
    for name, info in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if before is not after and before != after:
            yield from _of_values(f"{prefix}{info.alias or name}", info.alias or name, before, after)


def _of_values(field: str, name: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    if isinstance(old, Part) and type(old) is type(new):
        yield from _of_parts(f"{field}.", old, new)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _of_items(field, name, old, new)
    elif (before := _keyed(old)) is not None and (after := _keyed(new)) is not None:
        inside = list(_of_items(field, name, before, after))
        yield from inside or [(field, "another order")]
    elif name in _PRIVATE or (name == "path" and old and new and without_query(old) == without_query(new)):
        yield field, CHANGED
    else:
        yield field, f"{_brief_of(name, old)} → {_brief_of(name, new)}"


def _of_items(field: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in (*old, *(key for key in new if key not in old)):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if name in _PRIVATE:
            yield f"{field}[{key}]", CHANGED
        else:
            yield from _of_values(f"{field}[{key}]", name, before, after)


def _keyed(value: Any) -> Mapping[str, Part] | None:
    """The parts of a list by what tells them apart; None where that is not to be had."""
    items = value or ()
    if not isinstance(items, tuple) or not all(type(item) in _KEYS for item in items):
        return None
    by_key = {_KEYS[type(item)](item): item for item in items}
    return by_key if len(by_key) == len(items) else None


def _of_contents(old: Version, new: Version) -> Iterator[tuple[str, str]]:
    """Files whose place is the same, but not their content."""
    before = {file.mount_path: old.files.get(file.path) for file in old.app.spec.files if file in new.app.spec.files}
    for file in new.app.spec.files:
        if file.mount_path in before and before[file.mount_path] != new.files.get(file.path):
            yield f"spec.files[{file.mount_path}]", CHANGED


def _only_written_out(old: Version, new: Version) -> Iterator[Difference]:
    """Of a spec that means the same, container fields that it gives now, or no more."""
    if old.text_hash == new.text_hash:
        return
    before, after = container_fields(old.app), container_fields(new.app)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Difference(f"spec.{name}", "written out" if name in after else "left to its default", recreates=True)


def _brief_of(name: str, value: Any) -> str:
    return _brief(without_query(value) if name == "path" and value else value)


def _brief(value: Any) -> str:
    """A value in a few words; of a part the fields that were given, without what may be a secret."""
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        text = f"[{', '.join(map(_brief, value))}]"
    elif isinstance(value, Part):
        text = f"{{{', '.join(_given(value))}}}"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _given(part: Part) -> Iterator[str]:
    for name, info in type(part).model_fields.items():
        if name in part.model_fields_set and info.alias not in _PRIVATE:
            yield f"{info.alias}: {_brief_of(name, getattr(part, name))}"


def _makes_containers(field: str) -> bool:
    section, _, rest = field.partition(".")
    return section == "spec" and re.split(r"[.\[]", rest, maxsplit=1)[0] in _CONTAINER_FIELDS
