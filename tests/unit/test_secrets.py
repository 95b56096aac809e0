"""Secrets: where they are read from, that no error tells them, and how a change of one is seen."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from reconciler.model.observed import SecretsSeen
from reconciler.model.spec import SecretVariable
from reconciler.ports import TryLater, Unavailable
from reconciler.runtime.digest_key import DigestKey
from reconciler.runtime.secrets import LOOK_SECONDS, MAX_SECRET_BYTES, Secrets, SecretsDirectory
from tests.support.apps import app, version


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


# Digests


USER = app(environment=[{"name": "DB", "source": "secret", "key": "database"}])


def secrets_of(directory: Path, key: Path | None = None) -> Secrets:
    return Secrets(SecretsDirectory(directory), DigestKey(key))


def look(secrets: Secrets, now: float) -> SecretsSeen:
    return secrets.seen([USER], now)["web"]


def test_a_digest_tells_nothing_without_its_key(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("swordfish")
    (first,), (second,) = (look(secrets_of(tmp_path), 0).digests.values() for _ in range(2))
    assert first != second
    assert "swordfish" not in first


def test_two_looks_some_seconds_apart_have_to_agree_on_a_secret(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    (tmp_path / "database").write_text("swordfish")
    first = look(secrets, 100)
    assert not first.agreed
    assert not look(secrets, 100 + LOOK_SECONDS / 2).agreed
    assert look(secrets, 100 + LOOK_SECONDS) == SecretsSeen(first.digests, agreed=True)
    (tmp_path / "database").write_text("half of a n")
    half = look(secrets, 100 + 2 * LOOK_SECONDS)
    assert half.digests != first.digests
    assert not half.agreed


def test_a_secret_that_was_gone_between_two_looks_has_to_be_seen_twice_again(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    (tmp_path / "database").write_text("swordfish")
    look(secrets, 100)
    (tmp_path / "database").unlink()
    assert secrets.seen([USER], 110) == {}
    (tmp_path / "database").write_text("swordfish")
    assert not look(secrets, 120).agreed


def test_a_clock_that_goes_back_makes_no_two_looks_agree(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    (tmp_path / "database").write_text("swordfish")
    look(secrets, 100)
    assert not look(secrets, 50).agreed
    assert look(secrets, 50 + LOOK_SECONDS).agreed


def test_a_pipe_in_the_place_of_a_secret_holds_up_no_look(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "database")
    assert secrets_of(tmp_path).seen([USER], 0) == {}


def test_two_secrets_of_one_name_are_both_seen_to_change(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("first")
    (tmp_path / "a.b").write_text("first")
    user = app(
        environment=[
            {"name": "X", "source": "secret", "key": "a", "field": "b"},
            {"name": "Y", "source": "secret", "key": "a.b"},
        ]
    )
    secrets, digests = secrets_of(tmp_path), []
    for number, changed in enumerate(("a.b", "a/b", None)):
        digests.append(secrets.seen([user], 10.0 * number)["web"].digests["a.b"])
        if changed:
            (tmp_path / changed).write_text("second")
    assert len(set(digests)) == 3


def test_the_key_is_kept_and_only_the_controller_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.key"
    key = DigestKey(path).made()
    assert path.stat().st_mode & 0o777 == 0o600
    assert DigestKey(path).known() == DigestKey(path).made() == key
    assert [file.name for file in path.parent.iterdir()] == ["secrets.key"]


def test_whoever_only_looks_makes_no_key_and_sees_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    (tmp_path / "database").write_text("swordfish")
    assert secrets_of(tmp_path, path).seen([USER], 0) == {}
    assert not path.exists()


def test_a_key_that_can_not_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Unavailable, match=r"state/secrets\.key"):
        DigestKey(tmp_path / "state" / "secrets.key").made()


def test_digests_by_another_key_refuse_no_replica(tmp_path: Path) -> None:
    """The state directory is lost, and the record isn't."""
    (tmp_path / "database").write_text("swordfish")
    known = look(secrets_of(tmp_path), 0).digests
    wanted = version(environment=[{"name": "DB", "source": "secret", "key": "database"}])
    (tmp_path / "database").write_text("changed")
    given = secrets_of(tmp_path).of(wanted.with_changed_secrets(known))
    assert given.values == {"DB": "changed"}


def test_a_directory_that_can_not_be_looked_into_has_no_secrets_to_see(tmp_path: Path) -> None:
    assert secrets_of(tmp_path / ("x" * 300)).seen([USER], 0) == {}
