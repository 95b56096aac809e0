"""What pydantic found wrong, told in the spec's own words.

Decides the field, what was found and what would be right for each of its errors. Pydantic's wording is never shown:
what is expected follows from the field's own schema. A value that may be secret is never repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from reconciler.model.spec_types import without_query
from reconciler.source.document import BROKEN, Fault, Path, brief
from reconciler.source.scalars import Ambiguous
from reconciler.source.schema import describe, locate, suggest

UNKNOWN_FIELD = "an unknown field"

_NOT_THERE = object()
_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")

# Fields whose values people put secrets into, whether they should or not.
_PRIVATE_FIELDS = frozenset({"value", "body", "args", "command", "query"})


def fault_of(error: ErrorDetails, value: Any) -> Fault | None:
    """The fault behind one of pydantic's errors about a document's value; None where it was told already.

    Its line is still 0: that is the document's to know.
    """
    if error["input"] is BROKEN:
        return None
    path, node = locate(error["loc"])
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "missing":
        return Fault(path, 0, "nothing", describe(node))
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return Fault((*path[:-1], name), 0, UNKNOWN_FIELD, suggest(name, error["loc"][:-1]))
    if error["type"] == "rule":
        path = _blamed(path, context["at"], value)
        return Fault(path, 0, context["found"] or found_at(path, value, error["input"]), context["expected"])
    found = found_at(path, value, error["input"])
    return Fault(path, 0, found, _quoted_if_ambiguous(describe(node), node, error["input"]))


def without_echoes(faults: list[Fault]) -> list[Fault]:
    """The faults without those that another one tells: of a misspelled field, that the right one is missing."""
    meant = {(*fault.path[:-1], fault.expected) for fault in faults if fault.found == UNKNOWN_FIELD}
    return [fault for fault in faults if fault.found != "nothing" or fault.path not in meant]


def _quoted_if_ambiguous(expected: str, node: Mapping[str, Any], value: object) -> str:
    """What is expected, and that quotes belong around it, where only they settle that text is meant: YAML 1.1 and 1.2
    read some unquoted words differently."""
    settles = isinstance(value, Ambiguous) and node.get("type") == "string" and "in quotes" not in expected
    return f"{expected}, in quotes" if settles else expected


def _blamed(path: Path, at: str | Path, value: Any) -> Path:
    """The field inside a part that a rule blames, where there is one."""
    finer = (*path, *((at,) if isinstance(at, str) else at))
    return finer if value_at(finer, value) is not _NOT_THERE else path


def value_at(path: Path, value: Any) -> Any:
    """The document's value at a path, or a sign that nothing is there."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return _NOT_THERE
    return value


def found_at(path: Path, value: Any, default: Any) -> str:
    """What the document has at a path; a field that is left out counts with its default."""
    there = value_at(path, value)
    if there is not _NOT_THERE:
        return shown(there, path)
    return f"{shown(default, path)}, the default" if isinstance(default, str | int | float) else "nothing"


def shown(value: object, path: Path) -> str:
    """A value for people to recognise: short, on one line, and never one that may be secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple | list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is BROKEN:
        return "a value that can't be read"
    if any(step in _PRIVATE_FIELDS for step in path):
        return _kind(value)
    if isinstance(value, Ambiguous):
        return f"{brief(value.text)} without quotes"
    if isinstance(value, str):
        return f'"{brief(without_query(value) if path[-1:] == ("path",) else value)}"'
    return json.dumps(value)


def _kind(value: object) -> str:
    if isinstance(value, Ambiguous):
        return "a word that needs quotes"
    if isinstance(value, bool):
        return "true or false without quotes"
    return "a number without quotes" if isinstance(value, int | float) else "other text"


def spelled(path: Path) -> str:
    """A path as people write it: ``spec.ports[0].containerPort``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _SIMPLE_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{brief(step)}"]'
    return text
