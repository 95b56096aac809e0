"""What reports hand to tools: JSON, or the same as YAML."""

from __future__ import annotations

import io
import json
from typing import Any

OUTPUTS = ("json", "yaml")


def document(value: Any, output: str, **options: Any) -> str:
    """A JSON value as text; ``output`` is ``json`` or ``yaml``, ``options`` are those of `json.dumps`."""
    return as_written(json.dumps(value, indent=2, ensure_ascii=False, **options), output)


def as_written(json_text: str, output: str) -> str:
    """A JSON text as it is or, where ``output`` is ``yaml``, as YAML that says the same, a value to a line."""
    if output != "yaml":
        return json_text
    from ruamel.yaml import YAML

    buffer = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 1_000_000
    yaml.dump(json.loads(json_text), buffer)
    return buffer.getvalue().rstrip("\n")
