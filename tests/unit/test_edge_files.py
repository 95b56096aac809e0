"""The edge's own files: generations that are whole or not current, certificates that hold together."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.edge.certificates import Certificates
from reconciler.edge.generations import Generations
from reconciler.edge.manifest import NOTHING, Manifest
from reconciler.edge.nginx import complaint, final_complaint, parse_version
from reconciler.edge.virtual_servers import Certificate
from reconciler.model.routes import RouteTable
from reconciler.model.spec import Route
from reconciler.ports import Unavailable
from tests.support.golden import GOLDEN
from tests.support.nginx import app_routes, make_certificate, table

SHOP = table(app_routes("shop", (), Route.model_validate({"tls": {"secret": "shop"}})))


def made(root: Path, *, keep: int) -> Generations:
    generations = Generations(root, keep)
    generations.prepare()
    return generations


def publish(generations: Generations, name: str, **values: object) -> None:
    generations.write(name, {"http.conf": f"# {name}"})
    generations.seal(name, Manifest(digest="d", control_socket=name, table=RouteTable(), **values))  # type: ignore[arg-type]
    generations.activate(name)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "generations").iterdir())


def test_a_generation_is_known_again_by_another_process(tmp_path: Path) -> None:
    first = made(tmp_path, keep=3)
    first.write("000001-a", {"http.conf": "x"})
    manifest = Manifest("d", "000001-a", table(app_routes("web")), {"s": Certificate("s", "c", "k")}, "e", ("c", "k"))
    first.seal("000001-a", manifest)
    assert first.current is None
    first.activate("000001-a")
    again = made(tmp_path, keep=3)
    assert again.current == "000001-a"
    assert again.manifest("000001-a") == manifest
    assert again.next_sequence() == 2


def test_a_manifest_of_the_version_before_is_understood_and_written_the_same(tmp_path: Path) -> None:
    text = (GOLDEN / "edge" / "manifest-of-the-version-before.json").read_bytes()
    generations = made(tmp_path, keep=3)
    generations.write("000002-e99341d572fa", {"manifest.json": text.decode()})
    generations.activate("000002-e99341d572fa")
    manifest = generations.manifest("000002-e99341d572fa")
    assert manifest.control_socket == "000001-bb81c57bce83"
    assert manifest.state == "000001-bb81c57bce83 cb2b20bcab10"
    assert [app.app_name for app in manifest.table.apps] == ["shop", "web"]
    assert manifest.certificates["shop"].key_file in manifest.assets
    generations.seal("000002-e99341d572fa", manifest)
    assert (tmp_path / "current" / "manifest.json").read_bytes() == text


@pytest.mark.parametrize("content", ["", "{}", '{"digest": 1}', "not json"])
def test_a_generation_whose_manifest_can_not_be_read_serves_nothing(tmp_path: Path, content: str) -> None:
    publish(made(tmp_path, keep=3), "000001-a")
    (tmp_path / "current" / "manifest.json").write_text(content)
    assert made(tmp_path, keep=3).served == NOTHING


def test_the_last_few_are_kept_and_the_current_one_always(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=2)
    for number in range(1, 6):
        publish(generations, f"00000{number}-a")
    generations.activate("000001-a")
    generations.write("000006-unsealed", {"http.conf": "refused"})
    generations.write("probe", {"http.conf": "cut short"})
    assert generations.next_sequence() == 7
    generations.prune()
    assert names(tmp_path) == ["000001-a", "000004-a", "000005-a"]


def test_generations_are_in_order_also_after_the_millionth(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=1)
    publish(generations, "999999-a")
    publish(generations, f"{generations.next_sequence():06d}-b")
    generations.prune()
    assert names(tmp_path) == ["1000000-b"]


def test_what_a_kept_generation_refers_to_is_kept(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=1)
    for name in ("old.crt", "new.crt"):
        (tmp_path / "assets" / name).write_text(name)
    publish(generations, "000001-a", assets=("assets/old.crt",))
    publish(generations, "000002-a", assets=("assets/new.crt",))
    generations.prune()
    assert [path.name for path in (tmp_path / "assets").iterdir()] == ["new.crt"]


def test_a_derived_generation_shares_what_is_the_same(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=3)
    generations.write("000001-a", {"http.conf": "same", "servers": "old"})
    generations.derive("000002-b", "000001-a", {"servers": "new"})
    directories = [tmp_path / "generations" / name for name in ("000001-a", "000002-b")]
    assert [(path / "servers").read_text() for path in directories] == ["old", "new"]
    assert len({(path / "http.conf").stat().st_ino for path in directories}) == 1


def test_a_link_that_leads_nowhere_is_no_generation(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=3)
    publish(generations, "000001-a")
    shutil.rmtree(tmp_path / "generations" / "000001-a")
    assert generations.current is None


def test_a_config_test_that_was_cut_short_leaves_no_unsealed_generation_current(tmp_path: Path) -> None:
    generations = made(tmp_path, keep=3)
    publish(generations, "000001-a")
    generations.write("000002-b", {"http.conf": "never tested to the end"})
    generations.activate("000002-b")
    assert made(tmp_path, keep=3).current == "000001-a"
    shutil.rmtree(tmp_path / "generations")
    assert made(tmp_path, keep=3).current is None
    assert not (tmp_path / "current").is_symlink()


def test_the_directories_are_as_open_as_workers_need_and_no_more(tmp_path: Path) -> None:
    made(tmp_path / "edge", keep=3)
    modes = {name: stat.S_IMODE((tmp_path / "edge" / name).stat().st_mode) for name in ("run", "assets", "logs", ".")}
    assert modes == {"run": 0o700, "assets": 0o700, "logs": 0o755, ".": 0o711}


def certificates(tmp_path: Path) -> Certificates:
    (tmp_path / "assets").mkdir(exist_ok=True)
    return Certificates(tmp_path / "assets", tmp_path / "secrets")


def test_a_certificate_is_copied_under_a_name_of_its_content(tmp_path: Path) -> None:
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    reader = certificates(tmp_path)
    found, problems = reader.read(SHOP, {})
    assert not problems
    key = tmp_path / found["shop"].key_file
    assert key.read_bytes() == (tmp_path / "secrets/shop/tls.key").read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert reader.read(SHOP, {}) == (found, problems)
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    assert reader.read(SHOP, {})[0] != found


def test_until_when_a_certificate_is_valid_is_told_of_what_is_served(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "shop"
    made = make_certificate(secret, "shop.example.com", left=timedelta(days=-1), age=timedelta(days=9)).stat()
    reader = certificates(tmp_path)
    served, problems = reader.read(SHOP, {})
    assert not problems, "an expired certificate is served, since nothing better is there"
    (validity,) = reader.validity(served.values())
    assert (validity.secret, validity.not_after - validity.not_before) == ("shop", 8 * 86_400)
    assert validity.not_after == pytest.approx(made.st_mtime - 86_400, abs=60)
    (secret / "tls.crt").write_text("broken")
    in_force, problems = reader.read(SHOP, served)
    assert problems
    assert reader.validity(in_force.values()) == (validity,), "what is served counts, and not what is in the secret"


def test_the_leaf_of_a_chain_tells_until_when_a_certificate_is_valid(tmp_path: Path) -> None:
    other = make_certificate(tmp_path / "other", "ca.example.com", left=timedelta(days=-1), age=timedelta(days=9))
    chain = make_certificate(tmp_path / "secrets" / "shop", "shop.example.com", left=timedelta(days=90))
    chain.write_text(f"some words before\n{chain.read_text()}{other.read_text()}")
    reader = certificates(tmp_path)
    (validity,) = reader.validity(reader.read(SHOP, {})[0].values())
    assert validity.not_after == pytest.approx(chain.stat().st_mtime + 90 * 86_400, abs=60)


def test_a_certificate_whose_copy_is_gone_is_of_unknown_validity(tmp_path: Path) -> None:
    assert certificates(tmp_path).validity([Certificate("shop", "assets/gone.crt", "assets/gone.key")]) == ()


def test_the_copy_of_a_certificate_is_read_once(tmp_path: Path) -> None:
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    reader = certificates(tmp_path)
    served = reader.read(SHOP, {})[0].values()
    validity = reader.validity(served)
    (tmp_path / next(iter(served)).certificate_file).unlink()
    assert reader.validity(served) == validity


@pytest.mark.parametrize("part", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("damage", ["missing", "directory", "rubbish", "other"])
def test_a_broken_secret_keeps_its_last_good_content_and_says_so(tmp_path: Path, part: str, damage: str) -> None:
    secret = tmp_path / "secrets" / "shop"
    make_certificate(secret, "shop.example.com")
    reader = certificates(tmp_path)
    good, _ = reader.read(SHOP, {})
    if damage == "missing":
        (secret / part).unlink()
    elif damage == "directory":
        (secret / part).unlink()
        (secret / part).mkdir()
    elif damage == "rubbish":
        (secret / part).write_text("-----BEGIN RUBBISH-----")
    else:
        make_certificate(tmp_path / "other", "shop.example.com")
        shutil.copy(tmp_path / "other" / part, secret / part)
    found, problems = reader.read(SHOP, good)
    assert found == good
    assert problems["shop"].startswith("TLS secret shop: ")
    assert "PRIVATE" not in problems["shop"]
    assert reader.read(SHOP, {})[0] == {}


@pytest.mark.parametrize(
    ("path", "make", "problem"),
    [
        ("shop", Path.touch, "TLS secret shop: tls.crt is missing, since the secret is a file instead of a directory"),
        ("shop/tls.crt", Path.mkdir, "TLS secret shop: tls.crt is a directory instead of a file"),
        ("shop/tls.key", Path.mkdir, "TLS secret shop: tls.key is a directory instead of a file"),
        (
            "shop/tls.crt",
            lambda path: path.symlink_to(path),
            "TLS secret shop: tls.crt can't be read: Too many levels of symbolic links",
        ),
    ],
)
def test_a_secret_that_is_no_directory_of_files_is_told_in_words(
    tmp_path: Path, path: str, make: Callable[[Path], None], problem: str
) -> None:
    secret = tmp_path / "secrets" / "shop"
    make_certificate(secret, "shop.example.com")
    wrong = tmp_path / "secrets" / path
    if wrong == secret:
        shutil.rmtree(secret)
    else:
        wrong.unlink()
    make(wrong)
    assert certificates(tmp_path).read(SHOP, {}) == ({}, {"shop": problem})


def test_a_copy_that_can_not_be_written_is_no_problem_of_the_secret(tmp_path: Path) -> None:
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    reader = certificates(tmp_path)
    (tmp_path / "assets").rmdir()
    with pytest.raises(FileNotFoundError):
        reader.read(SHOP, {})


def test_a_key_with_a_passphrase_is_a_problem_and_never_a_prompt(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "shop"
    make_certificate(secret, "shop.example.com")
    encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI\n"
    (secret / "tls.key").write_text(f"{encrypted}-----END ENCRYPTED PRIVATE KEY-----\n")
    assert "shop" in certificates(tmp_path).read(SHOP, {})[1]


def test_without_a_secrets_directory_the_remedy_is_named(tmp_path: Path) -> None:
    found, problems = Certificates(tmp_path, None).read(SHOP, {})
    assert found == {}
    assert "--secrets-dir" in problems["shop"]


def test_a_copy_that_was_removed_is_made_again(tmp_path: Path) -> None:
    make_certificate(tmp_path / "secrets" / "shop", "shop.example.com")
    reader = certificates(tmp_path)
    found, _ = reader.read(SHOP, {})
    (tmp_path / found["shop"].key_file).unlink()
    assert reader.read(SHOP, {})[0] == found
    assert (tmp_path / found["shop"].key_file).exists()


SAID = """\
nginx: [warn] something unimportant
2026/11/24 15:25:39 [emerg] 12#12: duplicate location "/web" in ./generations/000004-60/http.conf:50
nginx: configuration file ./generations/000004-60/nginx.conf test failed
"""


def test_of_what_nginx_says_the_sentence_that_matters_is_told() -> None:
    assert complaint(SAID) == 'duplicate location "/web"'


def test_what_is_not_nginxs_own_is_told_by_its_last_line() -> None:
    assert complaint("Unable to find image\ndocker: pull access denied\n") == "docker: pull access denied"
    assert complaint("") == "it gave no reason"


def test_a_remedy_is_told_where_one_is_known() -> None:
    denied = complaint("nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)")
    assert denied.endswith("(run as root, or choose ports from 1024 up)")


BIND = "2026/11/24 15:25:39 [emerg] 12#12: bind() to 0.0.0.0:80 failed (98: Address already in use)\n"


@pytest.mark.parametrize(
    ("log", "final"),
    [
        ("", False),
        ("2026/11/24 15:25:39 [error] 12#12: *1 connect() failed (111: Connection refused)\n", False),
        ("2026/11/24 15:25:39 [emerg] 12#12: unlink() run/1 failed (2: No such file or directory)\n", False),
        (BIND * 4, False),
        (BIND * 5 + "2026/11/24 15:25:39 [emerg] 12#12: still could not bind()\n", True),
        ("2026/11/24 15:25:39 [emerg] 12#12: module is not binary compatible\n", True),
    ],
)
def test_nginx_is_not_given_up_on_while_it_still_tries(log: str, final: bool) -> None:
    assert (final_complaint(log) is not None) == final


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("nginx version: nginx/1.22.1\nbuilt with", (1, 22, 1)),
        ("nginx version: openresty/1.25.3.1", (1, 25, 3, 1)),
        ("nginx version: nginx/1.27.4 (Ubuntu)", (1, 27, 4)),
    ],
)
def test_versions(output: str, version: tuple[int, ...]) -> None:
    assert parse_version(output) == version


def test_what_is_no_nginx_is_said() -> None:
    with pytest.raises(Unavailable, match="did not tell a version but: bash"):
        parse_version("bash: nginx")
