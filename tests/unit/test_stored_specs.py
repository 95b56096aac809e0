"""What the store keeps of a spec is the spec: encoded and decoded it is the same value, of whatever type the app is."""

from __future__ import annotations

import json

import pytest

from reconciler.model.spec import App
from reconciler.store.codec import Codec

STORED: Codec[App] = Codec(App)


@pytest.mark.parametrize("kind", ["http", "tcp", "worker"])
def test_a_stored_spec_is_the_same_value(kind: str) -> None:
    ports = [] if kind == "worker" else [{"containerPort": 8080, "protocol": "HTTP" if kind == "http" else "TCP"}]
    document = {
        "apiVersion": "v1",
        "kind": "App",
        "metadata": {"name": "one"},
        "spec": {"type": kind, "image": "demo:1", "ports": ports},
    }
    app = App.model_validate_json(json.dumps(document))
    assert STORED.decode(STORED.encode(app)) == app
