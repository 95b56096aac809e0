"""How close the end of each certificate is that the edge serves, and what is told of that, once each.

That one expires is told when the warning begins, when it has expired, and when it was renewed. It goes by what is
served, also while nginx can't be reached: a certificate that nobody can replace expires all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.decide.words import expiry_words
from reconciler.model.certificates import ServedCertificate
from reconciler.model.events import Event
from reconciler.model.routes import AppRoutes, Publication
from reconciler.model.state import Published


def followed(published: Published, publication: Publication | None, now: float) -> tuple[Published, tuple[Event, ...]]:
    """What is published, with its certificates of now; None: the edge could not answer."""
    served = publication.certificates if publication else published.certificates
    after = tuple(replace(certificate, standing=certificate.standing_at(now)) for certificate in served)
    if after == published.certificates:
        return published, ()
    before, users = {certificate.secret: certificate for certificate in published.certificates}, _users(published)
    events = (
        Event(now, "routes", message, app_name)
        for certificate in after
        for message in _news(before.get(certificate.secret), certificate)
        for app_name in users.get(certificate.secret, ())
    )
    return replace(published, certificates=after), tuple(events)


def served_with(part: AppRoutes | None, by_secret: Mapping[str, ServedCertificate]) -> tuple[ServedCertificate, ...]:
    """The certificates of an app's part of the route table, each once."""
    secrets = dict.fromkeys(route.tls.secret for route in part.routes if route.tls) if part else ()
    return tuple(by_secret[secret] for secret in secrets if secret in by_secret)


def notices(published: Published) -> tuple[str, ...]:
    """The certificates that expire soon; one that has expired is what is wrong with its apps."""
    expiring = [certificate for certificate in published.certificates if certificate.standing == "expiring"]
    users = _users(published) if expiring else {}
    return tuple(
        f"certificate {each.secret} of {', '.join(users[each.secret])} {expiry_words(each)}"
        for each in expiring
        if each.secret in users
    )


def _users(published: Published) -> dict[str, list[str]]:
    """The apps that are served with each secret's certificate."""
    users: dict[str, list[str]] = {}
    for part in published.table.apps:
        for secret in dict.fromkeys(route.tls.secret for route in part.routes if route.tls):
            users.setdefault(secret, []).append(part.app_name)
    return users


def _news(before: ServedCertificate | None, after: ServedCertificate) -> Iterator[str]:
    is_another = before is not None and before.not_after != after.not_after
    if is_another:
        yield f"certificate {after.secret} was replaced by one that {expiry_words(after)}"
    if after.standing != "valid" and (before is None or is_another or before.standing != after.standing):
        yield f"certificate {after.secret} {expiry_words(after)}"
