"""Model values as JSON text, and back, exactly.

One codec per type, built when first used. Bytes become base64. A text that another version of the program wrote may not
fit this one's types: that is `Unreadable`, a value's own trouble, which must never take the other values with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from reconciler.model.app_state import AppState
from reconciler.model.desired import Problem
from reconciler.model.recorded import Followed
from reconciler.model.replica_state import ReplicaState
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import Published
from reconciler.model.status import AppStatus, ReplicaStatus

T = TypeVar("T")

_EXACT = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


class Unreadable(Exception):
    """A stored text does not fit the type it was stored for; the message names the first field that doesn't."""


class Codec(Generic[T]):
    """JSON text of values of one type.

    It asks pydantic's serializer and validator themselves: what the adapter puts before them costs more than a small
    value does.
    """

    def __init__(self, type_: Any) -> None:
        self._type = type_

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        # A dataclass refuses a configuration from outside, a union hands it on to its members.
        return TypeAdapter(self._type | None, config=_EXACT)

    def encode(self, value: T) -> str:
        # A spec is kept as it was written: spelt out, a default may be an option that the app must not have.
        return self._adapter.serializer.to_json(value, exclude_unset=True).decode()

    def decode(self, text: str) -> T:
        """Raises Unreadable."""
        try:
            value: T = self._adapter.validator.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise Unreadable(f"{place or 'value'}: {first['msg']}") from error
        return value


APP_STATE: Codec[AppState] = Codec(AppState)
REPLICA_STATE: Codec[ReplicaState] = Codec(ReplicaState)
PUBLISHED: Codec[Published] = Codec(Published)
APP_STATUS: Codec[AppStatus] = Codec(AppStatus)
REPLICA_STATUS: Codec[ReplicaStatus] = Codec(ReplicaStatus)
DECISION: Codec[ScalingDecision] = Codec(ScalingDecision)
FOLLOWED: Codec[Followed] = Codec(Followed)
PROBLEMS: Codec[tuple[Problem, ...]] = Codec(tuple[Problem, ...])
