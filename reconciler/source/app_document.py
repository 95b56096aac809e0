"""One document of one file, read as an app: the app, or everything that is wrong with it.

Decides what can be told from the document alone. Never raises, whatever the file holds; and where a document is too
broken to be an app it still tells the app's name if it can, so that the app's last good spec is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import ValidationError

from reconciler.model.desired import Problem
from reconciler.model.spec import App
from reconciler.source import later_rules
from reconciler.source.document import Document, Fault, Path, read_documents, texts_of
from reconciler.source.errors import fault_of, shown, spelled, value_at, without_echoes
from reconciler.source.schema import SECTIONS, describe, locate
from reconciler.source.stand_ins import stand_in

MAX_FAULTS = 100

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AppDocument:
    """A document of the file at ``path``, read as an app: ``app`` is None where it has faults. ``text`` is a digest of
    how it is written."""

    path: str
    yaml: Document
    app: App | None
    name: str | None
    faults: tuple[Fault, ...] = ()
    text: str = ""

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._problem(fault) for fault in self.faults)

    def problem(self, field: Path, found: str, expected: str) -> Problem:
        """A mistake at a field of this document that only other documents show."""
        return self._problem(Fault(field, 0, found, expected))

    def _problem(self, fault: Fault) -> Problem:
        field = self._as_written(fault.path)
        line = (fault.line or self.yaml.line(field)) if self.yaml.lines else None
        return Problem(self.path, line, spelled(field), fault.found, fault.expected, self.name)

    def _as_written(self, path: Path) -> Path:
        """Where the document has a section that may stand in two places."""
        for home, other in SECTIONS:
            if path[: len(home)] == home and home not in self.yaml.lines and other in self.yaml.lines:
                return (*other, *path[len(home) :])
        return path


def read_file(path: str, content: bytes) -> tuple[AppDocument, ...]:
    """All documents of a file. Of one that only stands for a spec they tell the names, where those can be read."""
    texts = texts_of(content)
    documents = tuple(
        replace(_read(path, yaml), text=_text_at(yaml.line(()), texts)) for yaml in read_documents(content)
    )
    if why := stand_in(content):
        return tuple(replace(document, app=None, faults=(Fault((), 0, *why),)) for document in documents)
    return documents


def _text_at(line: int, texts: Mapping[int, str]) -> str:
    """The digest of the text that a line lies in."""
    return texts.get(max((begin for begin in texts if begin <= line), default=0), "")


def unreadable(path: str, found: str, expected: str) -> AppDocument:
    """A file that can't be a spec at all."""
    return AppDocument(path, Document(whole=False), None, None, (Fault((), 0, found, expected),))


def _read(path: str, yaml: Document) -> AppDocument:
    faults = [*_with_expectations(yaml.faults)]
    value, doubled = _gathered(yaml.value)
    faults += doubled
    app = None
    if yaml.whole:
        app, wrongs = _validated(value)
        faults += wrongs
    if app is not None:
        faults += (*_schedule_faults(app), *later_rules.faults(app))
    name = _name(yaml.value)
    faults.sort(key=lambda fault: (fault.line or yaml.line(fault.path), spelled(fault.path)))
    return AppDocument(path, yaml, None if faults else app, name, _bounded(faults))


def _bounded(faults: list[Fault]) -> tuple[Fault, ...]:
    """As many faults as people can use: all of any document that people write; of others, enough."""
    rest = len(faults) - MAX_FAULTS
    if rest <= 0:
        return tuple(faults)
    return (*faults[:MAX_FAULTS], Fault((), faults[MAX_FAULTS].line, f"{rest} more problems", "an app spec"))


def _with_expectations(faults: list[Fault]) -> Iterator[Fault]:
    """The faults with what is expected: by the schema, where YAML alone can't tell what belongs in a field."""
    for fault in faults:
        if fault.expected:
            yield fault
        else:
            yield Fault(fault.path, fault.line, fault.found, describe(locate(_home(fault.path))[1]))


def _home(path: Path) -> Path:
    """Where the model has a field of a section that may stand in two places."""
    for home, other in SECTIONS:
        if path[: len(other)] == other:
            return (*home, *path[len(other) :])
    return path


def _gathered(value: Any) -> tuple[Any, list[Fault]]:
    """The document with each section in the place the model has it, and faults for those in both places."""
    faults: list[Fault] = []
    if not isinstance(value, dict) or not isinstance(value.get("spec"), dict):
        return value, faults
    gathered = {**value, "spec": dict(value["spec"])}
    for home, other in SECTIONS:
        here, there = (gathered["spec"] if len(path) == 2 else gathered for path in (home, other))
        if other[-1] not in there:
            continue
        moved = there.pop(other[-1])
        if home[-1] in here:
            faults.append(Fault(other, 0, f"a second {other[-1]}", f"{spelled(home)} or {spelled(other)}, not both"))
        else:
            here[home[-1]] = moved
    return gathered, faults


def _validated(value: Any) -> tuple[App | None, list[Fault]]:
    try:
        return App.model_validate(value, by_alias=True, by_name=False), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    faults = without_echoes([fault for each in errors if (fault := fault_of(each, value))])
    return None, [fault for fault in faults if fault.path == ("kind",) and fault.found != "nothing"] or faults


def _schedule_faults(app: App) -> Iterator[Fault]:
    """What the model can't check, since it takes files of the system or a library to know."""
    for index, bounds in enumerate(app.scaling.schedule):
        here = ("scaling", "schedule", index)
        try:
            ZoneInfo(bounds.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            expected = "an IANA time zone such as Europe/Berlin, or UTC"
            yield Fault((*here, "timezone"), 0, shown(bounds.timezone, here), expected)
        if not _can_fire(bounds.cron):
            expected = 'a cron expression of five fields such as "0 8 * * 1-5"'
            yield Fault((*here, "cron"), 0, shown(bounds.cron, here), expected)


def _can_fire(cron: str) -> bool:
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        return False
    return len(cron.split()) == 5


def _name(value: Any) -> str | None:
    """The app's name, where it can be told and is one."""
    name = value_at(("metadata", "name"), value)
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None
