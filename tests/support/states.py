"""Hypothesis strategies for everything a state may hold, down to odd text and empty files.

Values are built field by field from their annotations, so that a field added to the model is tried as well.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import strategies as st

from reconciler.model.app_state import AppState, Checked, FailedVersion, Pacing, Repetition, Rollout
from reconciler.model.backoff import Backoff
from reconciler.model.certificates import ServedCertificate
from reconciler.model.desired import Problem
from reconciler.model.health import Health, Tally
from reconciler.model.image import ResolvedImage
from reconciler.model.replica_state import BlindHealth, Ending, ReplicaState, Traffic
from reconciler.model.restarts import Exits, Restarts
from reconciler.model.routes import PLAIN, AppRoutes, Refusal, RouteTable, Server, Upstream
from reconciler.model.scaling import Clamp, Factor, ScalingDecision, ScalingState, Throughput
from reconciler.model.spec import App, EdgeOptions, Route, UpstreamTls
from reconciler.model.state import Absence, Published, State
from reconciler.model.status import Condition
from reconciler.model.unrest import Unrest
from reconciler.model.version import Version
from tests.support.apps import app

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
_numbers = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
_counts = st.integers(0, 2**31 - 1)
_texts = st.text(max_size=20)

_specs = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["demo:1", f"registry.example/a/b@sha256:{'0' * 64}"]),
        "command": st.sampled_from([[], ["/bin/web", "--größe", "a\tb"]]),
        "resources": st.sampled_from([{"cpu": 0.5, "memory": "64Mi"}, {"cpu": 2}, {"cpu": "250m", "pids": 7}]),
        "environment": st.sampled_from(
            [
                [{"name": "A", "value": "ä\n"}],
                [{"name": "IP", "source": "sdk", "key": "instance.ip"}, {"name": "S", "source": "secret", "key": "k"}],
            ]
        ),
        "strategy": st.sampled_from([{"maxSurge": "25%", "canary": {"weight": 5}}, {"maxUnavailable": 1}]),
        "routes": st.sampled_from([[], [{"host": "*.example.com", "path": "/x", "tls": {"secret": "cert"}}]]),
        "dependsOn": st.sampled_from([[], ["other", "another"]]),
        "terminationGracePeriodSeconds": st.integers(0, 60),
    },
)


@st.composite
def apps(draw: st.DrawFn) -> App:
    return app(draw(names), **draw(_specs))


@st.composite
def versions(draw: st.DrawFn) -> Version:
    files = draw(st.dictionaries(_texts, st.binary(max_size=40), max_size=2))
    return replace(
        Version.of(draw(apps()), draw(_texts), draw(_texts), files),
        image=draw(st.none() | st.builds(ResolvedImage, _texts, _texts)),
        secrets=draw(st.dictionaries(_texts, _texts, max_size=2)),
        secrets_turn=draw(_counts),
    )


_by_hint: dict[str, st.SearchStrategy[Any]] = {
    "float": _numbers,
    "float | None": st.none() | _numbers,
    "int": _counts,
    "int | None": st.none() | _counts,
    "str": _texts,
    "str | None": st.none() | _texts,
    "Moment": _numbers,
    "Moment | None": st.none() | _numbers,
    "tuple[Moment, ...]": st.lists(_numbers, max_size=3).map(tuple),
    "Mapping[str, Moment]": st.dictionaries(names, _numbers, max_size=2),
    "tuple[str, ...]": st.lists(_texts, max_size=3).map(tuple),
    "tuple[tuple[Moment, int], ...]": st.lists(st.tuples(_numbers, _counts), max_size=3).map(tuple),
    "Version": versions(),
    "Version | None": st.none() | versions(),
    "tuple[Version, ...]": st.lists(versions(), max_size=1).map(tuple),
    "Standing": st.sampled_from(["valid", "expiring", "expired"]),
    "EdgeOptions": st.sampled_from([EdgeOptions(), EdgeOptions(sticky="cookie", retries=0)]),
    "tuple[Route, ...]": st.sampled_from([(), (Route(path="/web"), Route(host="a.example", strip_prefix=True))]),
}


def _whole(type_: type[Any], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass with every field drawn, those with defaults too; known by its name from then on."""
    drawn = {one.name: _by_hint.get(str(one.type), ...) for one in fields(type_)}
    strategy = st.builds(type_, **(drawn | given))
    name = type_.__name__
    _by_hint[name] = strategy
    _by_hint[f"{name} | None"] = st.none() | strategy
    _by_hint[f"tuple[{name}, ...]"] = st.lists(strategy, max_size=2).map(tuple)
    _by_hint[f"Mapping[str, {name}]"] = st.dictionaries(names, strategy, max_size=3)
    return strategy


# Parts before wholes.
for _part in (Tally, Health, Backoff, Factor, Clamp, Throughput, Rollout, FailedVersion, Repetition, Condition, Server):
    _whole(_part)
for _part in (Traffic, Exits, Restarts, BlindHealth, Ending, Absence, Pacing, Checked, Unrest, ServedCertificate):
    _whole(_part)
_whole(AppRoutes, upstream=st.sampled_from([PLAIN, Upstream("GRPC"), Upstream("HTTPS", UpstreamTls(ca="internal"))]))
for _part in (Problem, ScalingDecision, ScalingState, Refusal, RouteTable, Published, ReplicaState, AppState):
    _whole(_part)
# These two are columns, which hold no NUL.
states: st.SearchStrategy[State] = _whole(State, revision=names, last_address=st.sampled_from(["", "10.0.0.9"]))
