"""What the versions of an app served beside each other, to judge a canary by.

Counted from when the youngest of them was first seen, for as long as they are there: a canary that is asked little gets
its verdict once it was asked enough. None of it outlives the controller: after a restart, counting begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor

from reconciler.load.traffic import Key, TrafficCounts
from reconciler.model.load import VersionLoad
from reconciler.model.observed import Container


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The comparison of one app's versions: what each served, by its spec hash, ``since`` that moment (epoch
    seconds)."""

    since: float
    served: Mapping[str, TrafficCounts]
    version_at: Mapping[str, str]


class Comparisons:
    """The comparisons of all apps that are being watched, one for each."""

    def __init__(self) -> None:
        self._apps: dict[str, _Comparison] = {}

    def watch(self, containers: Mapping[str, Sequence[Container]], now: float) -> None:
        """Compare the versions that these containers are of, by app name; and forget all other apps."""
        self._apps = {name: _goes_on(self._apps.get(name), of_app, now) for name, of_app in containers.items()}

    def add(self, traffic: Mapping[Key, TrafficCounts]) -> None:
        for key, part in traffic.items():
            compared = self._apps.get(key.app_name)
            if compared is None or key.second < floor(compared.since):
                continue
            if spec_hash := compared.version_at.get(key.address):
                compared.served[spec_hash].merge(part)

    def loads(self, app_name: str, now: float) -> Iterable[tuple[str, VersionLoad]]:
        """What each version served up to ``now``, by its spec hash; none where the app is not watched."""
        if compared := self._apps.get(app_name):
            for spec_hash, traffic in compared.served.items():
                yield spec_hash, _load(traffic, now - compared.since)

    def begin_anew(self) -> None:
        self._apps.clear()


def _goes_on(before: _Comparison | None, containers: Sequence[Container], now: float) -> _Comparison:
    """The same comparison with the containers of now, or another as soon as there is a version it doesn't know."""
    versions = {container.spec_hash for container in containers}
    version_at = {container.address: container.spec_hash for container in containers if container.address}
    if before is None or not versions <= before.served.keys():
        return _Comparison(now, {spec_hash: TrafficCounts() for spec_hash in versions}, version_at)
    return _Comparison(before.since, {spec_hash: before.served[spec_hash] for spec_hash in versions}, version_at)


def _load(traffic: TrafficCounts, seconds: float) -> VersionLoad:
    tries = traffic.requests + traffic.failed_tries
    failed = traffic.statuses[5] + traffic.failed_tries
    return VersionLoad(
        requests=tries,
        error_rate=failed / tries if tries else 0.0,
        p95_latency_ms=traffic.latencies.quantile(0.95),
        window_seconds=seconds,
    )
