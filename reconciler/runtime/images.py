"""The images on the host, listed once and kept until something happens to one of them.

What a name means can change at any time; whoever follows the Engine's events hears of it. Without them every question
asks the Engine.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from reconciler.model.image import Image
from reconciler.runtime.client import BoundedClient


class HostImages:
    """The images there are, by each of their names and by their ids."""

    def __init__(self) -> None:
        self._is_followed = False
        self._lock = threading.Lock()
        self._known: Mapping[str, Image] | None = None
        self._changes = 0

    def forget(self) -> None:
        """Something happened to an image: ask again. May be called from any thread."""
        with self._lock:
            self._known, self._changes = None, self._changes + 1

    def follow(self, is_followed: bool) -> None:
        """From here on `forget` is called, or isn't any more, for whatever happens to an image."""
        self.forget()
        self._is_followed = is_followed

    def known(self, api: BoundedClient) -> Mapping[str, Image]:
        """The images there are. Raises docker's errors."""
        with self._lock:
            known, changes = self._known, self._changes
        if known is None:
            known = api.image_list()
            with self._lock:
                if self._is_followed and changes == self._changes:
                    self._known = known
        return known
