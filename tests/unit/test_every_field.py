"""No field of a spec is there for nothing: somebody besides the spec's own rules reads it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model import spec
from reconciler.model.spec import Part
from reconciler.model.version import CONTAINER_FIELDS

ROOM = Path(spec.__file__).parents[1]
RULES = re.compile(r"spec(_[a-z]+)?\.py")

# What acts without being read by its name.
ELSEWHERE = {
    "App.api_version": "says which model reads the document",
    "App.kind": "says which model reads the document",
    "AppSpec.restart_token": "stands in the spec hash",
    "SdkVariable.source": "says which variable it is",
    "SecretVariable.source": "says which variable it is",
    "ContainerPort.name": "is for whoever reads the spec, as its description says",
}


def parts(of: type[Part] = Part) -> Iterator[type[Part]]:
    """The parts of a spec, but for those that other tests have made up."""
    for part in of.__subclasses__():
        if part.__module__.startswith(spec.__name__):
            yield part
        yield from parts(part)


def read_in(path: Path) -> set[str]:
    """The attributes that a module, or a template, reads."""
    text = path.read_text("utf-8")
    if path.suffix == ".j2":
        return set(re.findall(r"\.([a-z_0-9]+)", text))
    return {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def read() -> set[str]:
    """The attributes that anything reads but the rules of specs, where only what is worked out from fields counts."""
    paths = [path for path in (*ROOM.rglob("*.py"), *ROOM.rglob("*.j2")) if not RULES.fullmatch(path.name)]
    names = set[str]().union(*(read_in(path) for path in paths))
    worked_out = {
        "cpu_millicores": "cpu",
        "memory_bytes": "memory",
        "max_body_bytes": "max_body_size",
        "response_header_bytes": "response_header_size",
        "websocket_seconds": "websocket_timeout_seconds",
        "trust": "fingerprint",
    }
    return names | {field for name, field in worked_out.items() if name in names}


def test_every_field_of_a_spec_has_an_effect(read: set[str]) -> None:
    fields = {f"{part.__name__}.{name}": name for part in parts() for name in part.model_fields}
    assert {field for field, name in fields.items() if name not in read} <= ELSEWHERE.keys() <= fields.keys()


def test_what_acts_by_the_spec_hash_alone_is_in_it() -> None:
    assert "restart_token" in CONTAINER_FIELDS
