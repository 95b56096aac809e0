"""What is generated from the model is current, and says what the loader does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from reconciler.source import json_schema
from reconciler.source.schema import describe, model_schema
from tests.support.specs import told, web, worker

TOP = Path(__file__).parents[2]


def test_the_committed_reference_and_schema_are_current() -> None:
    specification = importlib.util.spec_from_file_location("generate", TOP / "docs" / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for path, text in module.generated().items():
        assert path.read_text("utf-8") == text, f"{path} is out of date: run docs/generate.py"


def test_the_schema_of_specs_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def schema_accepts(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(json_schema())
    return all(validator.is_valid(document) for document in YAML(typ="safe", pure=True).load_all(text))


@pytest.mark.parametrize("path", sorted([*(TOP / "specs").glob("*.yaml"), *(TOP / "docs" / "example").glob("*.yaml")]))
def test_shipped_specs_satisfy_the_schema(path: Path) -> None:
    assert schema_accepts(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        web(),
        worker(top="scaling: {mode: manual, replicas: 0}"),
        web(spec="scaling: {maxReplicas: 3}\nhealthCheck: {path: /x}"),
        web(top="readiness: {path: /x}"),
        web(spec="strategy: {maxSurge: 25%, maxUnavailable: 1}\nresources: {cpu: 0.5, memory: 64Mi}"),
        web(spec="scaling: {}", top="scaling: {}"),
        web(spec="readiness: {}", top="readiness: {}"),
        web(spec="oops: 1"),
        web("Web"),
        web(spec="strategy: {maxSurge: 101%}"),
        web(spec="environment: [{name: A}]"),
        web(spec="environment: [{name: A, source: sdk, key: host}]"),
        web(spec='terminationGracePeriodSeconds: "3"'),
        web(top="scaling: {maxCPUPercent: 101}"),
        web(top="healthCheck: {path: healthz}"),
        web(spec="files: [{path: ../x, mountPath: /x}]"),
        web(spec="volumes: [{name: a, mountPath: /}]"),
        web(spec="routes: [{path: /a b}]"),
        web(spec="restartToken: true"),
        web(spec="suspend:"),
        "apiVersion: v2\nkind: App\nmetadata: {name: a}\nspec: {image: a, type: worker}\n",
    ],
)
def test_schema_and_loader_agree_on_what_is_a_spec(text: str) -> None:
    assert schema_accepts(text) == (told(text) == [])


def test_every_field_of_a_spec_is_described_for_editors_and_people() -> None:
    parts = {"App": model_schema(), **model_schema()["$defs"]}
    for part, schema in parts.items():
        assert schema["additionalProperties"] is False, part
        assert schema["description"], part
        for name, field in schema["properties"].items():
            assert field.get("description") or "$ref" in field, f"{part}.{name}"
            assert describe(field) != "a value", f"{part}.{name}"


def test_the_schema_of_specs_offers_null_nowhere() -> None:
    assert '"null"' not in str(json_schema()).replace("'", '"')
