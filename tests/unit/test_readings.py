"""Readings of a source beside the loop: who asks for one waits for nothing."""

from __future__ import annotations

import sys
import threading

from reconciler.model.desired import Desired
from reconciler.source.readings import Readings

PATIENCE_SECONDS = 20


def test_a_reading_may_be_asked_for_in_the_middle_of_asking_for_one() -> None:
    """As SIGHUP does. A lock held by the thread that is interrupted would never be let go."""
    readings = Readings(lambda: Desired("r1", {}), lambda: None, thread_name="readings", not_yet="not read yet")

    def interrupt(*_: object) -> None:
        sys.setprofile(None)
        readings.begin()
        sys.setprofile(interrupt)

    def ask() -> None:
        sys.setprofile(interrupt)
        readings.begin()
        sys.setprofile(None)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    assert not asking.is_alive()
    readings.close()
