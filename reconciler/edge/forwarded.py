"""The headers that tell an app who asked and how, on behalf of whom: ``Forwarded``, and those that begin X-Forwarded-.

Decides which of them an app gets. What is believed comes from trusted proxies alone; from anybody else a header of
these names is hearsay, and is removed: with Lua whatever is named so. Stock nginx can remove only what it is told by
name, so the names in use are listed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from reconciler.edge.settings import EdgeSettings

# What proxies and what stands behind them write, besides the four that nginx itself gives a value.
_HEARSAY = (
    "Forwarded",
    *(
        f"X-Forwarded-{name}"
        for name in (
            *("Host", "Server", "Scheme", "Protocol", "Ssl", "By", "Client-Ip", "Context", "Path", "Proxy"),
            *("Method", "Uri", "Url", "Request-Uri", "Original-Uri", "Query", "Request-Id"),
            *("Client-Cert", "Tls-Client-Cert", "Tls-Client-Cert-Info"),
            *("User", "Email", "Groups", "Preferred-Username", "Access-Token", "Id-Token", "Roles", "Name", "Login"),
        )
    ),
)


def hearsay() -> Mapping[str, str]:
    """The names of headers that are passed on as a trusted proxy wrote them, with nginx's word for each."""
    return {name: name.lower().replace("-", "_") for name in _HEARSAY}


def headers(settings: EdgeSettings, *, lua: bool) -> Mapping[str, str]:
    """The value of each header that the configuration sets; one that is empty is not sent. With ``lua`` hearsay is
    removed beforehand, and what a trusted proxy wrote stays as it is."""
    own = _own(settings) | ({} if lua else _by_hearsay(settings))
    if not settings.underscores_in_headers:
        return own
    # What many apps can't tell from them: their servers write a hyphen as an underscore.
    alike = (name for known in ("X-Real-IP", *own) for name in _with_underscores(known))
    return own | dict.fromkeys(alike, '""')


def _with_underscores(name: str) -> Iterator[str]:
    """The name with underscores in the place of some of its hyphens, or of all."""
    first, *others = name.split("-")
    for marks in product("-_", repeat=len(others)):
        if "_" in marks:
            yield first + "".join(map("".join, zip(marks, others, strict=True)))


def _own(settings: EdgeSettings) -> dict[str, str]:
    """The four that nginx itself gives a value."""
    if not settings.trusted_proxies:
        own = {"X-Forwarded-For": "$remote_addr", "X-Forwarded-Proto": "$scheme", "X-Forwarded-Port": '""'}
        return own | {"X-Forwarded-Prefix": "$orchestry_prefix"}
    own = {"X-Forwarded-For": "$orchestry_forwarded_for", "X-Forwarded-Proto": "$orchestry_scheme"}
    return own | {"X-Forwarded-Port": "$orchestry_client_port", "X-Forwarded-Prefix": "$orchestry_forwarded_prefix"}


def _by_hearsay(settings: EdgeSettings) -> dict[str, str]:
    if not settings.trusted_proxies:
        return dict.fromkeys(_HEARSAY, '""')
    return {name: f"$orchestry_{variable}" for name, variable in hearsay().items()}


def sender(settings: EdgeSettings) -> str:
    """nginx's word for the address that a request's headers come from: of whoever connected, or of whom the PROXY
    protocol names, since then what connects passes on what others write."""
    return "remote_addr" if settings.proxy_protocol else "realip_remote_addr"
