"""Settings that can't be: the message says which one, what was found, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.settings import BadSettings, Origin, Settings, load, masked_url
from reconciler.wiring import settings_of_edge


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sorce = "specs"', r"setting sorce: there is no such setting; is source meant\?"),
        ("edge_port = 0", "setting edge_port: found 0; input should be greater than or equal to 1"),
        ("edge_port = ", "is no TOML"),
        ('instance = "A"\ntick = "x"', r"setting instance: found 'A'; .*; setting tick: found 'x'; "),
        ("edge_test_command = [1]", r"setting edge_test_command\.0: found 1; input should be a valid string"),
        ("database = 7\nsource = 8", "setting source: found something else; .* setting database: found something else"),
        (
            '[[allow_host_path]]\npath = "srv"',
            r"setting allow_host_path\.0\.path: found 'srv'; string should match pattern '\^/'",
        ),
        (
            '[[allow_host_path]]\npath = "/srv/../etc"',
            r"setting allow_host_path: found '/srv/\.\./etc'; expected a path without \.\.",
        ),
        (
            '[[allow_host_path]]\npath = "/srv"\ntick = 1',
            r"setting allow_host_path\.0\.tick: there is no such setting; .* tables come last",
        ),
        ('[allow_host_path]\npath = "/srv"', r"setting allow_host_path: found .*; expected a list: .* in \[\[ \]\]"),
        ('allow_host_path = ["/srv"]', r"setting allow_host_path\.0: found '/srv'; expected a table"),
        (
            'edge = "external"\nedge_test_command = ["nginx", "-t"]',
            "edge = external needs edge_directory, edge_reload_command as well",
        ),
    ],
)
def test_a_bad_settings_file_is_refused_with_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=message):
        load(file, {})


def test_a_settings_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="is not there; name one that is"):
        load(tmp_path / "none.toml", {})


def test_a_settings_file_that_is_named_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=f"settings file {tmp_path} can't be read: Is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "url",
    [
        "prom:9090",
        "localhost",
        "http://",
        "http://h:99999",
        "http://h:port",
        "http://h:0",
        "ftp://h",
        "http://[::1",
        "http://me:hunter2/@h",
    ],
)
def test_a_prometheus_url_that_can_not_be_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match=r"setting prometheus_url: .* such as http://localhost:9090") as error:
        load(None, {"prometheus_url": url})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:9090/prefix", "http://me:hunter2@10.0.0.1:80/", "http://[::1]:9"]
)
def test_a_prometheus_url_that_can_be_is_taken(url: str) -> None:
    assert load(None, {"prometheus_url": url}).settings.prometheus_url == url


def test_a_setting_that_is_a_list_is_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRY_EDGE_TEST_COMMAND", "nginx -t")
    with pytest.raises(BadSettings, match="edge_test_command.*expected a JSON list such as"):
        load(None, {})


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("::1", ("[::1]",)),
        ("[::1]", ("[::1]",)),
        ("127.0.0.1, ::1", ("127.0.0.1", "[::1]")),
        ('["127.0.0.1", "[::1]", "::1"]', ("127.0.0.1", "[::1]")),
        ("localhost", ("localhost",)),
        ("", ()),
        ("[]", ()),
    ],
)
def test_nginxs_address_is_one_text_or_a_list_wherever_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, addresses: tuple[str, ...]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"edge_address = {text}" if text.startswith(('["', "[]")) else f'edge_address = "{text}"')
    assert settings_of_edge(load(file, {}).settings).addresses == addresses
    monkeypatch.setenv("ORCHESTRY_EDGE_ADDRESS", text)
    assert settings_of_edge(load(None, {}).settings).addresses == addresses
    if not text.startswith('["'):
        assert settings_of_edge(load(None, {"edge_address": text}).settings).addresses == addresses


@pytest.mark.parametrize("address", ["a b", "127.0.0.1; include /etc/passwd", "a\n", "{x}", ["127.0.0.1", "$host"]])
def test_an_address_of_nginx_that_can_not_be_is_refused(address: object) -> None:
    with pytest.raises(BadSettings, match="setting edge_address: found .*; expected an address such as"):
        load(None, {"edge_address": address})


def test_trusted_proxies_are_addresses_and_networks() -> None:
    given = ("192.0.2.7", "10.1.2.3/8", "2001:db8::1/32", "[::1]", "192.0.2.7/32")
    expected = ("192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32", "::1/128")
    assert settings_of_edge(Settings(trusted_proxies=given)).trusted_proxies == expected


@pytest.mark.parametrize("proxy", ["lb.example.com", "10.0.0.0/33", "", "unix:", "*", "10.0.0.1; x", "fe80::1%;x"])
def test_a_trusted_proxy_that_is_no_address_is_refused_before_anything_is_done(proxy: str) -> None:
    with pytest.raises(BadSettings, match="setting trusted_proxies: found .*; expected an address such as"):
        settings_of_edge(Settings(trusted_proxies=(proxy,)))


def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRY_SETTINGS", "/etc/orchestry/settings.toml")
    monkeypatch.setenv("ORCHESTRY_EDGEPORT", "80")
    with pytest.raises(
        BadSettings, match=r"^variable ORCHESTRY_EDGEPORT: there is no such setting; is edge_port meant\?$"
    ):
        load(None, {})


@pytest.mark.parametrize("userinfo", ["user:pass", "user:top@secret", "token"])
def test_the_source_is_shown_without_its_credentials(userinfo: str) -> None:
    assert Settings(source=f"https://{userinfo}@git.example/team/specs").source_name == "https://git.example/team/specs"


def test_options_win_over_variables_and_variables_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("tick = 1\nconcurrency = 1\nedge_port = 1\n")
    monkeypatch.setenv("ORCHESTRY_CONCURRENCY", "2")
    monkeypatch.setenv("ORCHESTRY_EDGE_PORT", "2")
    settings, origins = load(file, {"edge_port": 3})
    assert (settings.tick, settings.concurrency, settings.edge_port) == (1, 2, 3)
    assert origins["tick"] == Origin("file", str(file))
    assert origins["concurrency"] == Origin("variable", "ORCHESTRY_CONCURRENCY")
    assert origins["edge_port"] == Origin("option", "--edge-port")
    assert origins["network"] == Origin("default")


def test_an_option_names_the_settings_file_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.toml").write_text(f"tick = {number}\n")
    monkeypatch.setenv("ORCHESTRY_SETTINGS", str(tmp_path / "1.toml"))
    assert load(None, {}).settings.tick == 1
    assert load(tmp_path / "2.toml", {}).settings.tick == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg2://me:hunter2@db/x", "postgresql+psycopg2://me:***@db/x"),
        ("postgresql://me:hun/ter@2?#@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x"),
        (
            "postgresql:///x?host=/run&user=me&password=hunter2&port=1",
            "postgresql:///x?host=/run&user=me&password=***&port=1",
        ),
        ("postgresql://db/x?sslkey=k&sslpassword=hunter2", "postgresql://db/x?sslkey=k&sslpassword=***"),
        ("https://me:hunter2@git.example/team/specs", "https://me:***@git.example/team/specs"),
        ("https://hunter2@git.example/team/specs", "https://***@git.example/team/specs"),
        ("https://me:hun@ter2@git.example/x@y", "https://me:***@git.example/x@y"),
        ("https://me:hun/ter2@git.example/x", "https://me:***@git.example/x"),
        ("https://git.example:8443/team/x@y", "https://git.example:8443/team/x@y"),
        ("HTTPS://me:hunter2@git.example", "HTTPS://me:***@git.example"),
        ("http://prom:9090/?token=hunter2", "http://prom:9090/?token=***"),
        ("ssh://git@git.example/team/specs", "ssh://git@git.example/team/specs"),
        ("git@git.example:team/specs", "git@git.example:team/specs"),
        ("/srv/specs", "/srv/specs"),
    ],
)
def test_what_is_redacted_of_a_url_is_its_credential(url: str, shown: str) -> None:
    assert masked_url(url) == shown
