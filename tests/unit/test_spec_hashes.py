"""The hashes of specs are what version 1.0.0 made them: a container is known by the hash it was created with.

Another hash for the same spec would have an upgrade create every container anew. The file they are compared with is
never written again; ``tests/golden/upgrade/README.md`` tells how it came about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.golden import GOLDEN
from tests.support.specs import desired_of

_CASES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(GOLDEN / "upgrade" / "spec-hashes.yaml")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["case"]) for case in _CASES])
def test_the_spec_has_the_hash_that_version_1_0_0_gave_it(case: dict[str, Any], tmp_path: Path) -> None:
    desired = desired_of(case["files"], tmp_path)
    assert {name: version.spec_hash for name, version in desired.apps.items()} == case["hashes"]
