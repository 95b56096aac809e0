"""What the edge saw of an app's requests lately, and its certificates, in words for `status` and `explain`."""

from __future__ import annotations

from reconciler.model.load import RecentTraffic
from reconciler.report import contract
from reconciler.report.times import age


def traffic_words(traffic: RecentTraffic | contract.Traffic) -> str:
    """All of it in one line: ``340 requests in the last 5 min, 12 answered 5xx (3.5 %), 4 repaired, …``."""
    asked = f"{traffic.requests} requests in the last {age(traffic.window_seconds)}"
    if not traffic.requests:
        return asked
    errors = f"{traffic.errors} answered 5xx ({share(traffic.error_percent)})"
    return f"{asked}, {errors}, {traffic.repaired} repaired by another replica, {traffic.given_up} given up by clients"


def certificate_words(certificate: contract.Certificate) -> str:
    """A certificate in one line: ``site-tls for shop.example.com until 2026-12-24T15:12:03.000Z (30 d)``."""
    left_seconds = certificate.days_left * 86_400
    end = age(left_seconds) if left_seconds > 0 else f"expired {age(-left_seconds)} ago"
    return f"{certificate.secret} for {' '.join(certificate.hosts)} until {certificate.not_after} ({end})"


def share(percent: float | None) -> str | None:
    """A share of errors, of which also small ones count."""
    if percent is None:
        return None
    return f"{percent:.0f} %" if percent == 0 or percent >= 10 else f"{max(percent, 0.1):.1f} %"
