"""From lines of the access log to what each app and replica served, second by second.

Pure, and quick rather than general: the lines of a batch are only split and counted by their raw bytes; numbers are
made of those once per distinct value. A line that isn't in the format of `model.access_log` is skipped and counted.

Latency is the time the replicas took, without the client's own slowness; upgraded connections (status 101) and answers
that nginx gave by itself have none. A request is its last replica's; replicas that failed it before are told apart
as failed tries, since a retry that went well elsewhere would hide them; the request is then a repaired one. One whose
client went away before it was answered is given up: nginx calls that 499.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from reconciler.load.histogram import Histogram
from reconciler.model.access_log import FIELDS, LIST_SEPARATOR, SEPARATOR, UNKNOWN

# Whoever is asked how busy a replica was looks back no further than this.
MAX_SPREAD_SECONDS = 600

_SEPARATOR = SEPARATOR.encode()
_LIST_SEPARATOR = LIST_SEPARATOR.encode()
_UNKNOWN = UNKNOWN.encode()
_WIDTH = len(FIELDS)
_COLUMNS = {column.name: index for index, column in enumerate(FIELDS)}
_AT = _COLUMNS["at"]
_APP = _COLUMNS["app"]
_ADDRESSES = _COLUMNS["upstream_addresses"]
_SECONDS = _COLUMNS["upstream_seconds"]
_STATUS = _COLUMNS["status"]
_SENT = _COLUMNS["bytes_sent"]
_REDIRECTED = b" : "
_UPGRADED = b"101"
_GIVEN_UP = b"499"
_ERROR_CLASS = 5
_MILLISECONDS_LENGTH = len(b".123")


@dataclass(slots=True)
class TrafficCounts:
    """Counts of what was served. ``statuses[2]`` are answers 2xx, and so on; ``busy_ms`` is time requests were in
    hand; ``repaired`` are requests that another replica had failed before, ``given_up`` those whose client went away.
    """

    requests: int = 0
    latencies: Histogram = field(default_factory=Histogram)
    statuses: list[int] = field(default_factory=lambda: [0] * 6)
    bytes_sent: int = 0
    busy_ms: int = 0
    failed_tries: int = 0
    repaired: int = 0
    given_up: int = 0

    def merge(self, other: TrafficCounts) -> None:
        self.requests += other.requests
        self.latencies.merge(other.latencies)
        for status_class, count in enumerate(other.statuses):
            self.statuses[status_class] += count
        self.bytes_sent += other.bytes_sent
        self.busy_ms += other.busy_ms
        self.failed_tries += other.failed_tries
        self.repaired += other.repaired
        self.given_up += other.given_up

    @property
    def error_rate(self) -> float:
        """The share (0–1) of answers with status 500 and above; 0 where there were none."""
        return self.statuses[5] / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The key of a count: whose traffic it is, in which second (epoch). ``address`` is ``-`` where no replica
    answered."""

    second: int
    app_name: str
    address: str


@dataclass(slots=True)
class Batch:
    """The counts of some lines. ``skipped`` is how many of them were not in the format."""

    traffic: dict[Key, TrafficCounts] = field(default_factory=dict)
    skipped: int = 0

    def at(self, key: Key) -> TrafficCounts:
        traffic = self.traffic.get(key)
        if traffic is None:
            traffic = self.traffic[key] = TrafficCounts()
        return traffic


class _LineGroup:
    """A group of lines: of one second, app and list of replicas, counted by raw values."""

    __slots__ = ("bytes_sent", "served")

    def __init__(self) -> None:
        self.served: dict[tuple[bytes, bytes], int] = {}
        self.bytes_sent = 0


def tally(lines: bytes) -> Batch:
    """Count whole lines, each ending in a line feed."""
    batch = Batch()
    for (second, app, addresses), group in _grouped(lines, batch).items():
        try:
            _fold(batch, int(second), app.decode(), addresses, group)
        except ValueError:
            batch.skipped += sum(group.served.values())
    return batch


def _grouped(lines: bytes, batch: Batch) -> Mapping[tuple[bytes, bytes, bytes], _LineGroup]:
    """The lines in groups, by second, app and replicas: the one loop that runs for every line."""
    groups: dict[tuple[bytes, bytes, bytes], _LineGroup] = {}
    for line in lines.split(b"\n"):
        fields = line.split(_SEPARATOR)
        if len(fields) != _WIDTH or not fields[_SENT].isdigit():
            batch.skipped += bool(line)
            continue
        key = (fields[_AT][:-_MILLISECONDS_LENGTH], fields[_APP], fields[_ADDRESSES])
        group = groups.get(key)
        if group is None:
            group = groups[key] = _LineGroup()
        served = (fields[_STATUS], fields[_SECONDS])
        group.served[served] = group.served.get(served, 0) + 1
        group.bytes_sent += int(fields[_SENT])
    return groups


def _fold(batch: Batch, second: int, app_name: str, addresses: bytes, group: _LineGroup) -> None:
    """Add a group to its replicas' traffic."""
    *failed, answered = [Key(second, app_name, _address(text)) for text in _entries(addresses)]
    for (status, seconds), count in group.served.items():
        try:
            status_class, milliseconds = _status_class(status), _milliseconds_each(seconds)
        except (ValueError, OverflowError):
            batch.skipped += count
            continue
        traffic = batch.at(answered)
        traffic.requests += count
        traffic.statuses[status_class] += count
        if status == _GIVEN_UP:
            traffic.given_up += count
        elif failed and status_class < _ERROR_CLASS:
            traffic.repaired += count
        if answered.address != UNKNOWN and status != _UPGRADED:
            traffic.latencies.add(sum(milliseconds), count)
        for victim, lost_ms in zip(failed, milliseconds, strict=False):
            batch.at(victim).failed_tries += count
            _spread(batch, victim, lost_ms, count)
        _spread(batch, answered, milliseconds[-1], count)
    batch.at(answered).bytes_sent += group.bytes_sent


def _spread(batch: Batch, key: Key, busy_ms: int, count: int) -> None:
    """Count time in hand in the seconds it was spent in, not all in the one in which the request ended."""
    for second, part_ms in _parts(key.second, busy_ms):
        batch.at(Key(second, key.app_name, key.address)).busy_ms += part_ms * count


def _parts(second: int, busy_ms: int) -> Iterator[tuple[int, int]]:
    for earlier in range(MAX_SPREAD_SECONDS):
        if busy_ms <= 0:
            return
        yield second - earlier, min(busy_ms, 1000)
        busy_ms -= 1000


def _entries(listed: bytes) -> list[bytes]:
    """The tries of a request; nginx sets those after an internal redirect apart by a colon."""
    return listed.replace(_REDIRECTED, _LIST_SEPARATOR).split(_LIST_SEPARATOR)


def _address(text: bytes) -> str:
    """The host of an upstream address: ``10.0.0.7`` of ``10.0.0.7:8080``; ``-`` for an upstream's name, which stands
    where none of its servers did."""
    host, colon, _ = text.partition(b":")
    return host.decode() if colon and host[:1].isdigit() else UNKNOWN


def _status_class(status: bytes) -> int:
    first = int(status) // 100
    if not 1 <= first <= 5:
        raise ValueError(f"status {status!r}")
    return first


@lru_cache(maxsize=65536)
def _milliseconds_each(seconds: bytes) -> tuple[int, ...]:
    """What each try took, in milliseconds, ``(1, 20)`` of ``0.001, 0.020``; 0 where it isn't known."""
    return tuple(0 if part == _UNKNOWN else round(float(part) * 1000) for part in _entries(seconds))
