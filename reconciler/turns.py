"""Turns: which of the actions that were submitted is begun next. A rule, and no choice.

Actions of a kind share so many places: those that change containers, removals, and pulls by registry, so that one which
hangs holds up its own images alone. A place that is free goes to an app that has lost replicas before any other, then
to the one that holds the fewest, then to who waits the longest; and no app takes the last place of a kind, so that the
slowness of one leaves room for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from reconciler.model.actions import Action, EnsureImage, RemoveReplica
from reconciler.model.image import registry_of

# The Engine itself downloads so many layers at a time.
PULLS_PER_REGISTRY = 3


@dataclass
class Turns:
    """Actions that wait for a place or have one, by key. ``places`` is how many there are for each kind but pulls,
    which have ``pulls`` for each registry; ``urgent`` names the apps that have lost replicas."""

    places: int
    pulls: int = PULLS_PER_REGISTRY
    urgent: Collection[str] = ()
    _waiting: dict[str, Action] = field(default_factory=dict)
    _begun: dict[str, Action] = field(default_factory=dict)

    def add(self, action: Action) -> None:
        """It waits from now on."""
        self._waiting[action.key] = action

    def next(self) -> Action | None:
        """The one that begins now; None where nobody may."""
        kinds, places = Counter(map(_kind, self._begun.values())), Counter(map(_place, self._begun.values()))
        action = next((action for action in self._in_turn() if self._may_begin(action, kinds, places)), None)
        if action is not None:
            self._begun[action.key] = self._waiting.pop(action.key)
        return action

    def ended(self, action: Action) -> None:
        """Its place is free again, unless the next action of this key has begun meanwhile."""
        if self._begun.get(action.key) is action:
            del self._begun[action.key]

    def close(self) -> None:
        """Nothing more begins."""
        self._waiting.clear()

    @property
    def in_flight(self) -> tuple[Action, ...]:
        """Those that have begun, and those that wait."""
        return (*self._begun.values(), *self._waiting.values())

    def queue(self) -> dict[str, int]:
        """How many others come before each one that waits: those of its kind that have begun are counted."""
        before = Counter(map(_kind, self._begun.values()))
        behind: dict[str, int] = {}
        for action in self._in_turn():
            behind[action.key] = before[_kind(action)]
            before[_kind(action)] += 1
        return behind

    def _in_turn(self) -> list[Action]:
        """Those that wait, in the order of their turns."""
        places = Counter(map(_place, self._begun.values()))
        ranks: dict[str, tuple[bool, int]] = {}
        for key, action in self._waiting.items():
            ranks[key] = action.app_name not in self.urgent, places[_place(action)]
            places[_place(action)] += 1
        return sorted(self._waiting.values(), key=lambda action: ranks[action.key])

    def _may_begin(self, action: Action, kinds: Mapping[str, int], own: Mapping[tuple[str, str], int]) -> bool:
        """Whether there is a place for it beside those that have begun, counted by kind and by app."""
        places = self.pulls if isinstance(action, EnsureImage) else self.places
        return kinds[_kind(action)] < places and own[_place(action)] < max(1, places - 1)


def _kind(action: Action) -> str:
    match action:
        case EnsureImage():
            return f"pull from {registry_of(action.version.app.spec.image)}"
        case RemoveReplica():
            return "removal"
        case _:
            return "change"


def _place(action: Action) -> tuple[str, str]:
    """What places are counted by for an app."""
    return _kind(action), action.app_name
