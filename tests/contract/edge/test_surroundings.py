"""The edge where things are not as usual: another user, a template of one's own, long names, a long way down."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.spec import Route
from reconciler.ports import Unavailable
from tests.support.golden import GOLDEN
from tests.support.nginx import Front, app_routes, front, make_certificate, table
from tests.support.replicas import replicas

pytestmark = pytest.mark.nginx

_NOBODY = 65534
EARLIER_TEMPLATES = sorted(path.name for path in (GOLDEN / "edge/templates-of-the-version-before").glob("*.j2"))


@pytest.fixture(params=["auto", "off"], ids=["lua", "stock"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    with front("process", tmp_path, lua=request.param, secrets_dir=tmp_path / "secrets") as made:
        yield made


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user may reach, unlike pytest's."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("lua", ["auto", "off"])
def test_an_unprivileged_controller_runs_an_unprivileged_nginx(open_directory: Path, lua: str) -> None:
    with front("process", open_directory / "state", lua=lua) as made:
        assert _as_nobody(lambda: _publish_twice(made)) == ["reloaded", "unchanged"]
        assert made.get("/web").status == 503
        assert made.get("/web", method="POST", body=b"x" * 500_000).status == 503
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in made.processes()}
        assert owners == {_NOBODY if os.geteuid() == 0 else os.geteuid()}


def test_nginxs_workers_need_no_access_to_the_directories_above_theirs(process: Front, tmp_path: Path) -> None:
    """Large bodies go to disk, and logs are opened anew, by workers of another user."""
    (tmp_path / "edge").parent.chmod(0o700)
    with replicas("web-1") as running:
        process.publish(app_routes("web", process.at(*running), maxBodySize="10Mi"))
        body = os.urandom(3_000_000)
        assert process.get("/web", method="POST", body=body).status == 200
        assert running[0].requests[-1].body == body


def test_a_state_directory_a_long_way_down_is_no_trouble_to_nginx(tmp_path: Path) -> None:
    """A socket's path has no more than 108 bytes, and ours has many more."""
    deep = tmp_path.joinpath(*["a-directory-of-a-rather-long-name"] * 5)
    with front("process", deep) as made:
        assert made.publish(app_routes("web")).how == "reloaded"
        assert made.publish(app_routes("web")).how == "unchanged"
        assert made.publish(app_routes("web"), app_routes("api")).how == "reloaded"


def test_the_longest_names_with_every_option_are_no_trouble_to_nginx(process: Front, tmp_path: Path) -> None:
    name = "n" * 63
    make_certificate(tmp_path / "secrets" / ("s" * 100), "shop.example.com")
    host = f"{'a' * 63}.{'b' * 63}.example.com"
    options = {"sticky": "cookie", "rateLimit": {"requestsPerSecond": 100, "burst": 5}, "readTimeoutSeconds": 1.5}
    routes = (
        Route(path=f"/{'p' * 1000}"),
        Route.model_validate({"host": host, "tls": {"secret": "s" * 100, "redirect": False}}),
    )
    with replicas("web-1") as running:
        publication = process.publish(app_routes(name, process.at(*running), *routes, **options))
        assert publication.refusals == ()
        assert process.get("/", host=host).status == 200
        assert process.get(f"/{'p' * 1000}/x").status == 200


def test_many_hosts_and_sticky_apps_fit_nginxs_tables(process: Front) -> None:
    apps = [app_routes(f"app-{n}", (), Route(host=f"host-{n}.example.com"), sticky="cookie") for n in range(300)]
    assert process.publish(*apps).refusals == ()
    assert process.get("/", host="host-299.example.com").status == 503


def test_an_nginx_template_that_breaks_one_app_costs_only_that_one(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "upstream.conf.j2").write_text(
        "upstream {{ upstream }} { {% if options.sticky %}no_such_directive;{% endif %}"
        "{% for server in app.servers %} server {{ server.address }}:{{ server.port }};{% endfor %} }\n"
    )
    with front("process", tmp_path / "state", templates_dir=templates, lua="off") as made, replicas("a-1") as running:
        publication = made.publish(
            app_routes("broken", made.at(*running), sticky="ip"), app_routes("good", made.at(*running))
        )
        assert [refusal.app_name for refusal in publication.refusals] == ["broken"]
        assert "no_such_directive" in publication.refusals[0].message
        assert made.get("/good").status == 200


def test_an_nginx_template_that_breaks_everything_leaves_what_is_served(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    with front("process", tmp_path / "state") as made, replicas("web-1") as running:
        wanted = table(app_routes("web", made.at(*running)))
        made.edge.publish(wanted)
        for name in ("location.conf.j2", "http.conf.j2"):
            (templates / name).write_text("no_such_directive;\n")
            with pytest.raises(Unavailable, match="no_such_directive"):
                made.reopen(templates_dir=templates).publish(wanted)
            assert made.get("/web").status == 200
            (templates / name).unlink()
        assert made.reopen().publish(wanted).how == "unchanged"


@pytest.mark.parametrize("names", [*([name] for name in EARLIER_TEMPLATES), EARLIER_TEMPLATES], ids=" ".join)
def test_templates_of_ones_own_from_the_version_before_go_on_serving(
    process: Front, tmp_path: Path, names: list[str]
) -> None:
    """Each alone beside the built-in ones of now, and all together."""
    (tmp_path / "templates").mkdir()
    for name in names:
        shutil.copy(GOLDEN / "edge/templates-of-the-version-before" / name, tmp_path / "templates")
    make_certificate(tmp_path / "secrets/shop", "shop.example.com")
    tls = Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}})
    limit = {"requestsPerSecond": 100, "burst": 100}
    with replicas("web-1") as running:
        edge = process.reopen(templates_dir=tmp_path / "templates")
        cut = app_routes("cut", process.at(*running), Route(path="/cut", strip_prefix=True), sticky="cookie")
        shop = app_routes("shop", process.at(*running), tls, rateLimit=limit, sticky="ip")
        publication = edge.publish(table(cut, shop, app_routes("web", process.at(*running))))
        assert publication.refusals == ()
        assert [process.get(path).status for path in ("/web", "/cut/x?y", "/nowhere")] == [200, 200, 404]
        assert [request.target for request in running[0].requests] == ["/web", "/x?y"]
        assert process.get("/", host="shop.example.com").status == 308


def test_a_rate_limit_that_the_version_before_has_published_is_taken_over_without_a_restart(
    process: Front, tmp_path: Path
) -> None:
    """It counted by something else, which nginx changes under no name."""
    (tmp_path / "templates").mkdir()
    for name in ("upstream.conf.j2", "location.conf.j2"):
        text = (GOLDEN / "edge/templates-of-the-version-before" / name).read_text()
        (tmp_path / "templates" / name).write_text(text.replace("{{ upstream }}", "orchestry_{{ app.app_name }}"))
    with replicas("web-1") as running:
        app = app_routes("web", process.at(*running), rateLimit={"requestsPerSecond": 100})
        before = process.reopen(templates_dir=tmp_path / "templates").publish(table(app))
        after = process.reopen().publish(table(app))
        assert (before.how, after.how) == ("reloaded", "reloaded")
        assert process.get("/web").status == 200


def test_a_location_of_ones_own_from_the_version_before_redirects_no_https_behind_a_proxy(
    process: Front, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    shutil.copy(GOLDEN / "edge/templates-of-the-version-before/location.conf.j2", tmp_path / "templates")
    authority = make_certificate(tmp_path / "secrets/shop", "shop.example.com")
    shop = Route.model_validate({"host": "shop.example.com", "tls": {"secret": "shop"}})
    with replicas("web-1") as running:
        edge = process.reopen(templates_dir=tmp_path / "templates", trusted_proxies=("127.0.0.1",))
        edge.publish(table(app_routes("shop", process.at(*running), shop)))
        assert process.get_tls("/", "shop.example.com", authority).status == 200


def test_the_nginxes_of_two_instances_share_a_host(tmp_path: Path) -> None:
    with front("process", tmp_path / "one") as one, front("process", tmp_path / "two") as two:
        one.publish(app_routes("web"))
        two.publish(app_routes("api"))
        assert [made.get("/web").status for made in (one, two)] == [503, 404]
        one.edge.shut_down()
        assert two.get("/api").status == 503
        assert two.publish(app_routes("api")).how == "unchanged"


def test_a_full_disk_is_said_and_the_served_configuration_stays(process: Front) -> None:
    process.publish(app_routes("web"))
    generations = process.root / "generations"
    moved = generations.rename(process.root / "elsewhere")
    generations.write_text("in the way")
    with pytest.raises(Unavailable, match="can't be written"):
        process.publish(app_routes("api"))
    generations.unlink()
    moved.rename(generations)
    assert process.get("/web").status == 503
    assert process.publish(app_routes("web")).how == "unchanged"


def _publish_twice(made: Front) -> list[str]:
    edge = made.reopen()
    seen = [edge.publish(table(app_routes("web"))).how for _ in range(2)]
    edge.reopen_logs()
    return seen


def _as_nobody(work: Callable[[], list[str]]) -> list[str]:
    """What the work returns when another user does it. That user may not be able to start our Python: so, a fork."""
    if os.geteuid() != 0:
        return work()
    results: Any = multiprocessing.get_context("fork").SimpleQueue()

    def run() -> None:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        results.put(work())

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return list(results.get())
