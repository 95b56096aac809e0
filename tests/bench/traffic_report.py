"""What `traffic` measured, as a table for people and as figures for tools, held against what is wanted.

Wanted: without reloads no failed request in any planned operation; with a stock nginx none of the clients that retry or
keep no connection, and of the others no more than its reloads cost by themselves; a crash costs at most the requests
that were in flight; requests of 5 s finish in every planned operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from tests.bench.table import print_table
from tests.support.load import Failure, Tally

RELOADS = 100
CHANGES = "100 changes of replicas"
BY_HAND = "100 reloads by hand"
CRASH = "crash of three, in turn"
# How exactly the moment of a crash is known.
MOMENT_SECONDS = 0.05
KEEPERS = ("keep-alive GET", "keep-alive POST")
# Below this, chance alone is no explanation.
SIGNIFICANCE = 0.01
CLIENTS = (*KEEPERS, "retrying GET", "close GET", "5 s GET")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing done in one way, and what became of each kind of client's requests meanwhile.

    ``crashed_at`` are the moments (epoch seconds) at which replicas were crashed.
    """

    way: str
    scenario: str
    tallies: Mapping[str, Tally]
    seconds: float
    reloads: int
    crashed_at: tuple[float, ...] = ()

    @property
    def unexcused(self) -> int:
        """Failed requests that were not in flight at a crash."""
        return sum(not self._in_flight(failure) for tally in self.tallies.values() for failure in tally.failures)

    def _in_flight(self, failure: Failure) -> bool:
        return any(failure.sent_at <= at <= failure.ended_at + MOMENT_SECONDS for at in self.crashed_at)


def print_report(rows: Sequence[Row]) -> None:
    """Failed and sent requests of every client in every scenario, and what to hold them against."""
    head = ("", *CLIENTS, "took", "reloads", "p99", "longest gap")
    print_table(head, [_cells(row) for row in rows])
    for row in rows:
        for name, tally in row.tallies.items():
            if tally.failures:
                reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.reasons.items()))
                print(f"{row.way}, {row.scenario}, {name}: {reasons}")
    for name, cost in reload_cost(rows).items():
        print(f"a reload of the stock nginx costs {name} {cost:.2f} requests by itself")
    for name, held in verdicts(rows).items():
        print(f"{'held' if held else 'MISSED'}: {name}")


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The same for tools."""
    found: dict[str, Any] = {}
    for row in rows:
        found.setdefault(row.way, {})[row.scenario] = {
            "seconds": row.seconds,
            "reloads": row.reloads,
            "failed_without_a_crash": row.unexcused,
            "clients": {name: _figures(tally) for name, tally in row.tallies.items()},
        }
    return {"traffic": found, "cost_of_a_reload": reload_cost(rows), "held": verdicts(rows)}


def reload_cost(rows: Iterable[Row]) -> dict[str, float]:
    """Requests that one reload of the stock nginx costs each client that keeps connections and doesn't retry."""
    alone = _reloads_alone(rows)
    return {name: _lost(alone, name) / (RELOADS * len(alone)) for name in KEEPERS} if alone else {}


def verdicts(rows: Sequence[Row]) -> dict[str, bool]:
    """What is wanted, and whether it was so in this run."""
    planned = [row for row in rows if row.scenario not in (CRASH, BY_HAND)]
    lua, stock = ([row for row in planned if row.way == way] for way in ("lua", "stock"))
    crashes = [row for row in rows if row.scenario == CRASH and row.way in ("lua", "stock")]
    found = {}
    if lua:
        found["without reloads no request fails"] = not any(t.failures for row in lua for t in row.tallies.values())
    if stock:
        others = [tally for row in stock for name, tally in row.tallies.items() if name not in KEEPERS]
        found["with reloads no request of clients that retry or close fails"] = not any(t.failures for t in others)
        found["with reloads the others lose no more than reloads alone cost"] = all(
            _no_more_than_alone(stock, _reloads_alone(rows), name) for name in KEEPERS
        )
    if crashes:
        found["a crash fails no request that was not in flight"] = not any(row.unexcused for row in crashes)
    if lua or stock:
        slow = [row.tallies["5 s GET"] for row in (*lua, *stock)]
        found["requests of 5 s finish"] = not any(tally.failures for tally in slow)
    return found


def _reloads_alone(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.way == "stock" and row.scenario in (BY_HAND, CHANGES)]


def _lost(rows: Iterable[Row], name: str) -> int:
    return sum(row.tallies[name].failed for row in rows)


def _no_more_than_alone(planned: Sequence[Row], alone: Sequence[Row], name: str) -> bool:
    """Whether so many losses in so many reloads are what reloads alone lose, as far as chance allows one to tell: each
    loss falls on one of the planned reloads, and not on one of the others, with the share that those are of all."""
    operations = [row for row in planned if row not in alone]
    reloads, lost = sum(row.reloads for row in operations), _lost(operations, name)
    losses = lost + _lost(alone, name)
    share = reloads / (reloads + RELOADS * len(alone))
    chance = sum(comb(losses, k) * share**k * (1 - share) ** (losses - k) for k in range(lost, losses + 1))
    return chance >= SIGNIFICANCE


def _cells(row: Row) -> tuple[str, ...]:
    counts = (f"{row.tallies[name].failed}/{row.tallies[name].sent}" for name in CLIENTS)
    quick = [tally for name, tally in row.tallies.items() if name != "5 s GET"]
    p99, gap = max(t.p99_ms for t in quick), max(t.longest_gap_seconds for t in quick)
    return (
        f"{row.way}: {row.scenario}",
        *counts,
        f"{row.seconds:.1f} s",
        str(row.reloads),
        f"{p99:.0f} ms",
        f"{gap:.2f} s",
    )


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "sent": tally.sent,
        "failed": tally.failed,
        "reasons": dict(tally.reasons),
        "retried": tally.retried,
        "p50_ms": tally.p50_ms,
        "p99_ms": tally.p99_ms,
        "longest_gap_seconds": tally.longest_gap_seconds,
        "lag_ms": tally.lag_ms,
    }
