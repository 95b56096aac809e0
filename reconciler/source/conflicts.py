"""What only several documents together can get wrong: names, routes, hosts and dependencies.

Decides which documents contradict each other. A conflict is an error in every document that takes part, since nobody
can tell which of them is right; documents that have no part in it are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from reconciler.model.desired import Problem
from reconciler.source.app_document import AppDocument
from reconciler.source.document import Path

_NAME: Path = ("metadata", "name")

_Claim = TypeVar("_Claim")
_Claims = Mapping[_Claim, list[tuple[AppDocument, Path]]]


def conflicts(documents: Sequence[AppDocument], *, names_elsewhere: bool = False) -> tuple[Problem, ...]:
    """All conflicts. ``names_elsewhere``: there may be more apps than these, so a name not seen is no error."""
    return (
        *_same_names(documents),
        *_same_routes(documents),
        *_two_certificates(documents),
        *(() if names_elsewhere else _unknown_names(documents)),
        *_cycles(documents),
    )


def _same_names(documents: Sequence[AppDocument]) -> Iterator[Problem]:
    claims: dict[str, list[tuple[AppDocument, Path]]] = defaultdict(list)
    for document in documents:
        if document.name:
            claims[document.name].append((document, _NAME))
    return _contradictions(claims, lambda name: (f'"{name}"', "a name no other app has"))


def _same_routes(documents: Sequence[AppDocument]) -> Iterator[Problem]:
    claims: dict[tuple[str | None, str], list[tuple[AppDocument, Path]]] = defaultdict(list)
    for document in documents:
        for index, route in enumerate(document.app.routes if document.app else ()):
            claims[route.claim].append((document, _route_field(document, index)))
    for claim in [claim for claim, claimants in claims.items() if _follows_from_names(claimants)]:
        del claims[claim]
    return _contradictions(claims, lambda claim: (_route_text(*claim), "a host and path no other route has"))


def _follows_from_names(claimants: list[tuple[AppDocument, Path]]) -> bool:
    """Whether these are default routes of apps that share their name, which is told already."""
    return len({(document.name, field) for document, field in claimants}) == 1 and claimants[0][1] == _NAME


def _route_text(host: str | None, path: str) -> str:
    return f"path {path} on host {host}" if host else f"path {path} on any host"


def _route_field(document: AppDocument, index: int) -> Path:
    """The field that a route is claimed in: the route or, where it is the default one, the name it comes from."""
    explicit = document.app is not None and document.app.spec.routes is not None
    return ("spec", "routes", index) if explicit else _NAME


def _two_certificates(documents: Sequence[AppDocument]) -> Iterator[Problem]:
    """Hosts that are to show two certificates: each can show one only."""
    hosts: dict[str | None, dict[str, list[tuple[AppDocument, Path]]]] = defaultdict(lambda: defaultdict(list))
    for document in documents:
        for index, route in enumerate(document.app.routes if document.app else ()):
            if route.tls:
                field: Path = ("spec", "routes", index, "tls", "secret")
                hosts[route.host][route.tls.secret].append((document, field))
    for host, secrets in hosts.items():
        shared = {host: [claim for claims in secrets.values() for claim in claims]} if len(secrets) > 1 else {}
        yield from _contradictions(
            shared, lambda host: ("several secrets", f"one secret for all routes of {host or 'any host'}")
        )


def _contradictions(claims: _Claims[_Claim], words: Callable[[_Claim], tuple[str, str]]) -> Iterator[Problem]:
    """A problem for each of several claims to one thing, naming the others."""
    for claim, claimants in claims.items():
        for document, field in claimants if len(claimants) > 1 else ():
            found, expected = words(claim)
            others = [_location(other, at) for other, at in claimants if (other, at) != (document, field)]
            yield document.problem(field, f"{found}, as in {', '.join(others[:5])}", expected)


def _location(document: AppDocument, field: Path) -> str:
    return f"{document.path}:{document.yaml.line(field)}"


# ---- dependencies


def _unknown_names(documents: Sequence[AppDocument]) -> Iterator[Problem]:
    """Dependencies on apps that don't exist; none while a document keeps its name to itself."""
    if any(document.name is None for document in documents):
        return
    known = {document.name for document in documents}
    for document in documents:
        for index, name in enumerate(document.app.spec.depends_on if document.app else ()):
            if name not in known:
                yield document.problem(("spec", "dependsOn", index), f'"{name}"', "the name of an app in this source")


def _cycles(documents: Sequence[AppDocument]) -> Iterator[Problem]:
    by_name = {document.name: document for document in documents if document.app and document.name}
    needs = {name: document.app.spec.depends_on for name, document in by_name.items() if name and document.app}
    for name in sorted(needs):
        if way := _way_back(name, needs):
            index = needs[name].index(way[1])
            expected = "dependencies that lead nowhere back"
            yield by_name[name].problem(("spec", "dependsOn", index), " → ".join(way), expected)


def _way_back(start: str, needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest way from an app over its dependencies to itself; empty where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    visited: set[str] = set()
    for way in ways:
        for name in needs.get(way[-1], ()):
            if name == start:
                return (*way, name)
            if name not in visited:
                visited.add(name)
                ways.append((*way, name))
    return ()
