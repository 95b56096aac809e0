"""How a container ends: its program is asked to, and what is left is removed. Nobody waits here for a program.

The stop signal goes by the Engine, which then knows that the container was stopped on purpose and starts it no more. It
is sent once for each run: the Engine remembers the signals it has sent, also those of a controller that was killed
before it could record that. Killing and removing are two calls, since a removal by force would be both in one.
"""

from __future__ import annotations

import re
import signal

from docker.errors import APIError, NotFound

from reconciler.model.reasons import Reason
from reconciler.runtime.client import BoundedClient
from reconciler.runtime.engine import sentence_of
from reconciler.runtime.failures import explain
from reconciler.runtime.translate import epoch_seconds

_DEFAULT_SIGNAL = "SIGTERM"
_REAL_TIME = re.compile(r"RT(MIN|MAX)(?:([+-]\d+))?")

# How long a removal that somebody else began may take before it is called a failure.
_REMOVAL_PATIENCE_SECONDS = 10


def ask_to_end(api: BoundedClient, container_id: str) -> None:
    """Send a container's program its stop signal, unless it was sent one since it was started or doesn't run. Raises
    docker's errors."""
    details = api.inspect_container(container_id)
    if not details["State"]["Running"]:  # true as well of one that is paused, or about to be restarted
        return
    stop_signal = details["Config"].get("StopSignal") or _DEFAULT_SIGNAL
    started_at = epoch_seconds(details["State"]["StartedAt"]) or 0.0
    if signal_number(stop_signal) in api.signals_sent(container_id, started_at):
        return
    _signal(api, container_id, stop_signal)


def remove_now(api: BoundedClient, container_id: str) -> None:
    """Remove a container with its anonymous volumes; what still runs of it is killed. Raises docker's errors."""
    try:
        _remove(api, container_id)
    except APIError as error:
        if error.status_code != 409 or _is_under_way(error):
            raise
        _signal(api, container_id, "SIGKILL")
        _remove(api, container_id)


def signal_number(name: str) -> int | None:
    """The number of a signal by any of the names that images give it: ``SIGTERM``, ``term``, ``15``, ``RTMIN+3``."""
    name = name.upper().removeprefix("SIG")
    if name.isdecimal():
        return int(name)
    if match := _REAL_TIME.fullmatch(name):
        return (signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX) + int(match[2] or 0)
    return getattr(signal.Signals, f"SIG{name}", None)


def _signal(api: BoundedClient, container_id: str, name: str) -> None:
    """Send a signal; who doesn't run needs none."""
    try:
        api.kill(container_id, name)
    except NotFound:
        raise
    except APIError as error:
        if error.status_code != 409:
            raise


def _remove(api: BoundedClient, container_id: str) -> None:
    try:
        api.remove_container(container_id, v=True)
    except APIError as error:
        if not _is_under_way(error):
            raise
        try:
            api.wait(container_id, condition="removed", timeout=_REMOVAL_PATIENCE_SECONDS)
        except NotFound:
            return
        except OSError:  # as the library's are
            raise error from None  # the Engine has answered: it is the removal that takes its time


def _is_under_way(refusal: APIError) -> bool:
    """Whether a removal was refused since somebody else has begun it."""
    return explain(refusal.status_code, sentence_of(refusal), "").reason == Reason.REMOVAL_IN_PROGRESS
