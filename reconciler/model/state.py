"""The state: everything a decision needs that cannot be seen in the world, and so must survive a restart.

It is a value. A tick takes one and makes the next; the store only keeps it. What happens to an app or a replica has a
name beside them, in `app_state` and `replica_state`. Whatever can be derived from what is observed does not belong
here. No moment lies in the future.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.app_state import AppState
from reconciler.model.certificates import ServedCertificate
from reconciler.model.desired import Problem
from reconciler.model.moments import Moment
from reconciler.model.replica_state import ReplicaState
from reconciler.model.routes import Refusal, RouteTable


@dataclass(frozen=True, slots=True)
class Published:
    """The last route table that was successfully published, since when, what the edge would not take of it, and the
    certificates that it serves it with."""

    table: RouteTable = RouteTable()
    generation: str = ""
    at: Moment = 0.0
    refusals: tuple[Refusal, ...] = ()
    certificates: tuple[ServedCertificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Absence:
    """The last time in which the Engine could not be seen, until it was again."""

    since: Moment
    until: Moment

    # So long before and after it, what ends programs may be the Engine that goes down, or comes up.
    MARGIN_SECONDS = 15.0

    def explains(self, at: float) -> bool:
        """Whether a program that ended then may have been ended by what took the Engine away."""
        return self.since - self.MARGIN_SECONDS <= at <= self.until + self.MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is remembered, ``as_of`` the moment at which it was so. ``revision`` is the last one applied,
    ``problems`` are those of the last reading of the source; ``last_address`` is the last one given to a replica, so
    that addresses are not reused while an old nginx worker may still know them. ``outages`` tells since when each side
    is out of reach that is. What was last told of a rewritten branch is not kept, since whoever reads the source anew
    knows of none; nor ``absence``, which matters for some seconds only, nor when this
    process ``looked_at`` all that there is, 0 where it never did."""

    apps: Mapping[str, AppState] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaState] = field(default_factory=dict)
    published: Published = Published()
    revision: str = ""
    problems: tuple[Problem, ...] = ()
    last_address: str = ""
    outages: Mapping[str, Moment] = field(default_factory=dict)
    as_of: Moment = field(default=0.0, compare=False)
    rewritten: str = field(default="", compare=False)
    absence: Absence | None = field(default=None, compare=False)
    looked_at: Moment = field(default=0.0, compare=False)
