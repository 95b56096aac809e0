"""What is doubtful about valid specs: policies that must flap, programs that write to one directory together.

`validate` warns of it. Nothing here is refused, since only people know what a program was made for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from reconciler.decide.composition import resolved
from reconciler.decide.scaling import lint
from reconciler.decide.scaling.writers import sole_count
from reconciler.decide.words import naming_volumes
from reconciler.model.spec import App


def warnings(apps: Sequence[App]) -> Mapping[str, Sequence[str]]:
    """What the authors of these apps should know, by the app's name."""
    told: defaultdict[str, list[str]] = defaultdict(list)
    for app in apps:
        if sole_count(app.scaling, app.written) is None:
            told[app.name] += lint.warnings(app.scaling, app.spec.type)
        told[app.name] += _writers(app) if app.written else ()
    for one, other in combinations([app for app in apps if app.written], 2):
        for name, message in _shared(one, other):
            told[name].append(message)
    return told


def _writers(app: App) -> Iterator[str]:
    """Warnings of replicas of one app that write to a volume together."""
    volumes, most = naming_volumes(app.written), _most(app)
    surge = resolved(app.max_surge, most, round_up=True)
    if most > 1:
        yield (
            f"up to {most} replicas write to {volumes} together; unless its program is made for that, "
            "`scaling: {mode: manual, replicas: 1}` would be right"
        )
    if surge and most:
        yield (
            f"a new replica starts before the old one has ended, since strategy.maxSurge is {app.max_surge}, and both "
            f"write to {volumes}; without maxSurge the old one ends first"
        )
    if app.spec.strategy.canary and most + surge > 1:
        yield f"both versions write to {volumes} while strategy.canary compares them"
    elif app.spec.strategy.canary:
        yield f"strategy.canary is passed over: the one replica that writes to {volumes} leaves no room for another"


def _most(app: App) -> int:
    """How many replicas of the app there may be, but for those of a rollout."""
    scaling = app.scaling
    if scaling.paused_at is not None:
        return scaling.paused_at
    if scaling.mode == "manual":
        return scaling.manual_replicas
    sole = sole_count(scaling, app.written)
    most = max((bounds.max_replicas for bounds in scaling.schedule), default=scaling.max_replicas)
    return most if sole is None else sole


def _shared(one: App, other: App) -> Iterator[tuple[str, str]]:
    """Warnings of a directory that two apps write to, each for one of them."""
    pairs = ((mine, theirs) for mine in one.written for theirs in other.written if mine.overlaps(theirs))
    for mine, theirs in pairs:
        yield one.name, _also_written(naming_volumes([mine]), other.name, naming_volumes([theirs]))
        yield other.name, _also_written(naming_volumes([theirs]), one.name, naming_volumes([mine]))


def _also_written(mine: str, other_name: str, theirs: str) -> str:
    if mine == theirs:
        return f"app {other_name} writes to {theirs} as well"
    return f"app {other_name} writes to {theirs} and this one to {mine}, of which one lies inside the other"
