"""What `orchestry validate` checks and prints: files as they lie there, committed or not, and what is piped into it.

Decides which files a path means and which problems they have, by the loader's own code. It never reads git.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.model.desired import Problem
from reconciler.model.spec import App
from reconciler.ports import Unavailable
from reconciler.source.app_document import AppDocument, read_file, unreadable
from reconciler.source.conflicts import conflicts
from reconciler.source.directory import Files, entry_at, look
from reconciler.source.document import MAX_FILE_BYTES, brief
from reconciler.source.snapshot import Entry, is_in_hidden_directory, is_spec, misnamed
from reconciler.source.specs import order, placed_files, refusal, why_blank

_DISK = Files(Path())
# The path that stands for standard input, which lies in the current directory.
_PIPED = Path("-")
_NAME_OF_PIPED = "<stdin>"


@dataclass(frozen=True, slots=True)
class Caution:
    """Something valid that its author may not have meant. ``app_name`` is empty for what concerns a whole path."""

    path: str
    app_name: str
    message: str


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found; ``apps`` are the names of the valid ones."""

    problems: tuple[Problem, ...]
    warnings: tuple[Caution, ...]
    apps: tuple[str, ...]


def validate(
    paths: Sequence[str | Path], *, warn: Callable[[Sequence[App]], Mapping[str, Sequence[str]]] = lambda _: {}
) -> Validation:
    """Check files, directories with everything below them, and for ``-`` standard input, as one source.

    Where single files are given there may be more apps than these, so their dependencies aren't looked for. ``warn``
    says what is doubtful about the valid apps, by their names.
    """
    by_path = {path: list(_documents(path)) for path in dict.fromkeys(map(Path, paths))}
    documents = list({location: document for below in by_path.values() for location, document in below}.values())
    _, file_problems = placed_files(documents, _beside, _contents)
    elsewhere = any(not path.is_dir() for path in by_path)
    cross = conflicts(documents, names_elsewhere=elsewhere)
    problems = sorted((*(p for d in documents for p in d.problems), *cross, *file_problems), key=order)
    bad = {problem.app_name for problem in problems}
    good = [(document.path, document.app) for document in documents if document.app and document.name not in bad]
    doubts = warn([app for _, app in good])
    warnings = [Caution(path, app.name, message) for path, app in good for message in doubts.get(app.name, ())]
    warnings += [
        Caution(str(path), "", "no app in it") for path, below in by_path.items() if path.is_dir() and not below
    ]
    return Validation(tuple(problems), tuple(warnings), tuple(sorted(app.name for _, app in good)))


def _documents(path: Path) -> Iterator[tuple[tuple[Path, int], AppDocument]]:
    """The documents a path means, each with what tells it from all others however it was reached."""
    if path == _PIPED:
        yield from (((path, index), document) for index, document in enumerate(_read_piped()))
        return
    try:
        files = _spec_files(path)
    except Unavailable as error:
        yield (path, 0), unreadable(brief(str(path), 300), str(error), "a directory that can be read")
        return
    for file in files:
        for index, document in enumerate(_read(file)):
            yield (file.absolute(), index), document


def _spec_files(path: Path) -> Sequence[Path]:
    """The spec files that a path means. Raises Unavailable where not everything in a directory can be seen."""
    if not path.is_dir():
        return [path]
    return [path / name for name in sorted(look(path).files) if is_spec(name) or misnamed(name)]


def _read_piped() -> tuple[AppDocument, ...]:
    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if sys.stdin else b""
    if len(content) > MAX_FILE_BYTES:
        expected = f"at most {MAX_FILE_BYTES // 1024} KiB; give directories or files"
        return (unreadable(_NAME_OF_PIPED, "more bytes than a spec file may have", expected),)
    documents = read_file(_NAME_OF_PIPED, content)
    why = why_blank(_NAME_OF_PIPED, documents)
    return (unreadable(_NAME_OF_PIPED, *why),) if why else documents


def _read(path: Path) -> tuple[AppDocument, ...]:
    name = brief(str(path), 300)
    entry = entry_at(path)
    if entry is None:
        return (unreadable(name, "nothing there", "a file or a directory"),)
    if refused := refusal(entry, MAX_FILE_BYTES):
        return (unreadable(name, *refused),)
    try:
        documents = read_file(name, _DISK.read(str(path)))
    except Unavailable as error:
        return (unreadable(name, str(error), "a file that can be read"),)
    why = why_blank(str(path), documents)
    return (unreadable(name, *why),) if why else documents


def _beside(directory: str, path: str) -> Entry | None:
    """A file that a spec names, unless the way to it leads through a link or a hidden directory."""
    way = [Path(directory, parent) for parent in Path(path).parents[:-1]]
    linked = any(parent.is_symlink() for parent in way)
    return None if linked or is_in_hidden_directory(path) else entry_at(Path(directory, path))


def _contents(entries: Sequence[Entry]) -> Mapping[str, bytes]:
    """The contents of these files; none of one that can't be read just now, since that it is there counts most."""
    contents = {}
    for entry in entries:
        try:
            contents[entry.path] = _DISK.read(entry.path)
        except Unavailable:
            contents[entry.path] = b""
    return contents


def format_validation(validation: Validation, output: str) -> str:
    """The result for people (``text``) or for machines (``json``)."""
    if output == "json":
        return json.dumps({"valid": not validation.problems, **asdict(validation)}, indent=2, ensure_ascii=False)
    lines = [str(problem) for problem in validation.problems]
    lines += [f"{w.path}: warning: {f'{w.app_name}: ' if w.app_name else ''}{w.message}" for w in validation.warnings]
    return "\n".join([*lines, _summary(validation)])


def _summary(validation: Validation) -> str:
    apps = f"{len(validation.apps)} valid {'app' if len(validation.apps) == 1 else 'apps'}"
    if not validation.problems:
        return f"{apps}: {', '.join(validation.apps)}" if validation.apps else apps
    files = len({problem.path for problem in validation.problems})
    problems = f"{len(validation.problems)} {'problem' if len(validation.problems) == 1 else 'problems'}"
    return f"{problems} in {files} {'file' if files == 1 else 'files'}; {apps}"
