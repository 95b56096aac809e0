"""What the edge saw of an app's requests lately, in words for `status` and `explain`."""

from __future__ import annotations

from reconciler.model.load import Traffic
from reconciler.report import contract
from reconciler.report.times import age


def traffic_words(traffic: Traffic | contract.Traffic) -> str:
    """All of it in one line: ``340 requests in the last 5 min, 12 answered 5xx (3.5 %), 4 repaired, …``."""
    asked = f"{traffic.requests} requests in the last {age(traffic.window_seconds)}"
    if not traffic.requests:
        return asked
    errors = f"{traffic.errors} answered 5xx ({share(traffic.error_percent)})"
    return f"{asked}, {errors}, {traffic.repaired} repaired by another replica, {traffic.given_up} given up by clients"


def share(percent: float | None) -> str | None:
    """A share of errors, of which also small ones count."""
    if percent is None:
        return None
    return f"{percent:.0f} %" if percent == 0 or percent >= 10 else f"{max(percent, 0.1):.1f} %"
