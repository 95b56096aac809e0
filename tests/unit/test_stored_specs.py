"""What the store keeps of a spec is the spec: written out with all its defaults, it reads back as the same value."""

from __future__ import annotations

import json

import pytest

from reconciler.model.spec import App


@pytest.mark.parametrize("kind", ["http", "tcp", "worker"])
def test_a_spec_written_out_reads_back_as_the_same_value(kind: str) -> None:
    ports = [] if kind == "worker" else [{"containerPort": 8080, "protocol": "HTTP" if kind == "http" else "TCP"}]
    document = {
        "apiVersion": "v1",
        "kind": "App",
        "metadata": {"name": "one"},
        "spec": {"type": kind, "image": "demo:1", "ports": ports},
    }
    app = App.model_validate_json(json.dumps(document))
    assert App.model_validate_json(app.model_dump_json()) == app
    assert App.model_validate_json(app.model_dump_json(by_alias=True)) == app
