"""What is told of the difference between two versions of an app, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.decide.differences import MOST_TOLD, differences, recreating, told
from reconciler.model.spec import AppSpec
from reconciler.model.version import _FIRST_FIELDS
from tests.support.apps import version

SECRET = "hunter2"
OTHER = "swordfish"


def told_of(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [str(difference) for difference in differences(version(**old), version(**new))]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"image": "demo:2"}, ["spec.image: demo:1 → demo:2"]),
        ({}, {"labels": {"team": "a"}}, ["metadata.labels[team]: none → a"]),
        ({}, {"suspend": True}, ["spec.suspend: false → true"]),
        ({}, {"workingDir": "/srv"}, ["spec.workingDir: none → /srv"]),
        ({"replicas": 2}, {"replicas": 3}, ["scaling.replicas: 2 → 3"]),
        (
            {"replicas": None, "scaling": {"minReplicas": 2, "maxReplicas": 5, "targetRPSPerReplica": 50}},
            {"replicas": None, "scaling": {"minReplicas": 1, "maxReplicas": 50, "targetRPSPerReplica": 5000}},
            ["scaling.minReplicas: 2 → 1", "scaling.maxReplicas: 5 → 50", "scaling.targetRPSPerReplica: 50 → 5000"],
        ),
        ({}, {"health_check": {"path": "/ok"}}, ["healthCheck.path: /healthz → /ok"]),
        ({"health_check": None}, {"health_check": {"port": 90}}, ["healthCheck: none → {port: 90}"]),
        ({}, {"strategy": {"maxSurge": 2}}, ["spec.strategy.maxSurge: none → 2"]),
        ({}, {"strategy": {"canary": {"weight": 5}}}, ["spec.strategy.canary: none → {weight: 5}"]),
        ({}, {"resources": {"memory": "64Mi"}}, ["spec.resources: none → {memory: 64Mi}"]),
        (
            {"resources": {"memory": "64Mi"}},
            {"resources": {"memory": "128Mi"}},
            ["spec.resources.memory: 64Mi → 128Mi"],
        ),
        ({}, {"init": True}, ["spec.init: none → true"]),
        ({}, {"logging": {"maxSize": "1M"}}, ["spec.logging: none → {maxSize: 1M}"]),
        ({"logging": {"maxFiles": 2}}, {"logging": {"maxFiles": 3}}, ["spec.logging.maxFiles: 2 → 3"]),
        ({}, {"dependsOn": ["db", "cache"]}, ["spec.dependsOn: none → [db, cache]"]),
        (
            {"routes": [{"path": "/a"}, {"path": "/b"}]},
            {"routes": [{"path": "/b", "stripPrefix": True}, {"host": "shop.example", "path": "/c"}]},
            [
                "spec.routes[*/a]: {path: /a} → none",
                "spec.routes[*/b].stripPrefix: false → true",
                "spec.routes[shop.example/c]: none → {host: shop.example, path: /c}",
            ],
        ),
        (
            {"volumes": [{"name": "a", "mountPath": "/data"}]},
            {"volumes": [{"name": "b", "mountPath": "/data"}]},
            ["spec.volumes[/data].name: a → b"],
        ),
        (
            {"ports": [{"containerPort": 80, "protocol": "HTTP"}]},
            {"ports": [{"containerPort": 80, "protocol": "HTTP"}, {"containerPort": 25}]},
            ["spec.ports[25]: none → {containerPort: 25}"],
        ),
        (
            {"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
            ["spec.environment: another order"],
        ),
    ],
)
def test_each_field_that_differs_is_told_with_what_it_was_and_is(
    old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    assert told_of(old, new) == expected


def check_with(**fields: Any) -> dict[str, Any]:
    return {"health_check": {"method": "POST", **fields}}


def scaling_with(query: str) -> dict[str, Any]:
    return {"replicas": None, "scaling": {"metrics": [{"name": "queue", "query": query, "target": 5}]}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            {"environment": [{"name": "PW", "value": SECRET}]},
            {"environment": [{"name": "PW", "value": OTHER}]},
            ["spec.environment[PW]: (changed)"],
        ),
        ({}, {"environment": [{"name": "PW", "value": SECRET}]}, ["spec.environment[PW]: (changed)"]),
        ({"args": [f"--pw={SECRET}"]}, {"args": [f"--pw={OTHER}"]}, ["spec.args: (changed)"]),
        ({}, {"command": ["run", SECRET]}, ["spec.command: (changed)"]),
        (
            check_with(headers=[{"name": "Authorization", "value": SECRET}]),
            check_with(headers=[{"name": "Authorization", "value": OTHER}]),
            ["healthCheck.headers[Authorization]: (changed)"],
        ),
        (check_with(body=SECRET), check_with(body=OTHER), ["healthCheck.body: (changed)"]),
        (
            {"health_check": None},
            check_with(body=SECRET, headers=[{"name": "A", "value": SECRET}]),
            ["healthCheck: none → {method: POST}"],
        ),
        (scaling_with(SECRET), scaling_with(OTHER), ["scaling.metrics[queue].query: (changed)"]),
        (
            {"replicas": None, "scaling": {}},
            scaling_with(SECRET),
            ["scaling.metrics[queue]: none → {name: queue, target: 5}"],
        ),
    ],
)
def test_of_what_may_be_a_secret_only_that_it_changed_is_told(
    old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    assert told_of(old, new) == expected
    assert not any(secret in line for line in told_of(new, old) for secret in (SECRET, OTHER))


def test_a_file_is_told_by_its_place_where_only_its_content_changed() -> None:
    mounts = [{"path": "a.conf", "mountPath": "/etc/a.conf"}, {"path": "b.conf", "mountPath": "/etc/b.conf"}]
    old = version(mounts=mounts, files={"a.conf": b"1", "b.conf": b"2"})
    new = version(mounts=mounts, files={"a.conf": b"1", "b.conf": SECRET.encode()})
    assert [str(difference) for difference in differences(old, new)] == ["spec.files[/etc/b.conf]: (changed)"]


def test_only_what_containers_are_made_from_recreates_them() -> None:
    old, new = version(), version(image="demo:2", replicas=3, strategy={"maxSurge": 2}, restartToken="again")
    assert [difference.field for difference in recreating(old, new)] == ["spec.image", "spec.restartToken"]
    assert len(differences(old, new)) == 4
    assert recreating(old, version(replicas=3)) == ()


def test_a_field_that_is_written_out_and_means_the_same_is_told_since_it_recreates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of every container field that comes with a later version, where a spec gives its default."""
    later = {AppSpec: _FIRST_FIELDS[AppSpec] - {"type"}}
    monkeypatch.setattr("reconciler.model.version._FIRST_FIELDS", {**_FIRST_FIELDS, **later})
    silent, given = version(), version(type="http")
    assert [str(difference) for difference in recreating(silent, given)] == ["spec.type: written out"]
    assert [str(difference) for difference in recreating(given, silent)] == ["spec.type: left to its default"]
    assert differences(given, version(type="http", revision="r2")) == ()


def test_of_many_differences_the_first_are_told_and_how_many_there_are_besides() -> None:
    variables = [{"name": f"V{number:02}", "value": ""} for number in range(MOST_TOLD + 3)]
    text = told(differences(version(), version(environment=variables)))
    assert text.startswith("spec.environment[V00]: (changed); ")
    assert text.endswith("; and 3 more")
