"""Secrets: where they are read from, and that no error tells them."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from reconciler.model.spec import SecretVariable
from reconciler.ports import TryLater
from reconciler.runtime.secrets import MAX_SECRET_BYTES, SecretsDirectory


def variable(key: str = "database", field: str | None = None) -> SecretVariable:
    return SecretVariable(name="DB", source="secret", key=key, field=field)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("swordfish", "swordfish"),
        ("swordfish\n", "swordfish"),
        ("swordfish\r\n", "swordfish"),
        ("two\nlines\n\n", "two\nlines\n"),
        (" spaces stay ", " spaces stay "),
        ("grün", "grün"),
        ("", ""),
    ],
)
def test_a_secret_is_a_files_text(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "database").write_bytes(content.encode())
    assert SecretsDirectory(tmp_path).value_of(variable()) == value


def test_a_field_of_a_secret_is_a_file_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "password").write_text("swordfish\n")
    assert SecretsDirectory(tmp_path).value_of(variable(field="password")) == "swordfish"


def test_a_secret_that_is_put_there_later_is_found(tmp_path: Path) -> None:
    secrets = SecretsDirectory(tmp_path / "not" / "yet")
    with pytest.raises(TryLater):
        secrets.value_of(variable())
    (tmp_path / "not" / "yet").mkdir(parents=True)
    (tmp_path / "not" / "yet" / "database").write_text("swordfish")
    assert secrets.value_of(variable()) == "swordfish"


def failure(directory: Path | None, field: str | None = None) -> TryLater:
    with pytest.raises(TryLater) as error:
        SecretsDirectory(directory).value_of(variable(field=field))
    assert "secret database" in str(error.value)
    assert "swordfish" not in "".join(traceback.format_exception(error.value))
    return error.value


def test_a_secret_that_is_missing_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    error = failure(tmp_path, field="password")
    assert error.reason == "SecretMissing"
    assert f"{tmp_path}/database/password" in str(error)


def test_a_secret_that_is_a_file_has_no_fields(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("swordfish")
    assert failure(tmp_path, field="password").reason == "SecretMissing"


def test_a_directory_of_fields_is_no_secret_by_itself(tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    error = failure(tmp_path)
    assert error.reason == "SecretMissing"
    assert "field" in str(error)


def test_without_a_secrets_directory_there_are_no_secrets() -> None:
    assert failure(None).reason == "SecretMissing"


@pytest.mark.parametrize(
    "content", [b"swordfish\xff", b"sword\0fish", b"swordfish" * MAX_SECRET_BYTES], ids=["binary", "NUL", "huge"]
)
def test_a_secret_that_no_variable_can_hold_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "database").write_bytes(content)
    assert failure(tmp_path).reason == "SecretUnreadable"
