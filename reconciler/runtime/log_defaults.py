"""The bounds of a replica's log: what its spec says, else what the Engine does by itself, else the version's defaults.

What the Engine does by itself it tells only of a container that was made without options. So one is created for that
purpose and removed again, once for as long as the Engine is known to be the same. Must never give a log driver an
option that the spec doesn't ask for, unless it is one of those that keep files without any bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from reconciler.model.defaults import LogBounds
from reconciler.model.spec import Logging
from reconciler.model.version import Version

_MAX_SIZE, _MAX_FILE = "max-size", "max-file"
_KEEP_FILES = ("json-file", "local")

LogConfig = dict[str, Any]


class LogDefaults:
    """What the Engine does with logs by itself, as far as it is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: LogConfig | None = None

    def forget(self) -> None:
        """The Engine may be another by now, or may have been started with other settings. Called from any thread."""
        self._known = None

    def config_of(self, version: Version, show: Callable[[], LogConfig]) -> LogConfig:
        """The ``LogConfig`` to create a replica with, empty for none. ``show`` tells that of a container which was made
        without; whatever it raises is passed on."""
        given, default = _given(version.app.spec.logging), version.container_defaults.log
        if default is None or given.keys() == {_MAX_SIZE, _MAX_FILE}:
            return {"Type": "", "Config": given} if given else {}
        by_itself = self._by_itself(show)
        if not _grows_for_ever(by_itself):
            return {"Type": "", "Config": given} if given else {}
        # By its name, so that it is never refused, should the Engine have another by now.
        return {"Type": by_itself["Type"], "Config": _options(default) | given}

    def _by_itself(self, show: Callable[[], LogConfig]) -> LogConfig:
        with self._lock:
            if (known := self._known) is None:
                known = self._known = show()
            return known


def _given(logging: Logging | None) -> dict[str, str]:
    if logging is None:
        return {}
    values = {_MAX_SIZE: logging.max_bytes, _MAX_FILE: logging.max_files}
    return {option: str(value) for option, value in values.items() if value is not None}


def _options(bounds: LogBounds) -> dict[str, str]:
    return {_MAX_SIZE: bounds.max_size, _MAX_FILE: str(bounds.max_files)}


def _grows_for_ever(config: LogConfig) -> bool:
    options = config.get("Config") or {}
    return config.get("Type") in _KEEP_FILES and not options.keys() & {_MAX_SIZE, _MAX_FILE}
