"""Incidents that go on for two minutes: what people read of them then.

``.venv/bin/python -m pytest tests/long/incidents.py``. What they read after moments, ``tests/e2e`` tells.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import incidents
from tests.support.site import site

MINUTES = 2


@pytest.mark.timeout(0)
def test_cause_and_remedy_of_an_incident_can_still_be_read_two_minutes_later(tmp_path: Path) -> None:
    with site(tmp_path) as here:
        incidents.begin(here)
        with incidents.going_on(here):
            time.sleep(60 * MINUTES)
            missing = [text for name in incidents.INCIDENTS for text in incidents.unread(here, name, f"{MINUTES} min")]
    assert not missing, "\n\n".join(missing)
