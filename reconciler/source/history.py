"""Which commit changed a part of the source last: a document of a file, or a file that a spec places.

Decides how far a repository's history is looked at: commits from the newest on, until each part is accounted for, and a
bounded number of them. Of a file with several documents the text of the one that is meant counts; a file that was only
renamed is followed to where it was. History that isn't here (a shallow clone's, a partial clone's contents) is never
fetched for this: what can't be told is left open, and costs no reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.change import Change
from reconciler.ports import Unavailable
from reconciler.source.document import MAX_FILE_BYTES, brief, texts_of
from reconciler.source.git import Repository
from reconciler.source.snapshot import Part, is_spec

MAX_COMMITS = 4096
_FIRST_PORTION = 64
# The most contents of before that are read for a portion; a commit that changed more files is believed to have changed
# each app in them.
_MAX_CONTENTS = 4096
_MAX_SUBJECT, _MAX_AUTHOR = 200, 100
# The end of the year 9999, in epoch seconds: git takes later moments, which no calendar has.
_LATEST = 253402300799.0


@dataclass(frozen=True)
class _Commit:
    """A commit, and each path that it changed: the names of its contents ``before``, by parent, and ``after``."""

    change: Change
    before: Mapping[str, Sequence[str]]
    after: Mapping[str, str]

    @cached_property
    def lost(self) -> Mapping[str, str]:
        """The path of each content that is no longer where it was."""
        gone = [path for path, blob in self.after.items() if not _is_there(blob)]
        return {blob: path for path in gone for blob in self.before[path]}


class History:
    """The history of a directory ("" for the top) of a repository. Not to be shared by threads."""

    def __init__(self, repository: Repository, directory: str) -> None:
        self._repository = repository
        self._directory = directory
        self._known: Mapping[Part, Change | None] = {}
        self._begins_at: frozenset[str] = frozenset()

    def changes(self, commit: str, parts: Sequence[Part]) -> Mapping[Part, Change]:
        """The last change of each part as the commit has it, as far as that can be told, the newest first. What was
        asked for the last time and is as it was isn't looked for again, unless more history is here by now."""
        begins_at = self._repository.shallow
        known = {part: change for part, change in self._known.items() if change or begins_at == self._begins_at}
        fresh = [part for part in parts if part not in known]
        walk = _Walk(self._repository, self._directory, fresh)
        with suppress(Unavailable):
            commits = self._repository.commits(commit, MAX_COMMITS) if fresh else ()
            walk.along([name for name in commits if name not in begins_at])
        # What was found now is newer than what was known; what was not found won't be, however often one looks.
        known = walk.found | known | dict.fromkeys(part for part in fresh if part not in walk.found)
        wanted = frozenset(parts)
        self._known, self._begins_at = {part: known[part] for part in known if part in wanted}, begins_at
        told = [(part, change) for part, change in self._known.items() if change]
        return dict(sorted(told, key=lambda pair: pair[1].at, reverse=True))


class _Walk:
    """A walk through the history, from the newest commit on, to where each part was changed last: ``found``."""

    def __init__(self, repository: Repository, directory: str, parts: Iterable[Part]) -> None:
        self._repository = repository
        self._prefix = f"{directory}/" if directory else ""
        self._texts: Mapping[str, frozenset[str]] = {}
        # What is still looked for, by the path and the content that it had before the commits so far.
        self._sought: defaultdict[tuple[str, str], list[Part]] = defaultdict(list)
        for part in parts:
            self._sought[part.path, part.blob].append(part)
        self.found: dict[Part, Change] = {}

    def along(self, names: Sequence[str]) -> None:
        """Go along these commits, in portions that grow, until every part is found."""
        begin, size = 0, _FIRST_PORTION
        while self._sought and begin < len(names):
            answer = self._repository.changed_paths(names[begin : begin + size], self._prefix)
            self._through(list(_commits(answer, len(self._prefix))))
            begin, size = begin + size, size * 4

    def _through(self, commits: Sequence[_Commit]) -> None:
        self._texts = self._texts_before(commits)
        for commit in commits:
            for place in commit.after.items():
                for part in self._sought.pop(place, ()):
                    self._follow(part, *place, commit)

    def _texts_before(self, commits: Sequence[_Commit]) -> Mapping[str, frozenset[str]]:
        """The texts in the files that these commits changed, by the names of the contents before, where they are here:
        git would fetch for a partial clone what it lacks, and fails where it may not."""
        blobs = {blob for commit in commits for path in commit.before if is_spec(path) for blob in commit.before[path]}
        contents: Mapping[str, bytes] = {}
        with suppress(Unavailable):
            contents = self._repository.known_contents(sorted(filter(_is_there, blobs))[:_MAX_CONTENTS], MAX_FILE_BYTES)
        return {blob: frozenset(texts_of(content).values()) for blob, content in contents.items()}

    def _follow(self, part: Part, path: str, blob: str, commit: _Commit) -> None:
        """Look on for a part where it was before this commit, if it was; else it is found."""
        before = commit.before[path]
        if blob in commit.lost and not any(map(_is_there, before)):
            self._sought[commit.lost[blob], blob].append(part)
        elif same := next((old for old in before if part.text in self._texts.get(old, ())), None):
            self._sought[path, same].append(part)
        else:
            unread = any(_is_there(old) and old not in self._texts for old in before)
            self.found[part] = replace(commit.change, of_file=unread and part.of_several)


def _commits(answer: bytes, skip: int) -> Iterator[_Commit]:
    """The commits of an answer of diff-tree: name, time, author and subject of each and, for every path that it
    changed, a word of modes, contents and letters, and the path, from which so much is left out."""
    words = iter(answer.split(b"\0"))
    change: Change | None = None
    before: dict[str, Sequence[str]] = {}
    after: dict[str, str] = {}
    for word in (word.lstrip(b"\n") for word in words):
        if word.startswith(b":"):
            path = next(words).decode("utf-8", "backslashreplace")[skip:]
            *before[path], after[path] = _contents(word)
        elif word:
            if change:
                yield _Commit(change, before, after)
            change, before, after = _change(word, next(words), next(words), next(words)), {}, {}
    if change:
        yield _Commit(change, before, after)


def _contents(word: bytes) -> Sequence[str]:
    """The names of a path's contents, by parent and after the commit: after as many colons and as many modes."""
    parents = len(word) - len(word.lstrip(b":"))
    return word.decode("ascii", "replace").split()[parents + 1 : 2 * parents + 2]


def _change(name: bytes, at: bytes, author: bytes, subject: bytes) -> Change:
    who, what = (text.decode("utf-8", "replace") for text in (author, subject))
    moment = min(float(at or 0), _LATEST)
    return Change(name.decode("ascii"), brief(who, _MAX_AUTHOR), moment, brief(what, _MAX_SUBJECT))


def _is_there(blob: str) -> bool:
    """Whether there is a content of this name; none is named by zeros."""
    return bool(blob.strip("0"))
