"""What `orchestry status` shows: the store keeps it, the report prints it, nobody computes it twice.

A status is for people and their tools: no decision reads it, but that conditions keep the time at which they began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reconciler.model.certificates import Standing
from reconciler.model.change import Change
from reconciler.model.health import EngineHealth, Health
from reconciler.model.load import RecentTraffic
from reconciler.model.moments import Moment
from reconciler.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of an app, as Kubernetes has them: ``Ready``, ``Progressing`` or ``Degraded``. ``since``: epoch
    seconds."""

    type: Literal["Ready", "Progressing", "Degraded"]
    status: bool
    reason: Reason
    message: str
    since: Moment


@dataclass(frozen=True, slots=True)
class Vitals:
    """Measurements of a replica that move all the time, and are no reason to write to the store at once."""

    cpu_percent: float | None = None
    memory_percent: float | None = None
    seen_at: float | None = None
    traffic: RecentTraffic | None = None


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The status of one replica. ``state``: ``ready`` (routed), ``draining`` (leaving), ``down`` (anything else).

    ``phase`` is the word of `decide.phases` for where it stands (``starting``, ``crashed``, …), ``note`` why.
    ``restarts`` counts since its version was applied, whoever started it again. ``engine_health`` is what the Engine's
    own check of it says, "" without one. Its container was made at ``revision``, from the
    image of this id: "" and None where there is none.
    """

    name: str
    container_id: str
    slot: int
    address: str | None
    port: int | None
    spec_hash: str
    state: Literal["ready", "draining", "down"]
    phase: str
    note: str
    health: Health
    restarts: int = 0
    vitals: Vitals = Vitals()
    last_restarted_at: Moment | None = None
    engine_health: EngineHealth = ""
    revision: str = ""
    image_id: str = ""
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate that an app is served with: by its secret, for these hosts (``*``: any), valid from ``not_before``
    until ``not_after`` (epoch seconds)."""

    secret: str
    hosts: tuple[str, ...]
    not_before: float
    not_after: float
    standing: Standing


@dataclass(frozen=True, slots=True)
class AppStatus:
    """The status of one app. ``current`` counts running replicas, ``ready`` those fit for traffic, ``routed`` those
    getting it; ``replaced`` and ``restarted`` those replaced as unhealthy and started again in the last hour, and
    ``unrest`` is what of that people should know, "" where there is nothing. ``change`` is the commit that changed its
    spec last, be that the version it converges to or not.

    ``traffic`` and ``warnings``, which tell of it, move all the time, and are no reason to write to the store at once.
    """

    name: str
    revision: str
    spec_hash: str
    mode: str
    desired: int
    current: int
    ready: int
    routed: int
    conditions: tuple[Condition, ...]
    replicas: tuple[ReplicaStatus, ...]
    routes: tuple[str, ...]
    error: str = ""
    replaced: int = 0
    restarted: int = 0
    unrest: str = ""
    change: Change | None = None
    traffic: RecentTraffic | None = None
    warnings: tuple[str, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether all that was asked for is so: a version that was rolled back is ready, and yet not what was asked
        for."""
        true = {condition.type for condition in self.conditions if condition.status}
        return true == {"Ready"}
