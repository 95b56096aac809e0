"""What Git LFS, git-crypt, SOPS and age leave in a repository is refused, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.source import validate
from reconciler.source.stand_ins import stand_in
from tests.support.specs import desired_of, web

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 12345\n"
SOPS_METADATA = (
    "sops:\n    age:\n        - recipient: age1x\n          enc: |\n            -----BEGIN\n\n            x\n"
)
SOPS_YAML = f'db: ENC[AES256_GCM,data:x]\n{SOPS_METADATA}    lastmodified: "2026-01-01T00:00:00Z"\n    mac: ENC[x]\n'
STAND_INS = {
    "lfs": (LFS, "a Git LFS pointer"),
    "git-crypt": (b"\0GITCRYPT\0\x8f\x01\xff", "a file encrypted by git-crypt"),
    "age": (b"age-encryption.org/v1\n-> X25519 abc\n\xff", "a file encrypted by age"),
    "armored-age": (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "a file encrypted by age"),
    "sops-yaml": (SOPS_YAML.encode(), "a file encrypted by SOPS"),
    "sops-yaml-crlf": (SOPS_YAML.replace("\n", "\r\n").encode(), "a file encrypted by SOPS"),
    "sops-json": (json.dumps({"a": "ENC[x]", "sops": {"mac": "ENC[y]"}}).encode(), "a file encrypted by SOPS"),
    "sops-env": (b"A=ENC[x]\nsops_lastmodified=2026-01-01\nsops_mac=ENC[y]\n", "a file encrypted by SOPS"),
    "sops-ini": (b"[a]\nb = ENC[x]\n\n[sops]\nversion = 3\nmac = ENC[y]\n", "a file encrypted by SOPS"),
}
FILES = "files: [{path: conf/app.ini, mountPath: /etc/app.ini}]"


@pytest.fixture(params=STAND_INS)
def found(request: pytest.FixtureRequest) -> tuple[bytes, str]:
    return STAND_INS[request.param]


def test_a_file_that_only_stands_for_another_is_not_deployed(found: tuple[bytes, str], tmp_path: Path) -> None:
    content, name = found
    result = desired_of({"web.yaml": web(spec=FILES), "conf/app.ini": content}, tmp_path)
    assert dict(result.apps) == {}
    (problem,) = result.problems
    assert (problem.app_name, problem.path, problem.line, problem.field) == ("web", "web.yaml", 9, "spec.files[0].path")
    assert problem.found == f"{name}: conf/app.ini"
    assert problem.expected.startswith(("its plain content", "the content itself in git"))


def test_validate_refuses_a_file_that_only_stands_for_another(found: tuple[bytes, str], tmp_path: Path) -> None:
    content, name = found
    desired_of({"web.yaml": web(spec=FILES), "conf/app.ini": content}, tmp_path)
    assert [problem.found for problem in validate([tmp_path]).problems] == [f"{name}: conf/app.ini"]


def test_a_spec_in_the_place_of_which_something_stands_is_told_as_what_it_is(
    found: tuple[bytes, str], tmp_path: Path
) -> None:
    content, name = found
    result = desired_of({"web.yaml": content}, tmp_path)
    assert [(problem.path, problem.found) for problem in result.problems] == [("web.yaml", name)]


def test_a_spec_that_sops_encrypted_in_part_is_known_by_its_name(tmp_path: Path) -> None:
    """It may be at another place than before, and its app is kept all the same."""
    encrypted = web().replace("demo:1", "ENC[x]") + SOPS_METADATA + "    mac: ENC[y]\n"
    (problem,) = desired_of({"moved.yaml": encrypted}, tmp_path).problems
    assert (problem.app_name, problem.found) == ("web", "a file encrypted by SOPS")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"see https://git-lfs.github.com/spec/v1",
        b"a: 1\nsops:\n  version: 3\nmac: none\n",
        b"sops: no\n",
        b"x:\n  sops:\n    mac: y\n",
        b'{"sops": "a word", "mac": 1}',
        b'{"sops": ' + b"[" * 100_000,
        b"# sops_mac=x\n",
        b"[sops]\nversion = 3\n[other]\nmac = x\n",
        b"creation_rules:\n  - age: age1x\n",
        b"-----BEGIN PUBLIC KEY-----\n",
        b"sops:\n" + b" x\n" * 300_000,
        b"\xff\xfe sops",
    ],
)
def test_other_content_is_what_it_is(content: bytes) -> None:
    assert stand_in(content) is None
