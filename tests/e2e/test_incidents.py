"""Of what wakes people at night, cause and remedy can be read within moments.

Those of a full disk and of an Engine that hangs are with the other outages. ``tests/long/incidents.py`` looks again two
minutes later.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support import incidents
from tests.support.site import Site
from tests.support.waiting import eventually

pytestmark = [pytest.mark.engine, pytest.mark.nginx]

# Fifteen seconds are what people are promised; the rest is for a loaded machine, on which a look takes seconds.
PATIENCE_SECONDS = 60.0


def assert_read(site: Site, *names: str, within_seconds: float = PATIENCE_SECONDS) -> None:
    """Assert that in the end everything that has to be readable of these incidents is, while they go on."""
    missing = {name: ["not looked at yet"] for name in names}

    def all_read() -> bool:
        for name in list(missing):
            missing[name] = incidents.unread(site, name, "15 s")
            if not missing[name]:
                del missing[name]
        return not missing

    try:
        with incidents.going_on(site):
            eventually(all_read, within_seconds=within_seconds, every_seconds=0.5)
    except AssertionError:
        raise AssertionError("\n\n".join(text for texts in missing.values() for text in texts)) from None


def test_cause_and_remedy_of_an_incident_can_be_read_within_moments(site: Site) -> None:
    incidents.begin(site)
    assert_read(site, *incidents.INCIDENTS)
    site.stop(signal.SIGKILL)
    eventually(lambda: not incidents.unread(site, "dead", "15 s"), within_seconds=PATIENCE_SECONDS)


def test_every_incident_has_a_golden_text(tmp_path: Path) -> None:
    there = {path.stem for path in (incidents.GOLDEN / "incidents").iterdir()}
    assert there == {*incidents.INCIDENTS, "dead"}
