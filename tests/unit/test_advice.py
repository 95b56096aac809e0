"""What people are advised to do follows from what is wrong with an app, and nothing is said where nothing is."""

from __future__ import annotations

import pytest

from reconciler.model.health import Health, Verdict
from reconciler.model.recorded import AppRecord
from reconciler.model.restarts import Exits
from reconciler.report.dump import app_dump
from tests.support.apps import desired, version
from tests.support.records import NOW, app_state, app_status, conditions, replica_state, replica_status
from tests.support.stage import Stage


def advised(*, detail: str = "", out_of_memory: str = "") -> str:
    """What is advised on an app whose one replica isn't ready."""
    health = Health(Verdict.UNKNOWN, NOW, detail=detail)
    replica = replica_status("web-1", state="down", phase="starting", health=health)
    status = app_status(replicas=(replica,), conditions=conditions(ready=False))
    state = replica_state("web-1", exits=Exits(code=1, out_of_memory=out_of_memory))
    return "\n".join(app_dump(AppRecord("web", status, app_state(), {"web-1": state}), NOW).advice)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("GET http://10.0.0.2:9090/healthz: connection refused", "nothing listens where the check asks"),
        ("tcp 10.0.0.2:5432: connection refused", "nothing listens where the check asks"),
        ("GET http://10.0.0.2:8080/nope: answered 404, expected 2xx", "compare path and expectedStatusCodes"),
        ("HEAD http://10.0.0.2:8080/: no answer within 5 s", "it hangs or is slow: see `orchestry logs web`"),
    ],
)
def test_the_last_failed_answer_says_what_to_compare(answer: str, advice: str) -> None:
    assert advice in advised(detail=answer)


def test_of_memory_that_was_too_little_the_limit_is_named() -> None:
    assert "spec.resources.memory" in advised(out_of_memory="OOMKilled: it needed more than its limit of 32 MiB")


def test_an_app_with_which_nothing_is_wrong_needs_no_advice() -> None:
    stage = Stage(desired(version()))
    stage.settle()
    record = AppRecord("web", stage.statuses["web"], stage.state.apps["web"], dict(stage.state.replicas))
    assert app_dump(record, stage.now).advice == ()


def test_a_failed_version_is_to_be_corrected_or_reverted() -> None:
    stage = Stage(desired(version()), unserved={"/gone"})
    stage.settle()
    stage.desired = desired(version(revision="r2", health_check={"path": "/gone"}), revision="r2")
    stage.until(lambda: stage.state.apps["web"].failed)
    record = AppRecord("web", stage.statuses["web"], stage.state.apps["web"], dict(stage.state.replicas))
    assert "correct the spec and commit, or revert" in app_dump(record, stage.now).advice[-1]
