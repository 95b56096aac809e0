"""YAML text to plain values with the line of each, as strictly as a control plane needs it.

Decides what of YAML a spec may use: mappings with text keys, lists, text, numbers, true and false, read as YAML 1.2
does. Everything that makes two readers see two things is a fault: duplicate keys, anchors, aliases, merge keys, tags,
empty values, unquoted words that older parsers take for something else. Faults are values; whatever the bytes are,
nothing is raised. How a text is scanned is told in `scanning`; what follows from it stands here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from reconciler.source.scalars import plain_value
from reconciler.source.scanning import LINE_BREAK, Events, exact, fast, read_alike

MAX_FILE_BYTES = 256 * 1024
MAX_DOCUMENTS = 256
MAX_DEPTH = 16
_TOO_DEEP = f"more than {MAX_DEPTH} levels of nesting"

Path = tuple[str | int, ...]

# What stands between two documents, and so begins no line inside of one.
_MARK = re.compile(rb"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Broken:
    """The value that stands where a fault was found, so that the fault is told once."""


BROKEN = Broken()


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. ``expected`` is empty where the field itself tells what belongs there."""

    path: Path
    line: int
    found: str
    expected: str = ""


@dataclass(slots=True)
class Document:
    """One YAML document: mappings as dicts, lists as tuples, and the line (from 1) of every key and list item.

    ``whole`` is False when reading had to stop in the middle; ``value`` then holds what came before.
    """

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    whole: bool = True

    def line(self, path: Path) -> int:
        """The line of a field or, where it isn't there, of the nearest field around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_documents(content: bytes) -> tuple[Document, ...]:
    """The documents of a file, empty ones left out. Never raises."""
    if len(content) > MAX_FILE_BYTES:
        return (_unreadable(1, f"{len(content)} bytes", f"a file of at most {MAX_FILE_BYTES // 1024} KiB"),)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_at(error.object[: error.start].decode("utf-8"))
        return (_unreadable(line, "bytes that are not UTF-8", "a text file in UTF-8"),)
    return tuple(_compose(text).documents)


def _compose(text: str) -> _Composer:
    """The documents by the fast scanner where it reads all of them, as it does of what people usually write; else by
    whichever of the two gets further: what follows their common way is a mistake for sure."""
    if not read_alike(text):
        return _Composer(text, exact)
    composer = _Composer(text, fast)
    if composer.refused_at is None:
        return composer
    other = _Composer(text, exact)
    return composer if other.refused_at is not None and other.refused_at <= composer.refused_at else other


def texts_of(content: bytes) -> Mapping[int, str]:
    """A digest of the text of each document, by the line that it begins in. Blanks around a document don't count."""
    texts, line = {}, 1
    for text in _MARK.split(content):
        if text.strip():
            texts[line] = hashlib.sha256(text.strip()).hexdigest()
        line += text.count(b"\n")
    return texts


def _unreadable(line: int, found: str, expected: str) -> Document:
    return Document(lines={(): line}, faults=[Fault((), line, found, expected)], whole=False)


class _TooMuch(Exception):
    """More documents, or deeper nesting, than any file of specs has. The message says how much."""


class _Composer:
    """Turns a scanner's events into documents. ``refused_at`` is the line and column where the scanner could go no
    further, None where it read everything."""

    def __init__(self, text: str, scan: Callable[[str], Events]) -> None:
        self._events = scan(text)
        self._document = Document()
        self.refused_at: tuple[int, int] | None = None
        self.documents: list[Document] = []
        try:
            self._read()
        except YAMLError as error:
            self.refused_at = _place(error)
            self._stop(*_explain(error, text))
        except _TooMuch as error:
            self._stop(max(self._document.lines.values()), str(error), "what an app spec needs")
        finally:
            self._events.dispose()
        self.documents = [document for document in self.documents if document.value is not None or document.faults]

    def _read(self) -> None:
        while not isinstance(event := self._events.get_event(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                self._document = Document(lines={(): event.start_mark.line + 1})
                self.documents.append(self._document)
                if len(self.documents) > MAX_DOCUMENTS:
                    raise _TooMuch(f"more than {MAX_DOCUMENTS} documents in one file")
                self._read_document(event)

    def _stop(self, line: int, found: str, expected: str) -> None:
        if not self.documents:
            self.documents.append(self._document)
        self._document.whole = False
        self._document.faults.append(Fault((), line, found, expected))

    def _read_document(self, start: DocumentStartEvent) -> None:
        if start.version not in (None, (1, 2)):
            self._fault((), start, "a %YAML directive", "YAML 1.2, without a directive")
        event = self._events.get_event()
        if isinstance(event, ScalarEvent) and not (event.style or event.value or event.tag or event.anchor):
            return
        self._document.lines[()] = event.start_mark.line + 1
        self._value(event, (), lambda value: setattr(self._document, "value", value))

    def _value(self, event: Any, path: Path, keep: Any) -> None:
        """Read the value that starts with the event. Containers are kept before they are filled, so that a document
        that breaks off still tells what came before."""
        if len(path) > MAX_DEPTH:
            raise _TooMuch(_TOO_DEEP)
        if self._is_foreign(event, path):
            keep(BROKEN)
            self._skip(event)
        elif isinstance(event, ScalarEvent):
            keep(self._scalar(event, path))
        elif isinstance(event, MappingStartEvent):
            mapping: dict[str, Any] = {}
            keep(mapping)
            self._mapping(path, mapping)
        else:
            items: list[Any] = []
            self._sequence(path, items)
            keep(tuple(items))

    def _is_foreign(self, event: Any, path: Path) -> bool:
        if isinstance(event, AliasEvent):
            self._fault(path, event, "an alias (*)", "the value itself, written out")
            return True
        if event.anchor:
            self._fault(path, event, "an anchor (&)", "a value without one")
        if event.tag:
            self._fault(path, event, "a tag (!)", "a value without one")
        return bool(event.anchor or event.tag)

    def _scalar(self, event: ScalarEvent, path: Path) -> Any:
        value = event.value if event.style else plain_value(event.value)
        if value is None:
            # Where nothing stands, its place is that of the next thing; people look where the field is.
            line = self._document.line(path) if not event.value else event.start_mark.line + 1
            self._document.faults.append(Fault(path, line, "nothing"))
            return BROKEN
        return value

    def _mapping(self, path: Path, mapping: dict[str, Any]) -> None:
        while not isinstance(event := self._events.get_event(), MappingEndEvent):
            key = self._key(event, path, mapping)
            value = self._events.get_event()
            if key is None:
                self._skip(value)
            else:
                self._document.lines[(*path, key)] = event.start_mark.line + 1
                self._value(value, (*path, key), lambda value, key=key: mapping.__setitem__(key, value))

    def _key(self, event: Any, path: Path, mapping: dict[str, Any]) -> str | None:
        """The key's text; None, with a fault told, where it can't be one."""
        key = getattr(event, "value", None)
        if not isinstance(key, str) or event.anchor or event.tag:
            self._fault(path, event, "a key that isn't plain text", "the name of a field")
            self._skip(event)
        elif key == "<<" and not event.style:
            self._fault(path, event, "a merge key (<<)", "the fields themselves, written out")
        elif key in mapping:
            first = self._document.lines[(*path, key)]
            self._fault((*path, key), event, f"a second {brief(key)}", f"it once (the first is in line {first})")
        elif not event.style and not isinstance(plain_value(key), str):
            self._fault(path, event, f"the key {brief(key)} without quotes", "a key that is text")
        else:
            return key
        return None

    def _sequence(self, path: Path, items: list[Any]) -> None:
        while not isinstance(event := self._events.get_event(), SequenceEndEvent):
            here = (*path, len(items))
            self._document.lines[here] = event.start_mark.line + 1
            self._value(event, here, items.append)

    def _skip(self, event: Any) -> None:
        """Pass over the rest of a value."""
        depth = _step(event)
        while depth:
            if depth > MAX_DEPTH:
                raise _TooMuch(_TOO_DEEP)
            depth += _step(self._events.get_event())

    def _fault(self, path: Path, event: Any, found: str, expected: str = "") -> None:
        self._document.faults.append(Fault(path, event.start_mark.line + 1, found, expected))


def _step(event: Any) -> int:
    if isinstance(event, MappingEndEvent | SequenceEndEvent):
        return -1
    return 0 if isinstance(event, ScalarEvent | AliasEvent) else 1


# ---- words for people

# What scanners find wrong, in libyaml's words or in ruamel's.
_EXPLANATIONS = tuple(
    (re.compile(problem), found, expected)
    for problem, found, expected in (
        ("mapping values are not allowed", "a colon where no field can begin", "`name: value` on a line"),
        (
            "did not find expected key|expected <block end>",
            "something that is no field of the mapping around it",
            "`name: value`, indented alike",
        ),
        (
            "cannot start any token",
            "a tab, or one of @ and ` without quotes",
            "spaces for indentation, and quotes around text that begins so",
        ),
        ("tab character", "a tab in the indentation", "spaces"),
        ("could not find expected ':'", "a field without a colon", "`name: value`"),
        ("unexpected end of stream", "the end of the file inside quotes", "the closing quote"),
        ("expected ',' or ']'", "a list that isn't closed", "`]`, or `,` between items"),
        ("expected ',' or '}'", "a mapping that isn't closed", "`}`, or `,` between fields"),
        ("sequence entries are not allowed", "a list item where none can begin", "`- value` on a line of its own"),
        ("unexpected ':'", "a colon where no field can begin", "`name: value`, or quotes around text that ends so"),
        ("mapping keys are not allowed", "a question mark where no key can begin", "quotes around text that begins so"),
        (
            "<?document start>?'?",
            "something that can't follow what is before it",
            "`name: value`, with a space after the colon, indented alike",
        ),
        ("node content", "punctuation where a value belongs", "a value, in quotes where it begins so"),
        ("escape", "a backslash that begins no escape of YAML", "two backslashes, or single quotes around the text"),
        ("document (separator|indicator)", "--- or ... inside quotes", "the closing quote"),
        ("incompatible YAML document", "a %YAML directive", "YAML 1.2, without a directive"),
    )
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _explain(error: YAMLError, text: str) -> tuple[int, str, str]:
    """Line, found and expected of a syntax error."""
    if not isinstance(error, MarkedYAMLError):
        place = _UNPRINTABLE.search(text)
        return _line_at(text, place.start() if place else 0), "a control character", "printable text in UTF-8"
    problem, line = str(error.problem), _place(error)[0] + 1
    told = ((found, expected) for pattern, found, expected in _EXPLANATIONS if pattern.search(problem))
    return min(line, _line_at(text.rstrip("\r\n"))), *next(told, (f"no valid YAML: {problem}", "valid YAML"))


def _place(error: YAMLError) -> tuple[int, int]:
    """The line and column, from 0, that a scanner came to; the very beginning where it didn't even begin."""
    mark = getattr(error, "problem_mark", None)
    return (mark.line, mark.column) if mark else (0, 0)


def _line_at(text: str, end: int | None = None) -> int:
    """The line, from 1, that a position in a text is in; the last one's where none is given."""
    return sum(1 for _ in LINE_BREAK.finditer(text, 0, len(text) if end is None else end)) + 1


def brief(text: str, length: int = 60) -> str:
    """Text from outside made fit for one line of a message: cut, and control characters escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: length + 1])
    return shown if len(text) <= length else f"{shown[:length]}…"
