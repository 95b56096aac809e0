"""A docstring's first sentence names its subject: a reader who knows nothing else learns what the thing is."""

from __future__ import annotations

import ast
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / "reconciler"


def test_the_docstring_of_a_class_begins_with_what_it_is_and_not_with_one_of_its_fields() -> None:
    classes = (
        (path.relative_to(_PACKAGE), node)
        for path in sorted(_PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    docstrings = {f"{path}: {node.name}": ast.get_docstring(node) or "nothing" for path, node in classes}
    assert [name for name, docstring in docstrings.items() if docstring.startswith("``")] == []
