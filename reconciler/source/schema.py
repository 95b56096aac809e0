"""The JSON Schema of the format, made from the model; and what it says about one field.

One description serves three readers: editors (`orchestry schema`), the reference in ``docs/`` and the "expected" of
every error. It adds to the model only what the loader adds: that some sections may stand in two places.
"""

from __future__ import annotations

import copy
import difflib
import functools
import json
from typing import Any

from reconciler.model.spec import App
from reconciler.model.spec_types import yaml_name
from reconciler.source.document import Path

Schema = dict[str, Any]

# Sections that may stand in two places: the place the model has them in, and the other one.
SECTIONS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("scaling",), ("spec", "scaling")),
    (("healthCheck",), ("spec", "healthCheck")),
    (("spec", "readiness"), ("readiness",)),
)


def json_schema() -> Schema:
    """The JSON Schema (2020-12) of one document, for editors."""
    schema = copy.deepcopy(model_schema())
    for home, other in SECTIONS:
        _properties(schema, other)[other[-1]] = copy.deepcopy(_properties(schema, home)[home[-1]])
    schema["allOf"] = [{"not": _in_both_places(home[-1])} for home, _ in SECTIONS]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Orchestry app, version v1", **schema}


def _properties(schema: Schema, path: tuple[str, ...]) -> Schema:
    owner: Schema = schema if len(path) == 1 else schema["$defs"]["AppSpec"]
    properties: Schema = owner["properties"]
    return properties


def _in_both_places(section: str) -> Schema:
    return {"required": [section, "spec"], "properties": {"spec": {"type": "object", "required": [section]}}}


@functools.cache
def model_schema() -> Schema:
    """The schema of the model itself, without pydantic's titles, without null (which no field takes) and without
    defaults that are whole sections, since those follow from their fields."""
    schema: Schema = _tidy(App.model_json_schema(by_alias=True))
    return schema


def _tidy(node: Any) -> Any:
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if "default" in tidy and (tidy["default"] is None or isinstance(tidy["default"], dict)):
        del tidy["default"]
    if {"type": "null"} in tidy.get("anyOf", ()):
        choices = [choice for choice in tidy.pop("anyOf") if choice != {"type": "null"}]
        tidy |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return tidy


def resolve(node: Schema) -> Schema:
    """The node a reference stands for; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    meant: Schema = model_schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return meant | {key: value for key, value in node.items() if key != "$ref"}


def locate(location: Path) -> tuple[Path, Schema]:
    """The YAML path of a pydantic location, and the schema there; an empty one where the format has no such field."""
    path: Path = ()
    node = model_schema()
    for step in location:
        properties = node.get("properties", {})
        if isinstance(step, int):
            path, node = (*path, step), node.get("items", {})
        elif "oneOf" in node and step in model_schema()["$defs"]:
            node = model_schema()["$defs"][step]
        else:
            name = step if step in properties else yaml_name(step) if yaml_name(step) in properties else step
            path, node = (*path, name), properties.get(name) or node.get("additionalProperties") or {}
        node = resolve(node)
    return path, node


def describe(node: Schema) -> str:
    """What a field takes, in words."""
    node = resolve(node)
    if "patternErrorMessage" in node:
        return str(node["patternErrorMessage"])
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if "anyOf" in node:
        return " or ".join(describe(choice) for choice in node["anyOf"])
    return _describe_type(node)


def _describe_type(node: Schema) -> str:
    match node.get("type"):
        case "integer":
            return "a whole number" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "boolean":
            return "true or false"
        case "string":
            return "text" + (f" of at most {node['maxLength']} characters" if "maxLength" in node else "")
        case "array":
            return "a list" + (f" of at most {node['maxItems']}" if "maxItems" in node else "")
        case "object":
            required = node.get("required", [])
            return "a mapping" + (f" with {', '.join(required)}" if required else "")
    return "a value"


def _range(node: Schema) -> str:
    minimum, maximum = node.get("minimum"), node.get("maximum")
    if "exclusiveMinimum" in node:
        above = f" above {node['exclusiveMinimum']:g}"
        return above if maximum is None else f"{above}, at most {maximum:g}"
    return "" if minimum is None or maximum is None else f" from {_number(minimum)} to {_number(maximum)}"


def _number(value: float) -> str:
    return json.dumps(int(value) if value == int(value) else value)


def suggest(name: str, parent_location: Path) -> str:
    """What an unknown field should have been: one spelled nearly so, the place where it belongs, or the choice."""
    known = list(locate(parent_location)[1].get("properties", {}))
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.7) or _same_letters(name, known):
        return close[0]
    if homes := _homes(name):
        return " or ".join(homes)
    return "one of " + ", ".join(known) if known else "no such field"


def _same_letters(name: str, known: list[str]) -> list[str]:
    letters = name.replace("_", "").replace("-", "").lower()
    return [other for other in known if other.lower() == letters]


def _homes(name: str) -> list[str]:
    """The sections that do have a field of this name."""
    sections = {"spec": "AppSpec", "metadata": "Metadata", "scaling": "Scaling"}
    sections |= {"healthCheck": "HealthCheck", "spec.strategy": "Strategy", "spec.edge": "EdgeOptions"}
    definitions = model_schema()["$defs"]
    homes = [f"{section}.{name}" for section, title in sections.items() if name in definitions[title]["properties"]]
    return [name, *homes] if name in model_schema()["properties"] else homes
