"""The status dump and its tables."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from reconciler.model.app_state import FailedVersion, Rollout
from reconciler.model.backoff import Backoff
from reconciler.model.change import Change
from reconciler.model.desired import Problem
from reconciler.model.health import Health, Verdict
from reconciler.model.load import RecentTraffic
from reconciler.model.reasons import Reason
from reconciler.model.recorded import AppRecord, Controller, Followed, Recorded
from reconciler.model.restarts import Exits, Restarts
from reconciler.model.status import CertificateStatus, Vitals
from reconciler.ports import NothingRecorded
from reconciler.report import BadRequest, contract
from reconciler.report.dump import status_of
from reconciler.report.edge import share
from reconciler.report.status import exit_code, formatted, watch
from tests.support.apps import version
from tests.support.records import (
    NOW,
    app_state,
    app_status,
    conditions,
    published,
    replica_state,
    replica_status,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "status.schema.json"
DAY = 86_400.0
PROBLEM = Problem("api.yaml", 3, "spec.image", "nothing", "an image", "api")
PULL = "image demo:2 can't be had: no such image"


def controller(**changes: Any) -> Controller:
    fields: dict[str, Any] = {
        "instance": "default",
        "version": "1.0.0",
        "host": "host",
        "pid": 77,
        "started_at": NOW - 600,
        "seen_at": NOW,
        "source": "/srv/specs",
        "edge": "nginx 1.22.1 (process), replicas change by reload",
        "revision": "1f2e3d4c5b6a79880123456789abcdef01234567",
    }
    return Controller(**(fields | changes))


def web(**changes: Any) -> AppRecord:
    replicas = {name: replica_state(name) for name in ("web-1", "web-2")}
    return AppRecord("web", app_status(**changes), app_state(), replicas)


def degraded() -> AppRecord:
    """An app whose new version crashes while the old one serves."""
    crashed = replica_status(
        "api-2",
        state="down",
        phase="crashed",
        note="exited with code 3",
        health=Health(Verdict.UNHEALTHY, NOW - 5, consecutive_failures=3, detail="answered 503"),
        restarts=3,
    )
    status = app_status(
        "api",
        desired=2,
        ready=1,
        routed=1,
        replicas=(replica_status("api-1"), crashed),
        conditions=conditions(ready=False, progressing=True, degraded=PULL),
        error=PULL,
    )
    restarts = Restarts(backoff=Backoff(3, NOW + 4, Reason.CRASH_LOOP, "exited with code 3"))
    exits = Exits(code=3, log="starting\nno \x1b[31mdatabase")
    state = replica_state("api-2", restarts=restarts, exits=exits)
    failed = FailedVersion(
        "def456", "99887766aabb", NOW - 60, Reason.CRASH_LOOP, "api-3 exited with code 1", log="boom"
    )
    kept = app_state("api", failed=failed, rollout=Rollout("abc123", "def456", NOW - 90, NOW - 70))
    return AppRecord("api", status, kept, {"api-1": replica_state("api-1"), "api-2": state})


def recorded(*apps: AppRecord, **fields: Any) -> Recorded:
    followed = Followed("/srv/specs", "main", "apps")
    return Recorded(controller(**fields), {app.name: app for app in apps}, published("web-1", "web-2"), followed)


def shown(found: Recorded, output: str = "table", app_name: str | None = None, now: float = NOW + 4) -> str:
    dumped = status_of(found, now=now, app_name=app_name)
    return formatted(dumped, output, in_detail=app_name is not None)


# -- tables -----------------------------------------------------------------------------------------------------------


def test_the_status_table_has_a_line_for_each_app() -> None:
    found = recorded(degraded(), web(), problems=(PROBLEM,), notices=("uncommitted changes are ignored",))
    assert (
        shown(found)
        == """\
instance default · revision 1f2e3d4c5b6a · as of 4 s ago
source /srv/specs · branch main · path apps
problem: api.yaml:3: spec.image: found nothing; expected an image
notice: uncommitted changes are ignored

APP  READY  ROUTED  REVISION      STATUS    MESSAGE
api  1/2    1       1f2e3d4c5b6a  Degraded  image demo:2 can't be had: no such image
web  2/2    2       1f2e3d4c5b6a  Ready     -"""
    )


def test_the_wide_status_table_adds_replicas() -> None:
    replicas = (
        replica_status("web-1", spec_hash=version().spec_hash, image_id="sha256:0123456789abcdef"),
        replica_status("web-2", revision="0a1b2c3d4e5f" + "0" * 28, image_id="sha256:f00dfeedf00df00d"),
    )
    assert (
        shown(recorded(web(replicas=replicas)), "wide")
        == """\
instance default · revision 1f2e3d4c5b6a · as of 4 s ago
source /srv/specs · branch main · path apps

APP  READY  ROUTED  REVISION      IMAGE   SCALING  ROUTES  STATUS  MESSAGE
web  2/2    2       1f2e3d4c5b6a  demo:1  manual   */web   Ready   -

INSTANCE  CONTAINER    REVISION      IMAGE   DIGEST               AGE  ADDRESS        STATE  PHASE  HEALTH   FAILURES  \
RESTARTS  CPU   MEMORY  5XX  NOTE
web-1     c0ffeeweb-1  r1            demo:1  sha256:0123456789ab  4 s  10.0.0.2:8080  ready  ready  healthy  0         \
0         12 %  30 %    -    -
web-2     c0ffeeweb-2  0a1b2c3d4e5f  -       sha256:f00dfeedf00d  4 s  10.0.0.3:8080  ready  ready  healthy  0         \
0         12 %  30 %    -    -"""
    )


def test_the_status_tells_when_a_replica_was_last_restarted_and_what_the_engine_says_of_it() -> None:
    replica = replica_status(restarts=3, last_restarted_at=NOW - 116, engine_health="unhealthy")
    found = recorded(web(replicas=(replica, replica_status("web-2"))))
    for text in (shown(found, "wide"), shown(found, app_name="web")):
        lines = [line for line in text.splitlines() if line.startswith("web-1 ")]
        assert "healthy (Engine: unhealthy)  0         3 (last 2 min ago)" in lines[0]
    first, second = json.loads(shown(found, "json"))["apps"][0]["instances"]
    assert (first["restarts"], first["last_restarted_age_seconds"]) == (3, 120.0)
    assert (first["last_restarted_at"], first["engine_health"]) == ("2027-01-15T07:58:04.000Z", "unhealthy")
    assert (second["restarts"], second["last_restarted_at"], second["engine_health"]) == (0, None, None)


def test_the_status_does_not_call_an_app_quietly_ready_that_is_healed_again_and_again() -> None:
    words = "replaced 6 times in the last hour"
    found = recorded(web(unrest=words, replaced=6, restarted=1))
    assert f"Ready   {words}" in shown(found)
    [app] = json.loads(shown(found, "json"))["apps"]
    assert (app["replaced_last_hour"], app["restarted_last_hour"], app["unrest"]) == (6, 1, words)
    acting = recorded(web(unrest=words, conditions=conditions(progressing=True)))
    assert f"Progressing  nothing to do (4 s); {words}" in shown(acting)


def test_the_status_without_an_edge_says_nothing_of_routed_replicas() -> None:
    for output in ("table", "wide"):
        assert "READY  REVISION" in shown(recorded(web(), edge="none"), output)
        assert "READY  ROUTED  REVISION" in shown(recorded(web()), output)
    assert "2 wanted, 2 running, 2 ready\n" in shown(recorded(web(), edge="none"), app_name="web")


def test_the_status_of_one_app_tells_who_changed_it_last() -> None:
    change = Change("1f2e3d4c5b6a79880123456789abcdef01234567", "Jane Doe", NOW + 4 - 7200, "Scale web to \x1b[3m")
    found = recorded(web(change=change))
    told = "web\n  changed by Jane Doe 2 h ago in 1f2e3d4c5b6a: Scale web to \ufffd[3m\n  revision"
    assert told in shown(found, app_name="web")
    whole = recorded(web(change=replace(change, of_file=True, subject="", author="")))
    assert "\n  file last changed by nobody 2 h ago in 1f2e3d4c5b6a\n" in shown(whole, app_name="web")
    (app,) = json.loads(shown(found, "json"))["apps"]
    assert app["last_change"] == {
        "commit": change.commit,
        "author": "Jane Doe",
        "at": "2027-01-15T06:00:04.000Z",
        "age_seconds": 7200.0,
        "subject": "Scale web to \x1b[3m",
        "of_file": False,
    }


def test_the_status_of_one_app_sets_further_lines_of_its_trouble_apart() -> None:
    text = shown(recorded(web(error="it crashes\nlast log lines of web-1:\nboom")), app_name="web")
    assert "\n  error        it crashes\n               last log lines of web-1:\n               boom\n" in text


def test_the_status_as_json_says_what_is_followed() -> None:
    told = json.loads(shown(recorded(), "json"))["controller"]
    assert (told["source"], told["branch"], told["path"]) == ("/srv/specs", "main", "apps")


def test_the_status_names_the_digest_of_a_directory_in_full() -> None:
    assert "· revision dir-0123456789ab ·" in shown(recorded(revision="dir-0123456789ab"))


def test_the_status_of_one_app_is_told_in_detail_with_the_last_words_of_what_failed() -> None:
    assert (
        shown(recorded(degraded(), web()), app_name="api")
        == """\
instance default · revision 1f2e3d4c5b6a · as of 4 s ago
source /srv/specs · branch main · path apps

api
  revision     1f2e3d4c5b6a79880123456789abcdef01234567
  image        demo:1
  replicas     2 wanted, 2 running, 1 ready, 1 routed
  scaling      manual
  routes       */api
  registered   2027-01-15T08:00:00.000Z
  changed      2027-01-15T08:00:00.000Z
  error        image demo:2 can't be had: no such image
  what to do   correct the spec and commit, or revert; until then the version before goes on

CONDITION    STATUS  SINCE    REASON            MESSAGE
Ready        no      4 s ago  ReplicasNotReady  1 of 2 replicas ready
Progressing  yes     4 s ago  Acting            nothing to do
Degraded     yes     4 s ago  Unhealthy         image demo:2 can't be had: no such image

INSTANCE  CONTAINER    REVISION  IMAGE  DIGEST  AGE  ADDRESS        STATE  PHASE    HEALTH     FAILURES  RESTARTS  \
CPU   MEMORY  5XX  NOTE
api-1     c0ffeeapi-1  -         -      -       4 s  10.0.0.2:8080  ready  ready    healthy    0         0         \
12 %  30 %    -    -
api-2     c0ffeeapi-2  -         -      -       4 s  10.0.0.3:8080  down   crashed  unhealthy  3         3         \
12 %  30 %    -    exited with code 3

revision 99887766aabb failed: api-3 exited with code 1
  last log lines:
    boom

api-2
  exit code 3
  last failed answer: answered 503
  last log lines:
    starting
    no \ufffd[31mdatabase"""
    )


def test_the_status_shows_an_app_that_was_registered_a_moment_ago_as_such() -> None:
    found = recorded(AppRecord("new", None, app_state("new")))
    assert "new  0/2    0       r1        NotReady  not looked at yet" in shown(found)


def test_the_status_says_that_there_are_no_apps() -> None:
    text = shown(recorded(revision="", source=""))
    assert text == "instance default · revision none yet · as of 4 s ago\n\nno apps"


def test_the_status_warns_of_a_controller_that_went_silent() -> None:
    assert "warning" not in shown(recorded(web()), now=NOW + 30)
    assert "warning: the controller seems not to be running: pid 77 on host was last seen 5 min ago" in shown(
        recorded(web()), now=NOW + 301
    )


def test_the_status_of_an_unknown_app_is_refused_with_those_there_are() -> None:
    with pytest.raises(NothingRecorded, match="no app 'nope' in instance 'default'; known: web"):
        shown(recorded(web()), app_name="nope")


def test_an_unknown_output_of_the_status_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="found 'xml'; expected one of table, wide, json, yaml"):
        shown(recorded(web()), "xml")


def test_watching_the_status_shows_only_what_changed() -> None:
    looks = iter(["a", "a", "b", "b"])
    assert list(islice(watch(lambda: (next(looks), 0), lambda: None), 2)) == ["a", "b"]


@pytest.mark.parametrize("output", ["table", "wide", "json", "yaml"])
def test_watching_the_status_takes_no_notice_of_passing_time(output: str) -> None:
    later = [
        (recorded(degraded()), NOW),
        (recorded(degraded()), NOW + 7),
        (recorded(degraded(), seen_at=NOW + 9), NOW + 9),
    ]
    looks = iter([*((shown(found, output, now=at), 0) for found, at in later), ("end", 0)])
    assert list(islice(watch(lambda: next(looks), lambda: None), 2))[1] == "end"


# -- traffic ----------------------------------------------------------------------------------------------------------


def failing() -> AppRecord:
    """An app whose second replica fails a tenth of what it is asked."""
    traffic = {"web-1": RecentTraffic(300, 100, 0), "web-2": RecentTraffic(300, 120, 12)}
    replicas = tuple(replica_status(name, vitals=Vitals(12.5, 30.0, NOW, of_it)) for name, of_it in traffic.items())
    return web(
        replicas=replicas, traffic=RecentTraffic(300, 220, 1, repaired=11, given_up=3), warnings=("web-2 failed 10 %",)
    )


def test_an_app_that_is_warned_of_does_not_look_simply_well_and_its_exit_code_is_that_of_one_that_is() -> None:
    assert "Ready   warning: web-2 failed 10 %" in shown(recorded(failing()))
    assert code(failing()) == 0


def test_a_warning_stands_behind_what_is_wrong() -> None:
    status = app_status(conditions=conditions(degraded=PULL), warnings=("many errors",))
    assert f"Degraded  {PULL}; warning: many errors" in shown(recorded(AppRecord("web", status, app_state())))


def test_the_replica_table_has_the_share_of_requests_that_each_failed() -> None:
    *_, first, second = shown(recorded(failing()), "wide").splitlines()
    assert first.endswith("30 %    0 %   -")
    assert second.endswith("30 %    10 %  -")


def test_the_status_of_one_app_has_its_traffic() -> None:
    text = shown(recorded(failing()), app_name="web")
    asked = (
        "220 requests in the last 5 min, 1 answered 5xx (0.5 %), 11 repaired by another replica, 3 given up by clients"
    )
    assert f"  traffic      {asked}\n  warning      web-2 failed 10 %\n" in text


def test_the_status_of_one_app_has_its_certificates_and_when_they_end() -> None:
    first = CertificateStatus("shop", ("shop.example.com", "*"), NOW - 60 * DAY, NOW + 30 * DAY, "valid")
    second = CertificateStatus("old", ("old.example.com",), NOW - 90 * DAY, NOW - 3 * DAY, "expired")
    found = recorded(web(certificates=(first, second)))
    text = shown(found, app_name="web", now=NOW)
    assert "  certificate  shop for shop.example.com * until 2027-02-14T08:00:00.000Z (30 d)\n" in text
    assert "  certificate  old for old.example.com until 2027-01-12T08:00:00.000Z (expired 3 d ago)\n" in text
    assert json.loads(shown(found, "json", now=NOW))["apps"][0]["certificates"][0] == {
        "secret": "shop",
        "hosts": ["shop.example.com", "*"],
        "not_before": "2026-11-16T08:00:00.000Z",
        "not_after": "2027-02-14T08:00:00.000Z",
        "days_left": 30.0,
        "standing": "valid",
    }


def test_watching_the_status_takes_no_notice_of_a_certificate_that_grows_older() -> None:
    found = recorded(web(certificates=(CertificateStatus("shop", ("*",), NOW, NOW + 30 * DAY, "valid"),)))
    for output, app_name in (("json", None), ("yaml", None), ("table", "web")):
        later = [shown(found, output, app_name, now=NOW + hours * 3600) for hours in (-1, -30)]
        looks = iter([*((text, 0) for text in later), ("end", 0)])
        assert list(islice(watch(lambda looks=looks: next(looks), lambda: None), 2))[1] == "end"


def test_the_dump_has_the_traffic_of_apps_and_replicas_and_null_where_it_is_not_known() -> None:
    known, unknown = json.loads(shown(recorded(failing(), degraded()), "json"))["apps"]
    traffic = known["traffic"]
    assert traffic.pop("error_percent") == pytest.approx(100 / 220)
    assert traffic == {"window_seconds": 300, "requests": 220, "errors": 1, "repaired": 11, "given_up": 3}
    assert known["warnings"] == ["web-2 failed 10 %"]
    assert [(i["requests"], i["error_percent"]) for i in known["instances"]] == [(100, 0), (120, 10)]
    assert (unknown["traffic"], unknown["warnings"], unknown["instances"][0]["error_percent"]) == (None, [], None)


@pytest.mark.parametrize(
    ("percent", "text"),
    [(None, None), (0.0, "0 %"), (0.01, "0.1 %"), (4.96, "5.0 %"), (10.4, "10 %"), (100.0, "100 %")],
)
def test_a_small_share_of_errors_is_not_rounded_to_none(percent: float | None, text: str | None) -> None:
    assert share(percent) == text


# -- the exit code ----------------------------------------------------------------------------------------------------


def code(*apps: AppRecord, app_name: str | None = None, **fields: Any) -> int:
    return exit_code(status_of(recorded(*apps, **fields), now=NOW, app_name=app_name))


def test_the_exit_code_of_a_converged_status_is_0() -> None:
    assert code(web()) == 0


def test_the_exit_code_of_a_status_on_the_way_is_2() -> None:
    assert code(web(conditions=conditions(ready=False, progressing=True))) == 2
    assert code(web(conditions=conditions(ready=True, progressing=True))) == 2
    assert code(AppRecord("new", None, app_state("new"))) == 2
    assert code(revision="") == 2


def test_the_exit_code_of_a_degraded_status_is_1_also_on_the_way() -> None:
    assert code(web(), degraded()) == 1
    assert code(web(error="something")) == 1
    assert code(web(), problems=(PROBLEM,)) == 1


def test_the_exit_code_of_one_app_is_of_its_own_status_only() -> None:
    assert code(web(), degraded(), app_name="web", problems=(PROBLEM,)) == 0
    assert code(web(), degraded(), app_name="api") == 1


# -- the contract -----------------------------------------------------------------------------------------------------


def test_the_committed_schema_of_the_status_is_current() -> None:
    assert SCHEMA.read_text() == contract.json_schema_text(), (
        "run: python -m reconciler.report.contract > docs/status.schema.json"
    )


def test_the_status_as_json_and_as_yaml_is_the_same_and_keeps_to_the_schema() -> None:
    found = recorded(degraded(), web(), problems=(PROBLEM,))
    dumped = json.loads(shown(found, "json"))
    jsonschema.validate(dumped, json.loads(SCHEMA.read_text()))
    assert YAML(typ="safe", pure=True).load(shown(found, "yaml")) == dumped
    assert dumped["format"] == "orchestry-status/1"


def test_the_status_has_what_its_contract_promises() -> None:
    api, _ = json.loads(shown(recorded(degraded(), web(), problems=(PROBLEM,)), "json"))["apps"]
    assert api["replicas"] == {"desired": 2, "current": 2, "ready": 1, "routed": 1}
    assert api["conditions"][2] == {
        "type": "Degraded",
        "status": True,
        "reason": "Unhealthy",
        "message": PULL,
        "since": "2027-01-15T08:00:00.000Z",
        "age_seconds": 4.0,
    }
    assert (api["routes"], api["error"]) == (["*/api"], PULL)
    first, second = api["instances"]
    assert (first["container_id"], first["slot"], first["address"]) == ("c0ffeeapi-1", 1, "10.0.0.2")
    assert (first["state"], first["health"], second["state"], second["health"]) == (
        "ready",
        "healthy",
        "down",
        "unhealthy",
    )
    assert second["backoff"]["next_in_seconds"] == 4.0
    assert api["rollout"]["to_hash"] == "def456"


def test_the_status_shows_neither_environment_nor_files_in_any_output() -> None:
    environment = [{"name": "TOKEN", "value": "hunter2"}, {"name": "KEY", "source": "secret", "key": "vault"}]
    kept = version("web", environment=environment, files={"app.ini": b"hunter2"}, args=["--token", "hunter2"])
    found = recorded(AppRecord("web", app_status(), app_state(version=kept), {}))
    for output in ("table", "wide", "json", "yaml"):
        assert "hunter2" not in shown(found, output)
    assert "hunter2" not in shown(found, app_name="web")
