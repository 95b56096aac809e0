"""The end of a certificate: warned of in time, told once each, and wrong once it has passed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.certificates import ServedCertificate, Standing
from tests.support.apps import desired, version
from tests.support.stage import Stage

DAY = 86_400.0
NOW = 1_800_000_000.0
ROUTES: list[dict[str, Any]] = [
    {"host": "shop.example.com", "path": "/", "tls": {"secret": "shop"}},
    {"host": "www.example.com", "path": "/", "tls": {"secret": "shop"}},
    {"path": "/plain"},
]


def certificate(left_days: float, lifetime_days: float = 90, secret: str = "shop") -> ServedCertificate:
    not_after = NOW + left_days * DAY
    return ServedCertificate(secret, not_after - lifetime_days * DAY, not_after)


@pytest.mark.parametrize(
    ("lifetime_days", "left_days", "standing"),
    [
        (365, 22, "valid"),
        (365, 21, "expiring"),
        (90, 22, "valid"),
        (90, 21, "expiring"),
        (30, 11, "valid"),
        (30, 10, "expiring"),
        (6, 2.5, "valid"),
        (6, 2, "expiring"),
        (90, 0.001, "expiring"),
        (90, 0, "expired"),
        (90, -400, "expired"),
    ],
)
def test_a_certificate_expires_soon_when_21_days_or_a_third_of_its_lifetime_are_left(
    lifetime_days: float, left_days: float, standing: Standing
) -> None:
    assert certificate(left_days, lifetime_days).standing_at(NOW) == standing


def served(*certificates: ServedCertificate) -> Stage:
    """A shop with TLS that is converged, beside an app without."""
    stage = Stage(desired(version("shop", routes=ROUTES), version("web")), now=NOW, certificates=certificates)
    stage.settle()
    return stage


def told(stage: Stage) -> list[str]:
    return [event.message for event in stage.events if "certificate" in event.message]


def test_a_certificate_that_is_valid_for_long_is_shown_and_not_talked_about() -> None:
    stage = served(certificate(60))
    (shown,) = stage.statuses["shop"].certificates
    assert (shown.secret, shown.hosts, shown.standing) == ("shop", ("shop.example.com", "www.example.com"), "valid")
    assert (shown.not_before, shown.not_after) == (NOW - 30 * DAY, NOW + 60 * DAY)
    assert stage.statuses["web"].certificates == ()
    assert (told(stage), stage.notices, stage.statuses["shop"].warnings) == ([], (), ())


def test_a_certificate_that_expires_soon_is_warned_of_and_changes_nothing() -> None:
    stage = served(certificate(10))
    assert stage.statuses["shop"].converged
    assert stage.statuses["shop"].warnings == ("certificate shop expires on 2027-01-25 08:00 UTC",)
    assert stage.notices == ("certificate shop of shop expires on 2027-01-25 08:00 UTC",)
    assert stage.statuses["web"].warnings == ()


def test_the_end_of_a_certificate_is_told_once_as_it_nears_once_when_it_passed_and_when_it_was_replaced() -> None:
    stage = served(certificate(30))
    stage.run_for(60)
    assert told(stage) == []
    stage.now = NOW + 9 * DAY + 60
    stage.run_for(60)
    assert told(stage) == ["certificate shop expires on 2027-02-14 08:00 UTC"]
    stage.now = NOW + 30 * DAY
    stage.run_for(60)
    assert told(stage)[1:] == ["certificate shop expired on 2027-02-14 08:00 UTC"]
    stage.certificates = (certificate(120),)
    stage.run_for(60)
    assert told(stage)[2:] == ["certificate shop was replaced by one that expires on 2027-05-15 08:00 UTC"]
    assert {event.app_name for event in stage.events if "certificate" in event.message} == {"shop"}


def test_a_certificate_that_has_expired_is_wrong_with_the_apps_it_serves_alone() -> None:
    stage = served()
    stage.certificates = (certificate(-3),)
    stage.tick()
    degraded = stage.statuses["shop"].conditions[2]
    assert (degraded.status, degraded.reason) == (True, "CertificateExpired")
    assert degraded.message == "certificate shop expired on 2027-01-12 08:00 UTC: clients refuse it"
    assert stage.statuses["shop"].error == degraded.message
    assert stage.statuses["web"].converged
    assert stage.notices == ()
    stage.certificates = (certificate(60),)
    stage.settle()


def test_a_certificate_expires_while_nginx_can_not_be_reached() -> None:
    stage = served(certificate(1, 2))
    stage.down = True
    stage.now = NOW + 2 * DAY
    stage.tick()
    assert stage.statuses["shop"].conditions[2].reason == "CertificateExpired"


def test_a_certificate_that_was_replaced_by_one_that_expires_soon_as_well_is_told_of_anew() -> None:
    stage = served(certificate(10))
    stage.certificates = (certificate(12),)
    stage.tick()
    assert told(stage)[1:] == [
        "certificate shop was replaced by one that expires on 2027-01-27 08:00 UTC",
        "certificate shop expires on 2027-01-27 08:00 UTC",
    ]


def test_a_certificate_is_followed_without_a_publication_of_routes_anew() -> None:
    stage = served(certificate(30))
    published = stage.state.published
    stage.now = NOW + 15 * DAY
    stage.tick()
    expiring = replace(published.certificates[0], standing="expiring")
    assert stage.state.published == replace(published, certificates=(expiring,))


def test_each_app_that_a_certificate_serves_is_told_of_its_end() -> None:
    other = version("blog", routes=[{"host": "shop.example.com", "path": "/blog", "tls": {"secret": "shop"}}])
    stage = Stage(desired(version("shop", routes=ROUTES), other), now=NOW)
    stage.settle()
    stage.certificates = (certificate(3),)
    stage.tick()
    assert stage.notices == ("certificate shop of blog, shop expires on 2027-01-18 08:00 UTC",)
    assert [(event.app_name, event.message) for event in stage.events if "certificate" in event.message] == [
        (name, "certificate shop expires on 2027-01-18 08:00 UTC") for name in ("blog", "shop")
    ]
