"""A snapshot's files to what they ask for.

Decides which apps a snapshot holds and which problems it has. A file is parsed once for each of its contents; whatever
is wrong with one file costs only the apps in it.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

from reconciler.model.change import Change
from reconciler.model.desired import Blank, Desired, Problem
from reconciler.model.spec import App
from reconciler.model.version import Version
from reconciler.ports import Unavailable
from reconciler.source.app_document import AppDocument, read_file, unreadable
from reconciler.source.conflicts import conflicts
from reconciler.source.document import MAX_FILE_BYTES, brief
from reconciler.source.snapshot import (
    MAX_CONTENT_BYTES,
    MAX_TOTAL_BYTES,
    Entry,
    Part,
    Snapshot,
    is_hidden,
    is_spec,
    misnamed,
)
from reconciler.source.stand_ins import stand_in

NO_DOCUMENT = ("no document", "an app spec; to remove an app, remove its file")


class Specs:
    """Reads snapshots, remembering what the last one's files said. Not to be shared by threads."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], tuple[AppDocument, ...]] = {}
        self._held: Mapping[str, frozenset[str]] = {}
        self._versions: Mapping[str, Version] = {}

    def desired(self, snapshot: Snapshot) -> Desired:
        """What a snapshot asks for. Raises Unavailable when the snapshot's contents can't be had any more."""
        by_path = self._read(snapshot)
        blanks = self._blanks(by_path)
        documents = [document for path, below in by_path.items() if is_spec(path) for document in below]
        files, file_problems = placed_files(documents, _finder(snapshot), snapshot.contents)
        problems = (*(p for d in documents for p in d.problems), *conflicts(documents), *file_problems)
        bad = {problem.app_name for problem in problems}
        changes = _changes(by_path, bad, snapshot)
        self._versions = {
            app.name: self._version(app, document.path, snapshot.revision, files, changes.get(app.name))
            for document in documents
            if (app := document.app) and app.name not in bad
        }
        in_order = tuple(sorted(problems, key=order))
        return Desired(snapshot.revision, self._versions, in_order, _not_followed(snapshot), blanks)

    def _read(self, snapshot: Snapshot) -> Mapping[str, tuple[AppDocument, ...]]:
        """The documents of all specs, and of files that are none for their ending's spelling only, in order of path."""
        entries = sorted(
            (e for e in snapshot.entries.values() if is_spec(e.path) or misnamed(e.path)), key=lambda e: e.path
        )
        known = {
            (e.path, e.blob): self._documents[e.path, e.blob] for e in entries if (e.path, e.blob) in self._documents
        }
        fresh = [entry for entry in entries if (entry.path, entry.blob) not in known]
        readable = [entry for entry in fresh if not refusal(entry, MAX_FILE_BYTES)]
        if (total := sum(entry.size_bytes for entry in readable)) > MAX_TOTAL_BYTES:
            raise Unavailable(f"{total >> 20} MiB of specs in {snapshot.revision[:12]}: name a directory of specs")
        contents = snapshot.contents(readable)
        for entry in fresh:
            path, refused = brief(entry.path, 300), refusal(entry, MAX_FILE_BYTES)
            documents = (unreadable(path, *refused),) if refused else read_file(path, contents[entry.path])
            known[entry.path, entry.blob] = documents
        self._documents = known
        return {entry.path: known[entry.path, entry.blob] for entry in entries}

    def _blanks(self, by_path: Mapping[str, tuple[AppDocument, ...]]) -> tuple[Blank, ...]:
        """The files that ask for no app. Which apps one held is remembered until it holds others."""
        before = self._held
        self._held = {path: _names(documents) or before.get(path, frozenset()) for path, documents in by_path.items()}
        return tuple(
            Blank(brief(path, 300), *why, self._held[path], misnamed(path) or path)
            for path, documents in by_path.items()
            if (why := why_blank(path, documents))
        )

    def _version(
        self, app: App, path: str, revision: str, files: Mapping[str, Mapping[str, bytes]], change: Change | None
    ) -> Version:
        contents = files.get(app.name, {})
        before = self._versions.get(app.name)
        if before and before.app is app and before.path == path and before.files == contents:
            return dataclasses.replace(before, revision=revision, change=change)
        return dataclasses.replace(Version.of(app, revision, path, contents), change=change)


def _changes(
    by_path: Mapping[str, Sequence[AppDocument]], bad: AbstractSet[str | None], snapshot: Snapshot
) -> Mapping[str, Change]:
    """The commit that changed each app last: its document, or a file that it places, whichever came later."""
    parts = {
        app.name: (
            Part(path, snapshot.entries[path].blob, document.text, len(documents) > 1),
            *_placed_parts(document, snapshot.entries),
        )
        for path, documents in by_path.items()
        for document in documents
        if (app := document.app) and is_spec(path) and app.name not in bad
    }
    known = snapshot.changes(tuple(chain.from_iterable(parts.values())))
    ages = {part: age for age, part in enumerate(known)}
    newest = {name: min(of_app, key=lambda part: ages.get(part, len(ages))) for name, of_app in parts.items()}
    return {name: known[part] for name, part in newest.items() if part in known}


def _placed_parts(document: AppDocument, entries: Mapping[str, Entry]) -> Iterator[Part]:
    for _, _, path in _wanted_files([document]):
        if entry := entries.get(posixpath.join(posixpath.dirname(document.path), path)):
            yield Part.whole(entry.path, entry.blob)


def why_blank(path: str, documents: Sequence[AppDocument]) -> tuple[str, str] | None:
    """Found and expected where a file asks for no app, though people may think that it does."""
    if meant := misnamed(path):
        return f"the ending {posixpath.splitext(path)[1]}", f"the name {brief(posixpath.basename(meant), 300)}"
    return None if documents else NO_DOCUMENT


def _names(documents: Sequence[AppDocument]) -> frozenset[str]:
    return frozenset(document.name for document in documents if document.name)


def placed_files(
    documents: Sequence[AppDocument],
    find: Callable[[str, str], Entry | None],
    read: Callable[[Sequence[Entry]], Mapping[str, bytes]],
) -> tuple[Mapping[str, Mapping[str, bytes]], list[Problem]]:
    """The contents of ``spec.files`` by app and path, and problems for those that can't be had.

    ``find`` is given a spec's directory and the path of a file relative to it.
    """
    problems: list[Problem] = []
    wanted: list[tuple[AppDocument, int, str, Entry]] = []
    for document, index, path in _wanted_files(documents):
        directory = posixpath.dirname(document.path)
        entry = find(directory, path)
        absent = ("nothing there", f"a file of this revision: {posixpath.join(directory, path)}")
        refused = refusal(entry, MAX_CONTENT_BYTES) if entry else absent
        if refused:
            problems.append(document.problem(("spec", "files", index, "path"), *refused))
        elif entry:
            wanted.append((document, index, path, entry))
    contents = read(list({entry.path: entry for *_, entry in wanted}.values()))
    files: dict[str, dict[str, bytes]] = {}
    for document, index, path, entry in wanted:
        files.setdefault(document.name or "", {})[path] = contents[entry.path]
        if why := stand_in(contents[entry.path]):
            problems.append(document.problem(("spec", "files", index, "path"), f"{why[0]}: {brief(path)}", why[1]))
    return files, problems


def _finder(snapshot: Snapshot) -> Callable[[str, str], Entry | None]:
    return lambda directory, path: snapshot.entries.get(posixpath.join(directory, path))


def _wanted_files(documents: Sequence[AppDocument]) -> Iterator[tuple[AppDocument, int, str]]:
    for document in documents:
        for index, file in enumerate(document.app.spec.files if document.app else ()):
            yield document, index, file.path


def refusal(entry: Entry, max_bytes: int) -> tuple[str, str] | None:
    """Found and expected where an entry is nothing to be read."""
    if entry.kind == "file without its content":
        return f"a {entry.kind}", "a repository that has it; in a partial clone check it out, in any other run git fsck"
    if entry.kind != "file":
        return f"a {entry.kind}", "a regular file"
    if entry.size_bytes > max_bytes:
        return f"{entry.size_bytes} bytes", f"a file of at most {max_bytes // 1024} KiB"
    return None


def _not_followed(snapshot: Snapshot) -> tuple[str, ...]:
    """Notices of what people may take for part of the source."""
    ways_out = [e.path for e in snapshot.entries.values() if e.kind in ("symbolic link", "submodule")]
    names = sorted(path for path in ways_out if not is_hidden(path) and not is_spec(path))
    more = ", …" if len(names) > 3 else ""
    return (f"symbolic links and submodules are not followed: {', '.join(names[:3])}{more}",) if names else ()


def order(problem: Problem) -> tuple[str, int, str, str]:
    """Problems sort by file, line and field."""
    return problem.path, problem.line or 0, problem.field, problem.found
