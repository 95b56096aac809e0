"""The status dump: what `orchestry status -o json` promises. A contract; fields are added to it, never changed.

Its JSON Schema is committed as ``docs/status.schema.json``; a test fails as long as the two differ. Times are RFC 3339
in UTC, spans are seconds, names of fields are the ones of the model. Nothing of a spec's environment or files is in it.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Part(BaseModel):
    """Base of every part. Fields that a reader doesn't know are no error: that is how the contract grows."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Controller(Part):
    """The controller that wrote the record."""

    version: str
    """Its version of Orchestry."""
    host: str
    pid: int
    started_at: Time
    seen_at: Time
    """When it last recorded anything: how old everything else here is."""
    age_seconds: float
    """Seconds since then."""
    running: bool
    """False when it was stopped, or has been silent for so long that it seems to have died."""
    stopped_at: Time | None
    """When it was stopped, gave up, or everything was removed; None while it runs, and where it died without a word."""
    trouble: str
    """Why nothing of what is here is known to be so any more, "" where it is: the controller doesn't run, or something
    keeps it from its work."""
    source: str
    """Where it reads specs from."""
    branch: str | None
    """The branch it reads, None outside git and where that is not known."""
    path: str | None
    """The directory of the specs inside the source, None where it is told none."""
    edge: str
    """Which reverse proxy it uses, and how changes reach it."""


class Problem(Part):
    """A mistake in the source. The app concerned, if any, keeps its last good spec."""

    app: str | None
    path: str
    line: int | None
    field: str
    found: str
    expected: str
    message: str
    """All of it in one sentence."""


class Replicas(Part):
    """Counts of replicas."""

    desired: int
    current: int
    """Running."""
    ready: int
    """Fit for traffic."""
    routed: int
    """Getting traffic."""


class Condition(Part):
    """As Kubernetes has them."""

    type: Literal["Ready", "Progressing", "Degraded"]
    status: bool
    reason: str
    """One CamelCase word, for machines."""
    message: str
    since: Time
    age_seconds: float


class Backoff(Part):
    """Failures in a row, and when it is tried again."""

    attempts: int
    reason: str
    message: str
    next_at: Time | None
    """None where only another spec can mend it."""
    next_in_seconds: float | None


class Check(Part):
    """The standing of one check of a replica."""

    verdict: Literal["unknown", "healthy", "unhealthy"]
    since: Time | None
    detail: str
    """The last failed answer."""
    consecutive_failures: int
    consecutive_successes: int
    checks: int
    failures: int
    last_check_at: Time | None
    last_success_at: Time | None
    last_failure_at: Time | None


class Instance(Part):
    """One replica."""

    name: str
    container_id: str
    slot: int
    address: str | None
    port: int | None
    state: Literal["ready", "draining", "down"]
    phase: str
    """The planner's word for where it stands."""
    note: str
    """Why it is, or isn't, routed."""
    spec_hash: str
    health: Literal["unknown", "healthy", "unhealthy"]
    failures: int
    """Failed checks in a row."""
    health_check: Check
    readiness_check: Check | None
    """None where there is no readiness check, or it has not answered yet."""
    restarts: int
    """How often it was started again since its version was applied: by the Engine, by the controller, or in a new
    container."""
    last_restarted_at: Time | None
    last_restarted_age_seconds: float | None
    engine_health: Literal["starting", "healthy", "unhealthy"] | None
    """What the Engine's own check of it (HEALTHCHECK) says, which decides nothing; None without one."""
    cpu_percent: float | None
    memory_percent: float | None
    requests: int | None
    """What it was asked by way of the edge in the last minutes."""
    error_percent: float | None
    """The share of these that it failed, by status 500 and above or by no answer; another may have answered then."""
    seen_at: Time | None
    created_at: Time | None
    """When its container was made."""
    exit_code: int | None
    out_of_memory: bool
    """The kernel ended it, the last time, for want of memory."""
    last_log: str
    """The last lines of a container that died."""
    backoff: Backoff | None
    age_seconds: float | None
    """How old its container is, None where it has none."""
    revision: str
    """The version that it is of: the newest revision that asks, or asked, for just such a container; "" where that is
    not known."""
    image: str | None
    """As the spec of that version names it, None where the version is known no more."""
    image_reference: str | None
    """What it was created from: a digest or, where it came from no registry, an id."""
    image_digest: str | None
    """The same without a name: ``sha256:…``."""


class Change(Part):
    """A commit that changed an app."""

    commit: str
    author: str
    """Its author's name."""
    at: Time
    """When it was committed."""
    age_seconds: float
    subject: str
    """The first line of its message."""
    of_file: bool
    """Whether it is only known to have changed the app's file, which holds other apps as well."""


class Rollout(Part):
    """A change of version under way."""

    from_hash: str | None
    to_hash: str
    started_at: Time
    progressed_at: Time
    """When there last were more new replicas to rely on than ever before in this rollout."""
    canary_at: Time | None
    """Since when the canary has its share of the traffic."""
    promoted: bool
    """The canary's verdict was good."""


class FailedVersion(Part):
    """A version that isn't tried again until the spec changes."""

    revision: str
    spec_hash: str
    at: Time
    reason: str
    message: str
    replica: str
    """The one that failed, "" where it wasn't one."""
    answer: str
    """Its last failed probe answer."""
    exit_code: int | None
    log: str
    """Its last lines."""


class Traffic(Part):
    """What the edge saw of an app's requests lately."""

    window_seconds: float
    """For how long: the last five minutes, or less where no more is known."""
    requests: int
    errors: int
    """Answered with status 500 and above."""
    error_percent: float | None
    """The share of these; None where nothing was asked."""
    repaired: int
    """One replica failed it, and another answered."""
    given_up: int
    """The client didn't wait for the answer (499)."""


class Certificate(Part):
    """A certificate that an app is served with."""

    secret: str
    hosts: tuple[str, ...]
    """Of the routes that name it, ``*`` for any host."""
    not_before: Time
    not_after: Time
    days_left: float
    """Until ``not_after``; negative once it has expired."""
    standing: Literal["valid", "expiring", "expired"]


class App(Part):
    """One app."""

    name: str
    revision: str
    spec_hash: str
    image: str | None
    """As the spec of this revision names it."""
    image_reference: str | None
    """What it meant when that was applied, and is created from: a digest or, where it came from no registry, an id."""
    mode: str
    """Scaling: ``auto`` or ``manual``."""
    converged: bool
    """Everything asked of it is known to be so."""
    known: bool
    """False while the controller is in ``trouble``: the rest is what it knew last, at its ``seen_at``."""
    replicas: Replicas
    conditions: tuple[Condition, ...]
    instances: tuple[Instance, ...]
    routes: tuple[str, ...]
    """Host and path of each, ``*`` for any host."""
    error: str
    """The worst trouble, "" where there is none."""
    created_at: Time | None
    updated_at: Time | None
    last_scaled_at: Time | None
    replaced_last_hour: int
    """Replicas that were replaced as unhealthy in the last hour."""
    restarted_last_hour: int
    """How often replicas were started again in the last hour, in their places."""
    unrest: str
    """What of that people should know, "" where it is nothing: an app that is healed again and again is ready now and
    then."""
    rollout: Rollout | None
    failed_version: FailedVersion | None
    backoff: Backoff | None
    image_digest: str | None
    """What ``image_reference`` says, without a name: ``sha256:…``."""
    last_change: Change | None
    """The commit that changed what is asked for of it last, be it by its spec or by a file that this names. None where
    there is no history to tell."""
    traffic: Traffic | None
    """None where the edge can't tell."""
    warnings: tuple[str, ...]
    """What people should see to, though the app does what was asked for."""
    advice: tuple[str, ...]
    """What people can do about what is wrong with it, the most urgent first."""
    certificates: tuple[Certificate, ...]


class Status(Part):
    """The status of one instance of Orchestry."""

    format: Literal["orchestry-status/1"] = "orchestry-status/1"
    generated_at: Time
    instance: str
    revision: str
    """The revision of the source that was applied last."""
    converged: bool
    """Everything asked for is known to be so, and nothing is wrong with what was asked for."""
    controller: Controller
    apps: tuple[App, ...]
    notices: tuple[str, ...]
    problems: tuple[Problem, ...]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the dump."""
    schema = Status.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def json_schema_text() -> str:
    """The same as the committed file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
