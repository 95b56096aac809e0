"""What people should see about an app that does what was asked for: it is not degraded, and yet not simply well.

Nothing follows from a warning: no decision, no condition, no exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.decide.words import expiry_words
from reconciler.model.certificates import ServedCertificate
from reconciler.model.load import RecentTraffic
from reconciler.model.status import ReplicaStatus

# Errors are worth a warning from this share on, and fewer than so many are chance.
MIN_ERROR_PERCENT = 5.0
MIN_ERRORS = 3


def of_errors(traffic: RecentTraffic | None, replicas: Sequence[ReplicaStatus]) -> Iterable[str]:
    """That many of an app's answers are errors or, where other replicas answered for it, that a replica fails many of
    its requests."""
    if traffic and _is_noticeable(traffic):
        yield f"{_share(traffic)} were answered with an error (5xx)"
        return
    for replica in replicas:
        if (asked := replica.vitals.traffic) and _is_noticeable(asked):
            yield f"{replica.name} failed {_share(asked)}; other replicas answered for it where they could"


def of_certificates(served: Iterable[ServedCertificate]) -> Iterable[str]:
    """That a certificate expires soon; one that has expired is an app's trouble."""
    for certificate in served:
        if certificate.standing == "expiring":
            yield f"certificate {certificate.secret} {expiry_words(certificate)}"


def _is_noticeable(traffic: RecentTraffic) -> bool:
    percent = traffic.error_percent
    return percent is not None and percent >= MIN_ERROR_PERCENT and traffic.errors >= MIN_ERRORS


def _share(traffic: RecentTraffic) -> str:
    seconds = traffic.window_seconds
    span = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
    return f"{traffic.error_percent:.0f} % of {traffic.requests} requests in the last {span}"
