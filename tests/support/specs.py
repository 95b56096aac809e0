"""Spec files as text, and what reading them gives."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from reconciler.model.desired import Desired, Problem
from reconciler.source.app_document import AppDocument, read_file
from reconciler.source.directory import DirectorySource

_WEB = """\
apiVersion: v1
kind: App
metadata:
  name: {name}
spec:
  image: demo:1
  ports:
    - {{containerPort: 8080, protocol: HTTP}}
"""


def web(name: str = "web", *, spec: str = "", top: str = "") -> str:
    """A small valid http app (eight lines), with further lines of ``spec`` and of the document."""
    return _WEB.format(name=name) + _lines(spec, "  ") + _lines(top)


def worker(name: str = "jobs", *, spec: str = "", top: str = "") -> str:
    """A small valid worker: lines 1 to 7, then the further ones."""
    head = f"apiVersion: v1\nkind: App\nmetadata:\n  name: {name}\nspec:\n  type: worker\n  image: demo:1\n"
    return head + _lines(spec, "  ") + _lines(top)


def _lines(text: str, indent: str = "") -> str:
    whole = text if not text or text.endswith("\n") else f"{text}\n"
    return textwrap.indent(textwrap.dedent(whole), indent)


def read(text: str, path: str = "web.yaml") -> tuple[AppDocument, ...]:
    return read_file(path, text.encode())


def desired_of(files: Mapping[str, str | bytes], place: Path) -> Desired:
    """What a directory asks for that holds these files, by their paths; made at ``place``."""
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return DirectorySource(place).read()


def problems(text: str) -> list[Problem]:
    return [problem for document in read(text) for problem in document.problems]


def told(text: str) -> list[tuple[int | None, str, str, str]]:
    """Line, field, found and expected of every problem of a file."""
    return [(p.line, p.field, p.found, p.expected) for p in problems(text)]
