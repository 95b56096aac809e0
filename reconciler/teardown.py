"""`orchestry teardown`: what of an instance is removed, told beforehand and done.

Decides the order: its apps are forgotten before anything is removed, and nginx ends before its replicas do. It never
touches what isn't labelled the instance's, and keeps volumes and the record of what happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

from reconciler.edge import edge_container_name
from reconciler.loop import Waker
from reconciler.model.events import Event
from reconciler.model.state import State
from reconciler.ports import Fence, Record, Store, Unavailable, no_fence
from reconciler.pulse import sign_of_end
from reconciler.settings import Settings
from reconciler.store import open_store
from reconciler.wiring import SystemClock, lock_instance, open_nginx, open_runtime, places_of_life

# What a teardown does to nginx, to be done and done.
_NGINX_ENDS = {
    "process": ("stop nginx", "stopped nginx"),
    "container": ("stop nginx", "stopped nginx"),
    "external": ("take the routes out of nginx", "took the routes out of nginx"),
}


def tear_down(settings: Settings) -> Iterator[str]:
    """Remove what is labelled this instance's, and stop its nginx; yield a line for each. First of all its apps are
    forgotten, so that nothing is made anew before the source asks for it.

    Raises AlreadyRunning while its controller runs, which would make everything anew, and Unavailable without the
    Engine or the database; nothing was touched then. An nginx that can't be told is no reason to leave the rest: it
    raises Unavailable at the end.
    """
    with ExitStack() as opened:
        store = _open_record(settings)
        fence = store.fence if store else no_fence
        if store:
            opened.callback(store.close)
        runtime = open_runtime(settings, Waker(), fence)
        opened.callback(runtime.close)
        opened.callback(lock_instance(settings, runtime).release)
        if store:
            _forget_apps(store)
        trouble = _end_nginx(settings, fence)
        if not trouble and settings.edge in _NGINX_ENDS:
            yield _NGINX_ENDS[settings.edge][1]
        removed = runtime.remove_all()
        if store:
            _tell_of_removal(settings, store)
    yield from (f"removed container {name}" for name in removed.containers)
    yield from (f"removed network {name}" for name in removed.networks)
    yield from (f"kept network {name}: other containers use it" for name in removed.kept_networks)
    yield from (f"kept volume {name}: remove it with `docker volume rm {name}`" for name in removed.kept_volumes)
    if trouble:
        raise Unavailable(
            f"{trouble}; all else is done. Say teardown again once that is mended, or take the routes out yourself"
        )


def _end_nginx(settings: Settings, fence: Fence) -> str:
    """End nginx; what kept us from it, "" where nothing did."""
    try:
        open_nginx(settings, fence=fence).shut_down()
    except (Unavailable, OSError) as error:
        return f"could not {_NGINX_ENDS[settings.edge][0]} ({settings.edge}): {error}"
    return ""


def removals(settings: Settings) -> Iterator[str]:
    """What `tear_down` would do, a line for each; touches nothing. Raises Unavailable without the Engine."""
    with closing(open_runtime(settings, Waker())) as runtime:
        found = runtime.removable()
    yield from (f"would remove container {name}" for name in found.containers)
    if settings.edge in _NGINX_ENDS:
        yield f"would {_NGINX_ENDS[settings.edge][0]} ({settings.edge})"
    own = edge_container_name(settings.instance) if settings.edge == "container" else ""
    for name, users in found.networks.items():
        others = ", ".join(user for user in users if user != own)
        yield f"would keep network {name}: used by {others}" if others else f"would remove network {name}"
    yield from (f"would keep volume {name}" for name in found.volumes)


def _open_record(settings: Settings) -> Store | None:
    """The record of the instance, yet to be loaded; None where there was never any."""
    if not (settings.database or settings.directory.exists()):
        return None
    return open_store(settings.database, state_dir=settings.directory, instance=settings.instance, prepared=False)


def _forget_apps(store: Store) -> None:
    """Keep of the record what happened, and nothing that a controller could go on from."""
    last, now = store.load(), SystemClock().now()
    if last.apps:
        event = Event(now, "controller", "torn down; nothing is made anew before the source asks for it")
        state = State(last_address=last.last_address, as_of=now)
        store.save(Record(now, state, statuses={}, events=(event,), notices=()))


def _tell_of_removal(settings: Settings, store: Store) -> None:
    """Leave a last sign of life which says that nothing is left."""
    sign = sign_of_end(SystemClock().now(), "removed")
    for write in places_of_life(settings, store).values():
        with suppress(OSError, Unavailable):
            write(sign)
