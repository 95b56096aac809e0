"""What the Engine's refusals mean: try again later, or not before something changes. Pure, one ordered table.

The Engine answers with a status and a sentence, and the status alone does not tell: a program that is not in the image
and a network hiccup in runc may both be a 400 or a 500. So the sentence is read first, and what nobody knows is
tried again, since giving up wrongly is worse than trying in vain. Messages keep the Engine's own words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.model.reasons import Reason
from reconciler.ports import ActionError, Rejected, TryLater


@dataclass(frozen=True, slots=True)
class _Rule:
    """A sentence of the Engine's, what it means for the action, and what people can do about it."""

    sentence: re.Pattern[str]
    kind: type[ActionError]
    reason: Reason
    remedy: str = ""


def _rule(sentence: str, kind: type[ActionError], reason: Reason, remedy: str = "") -> _Rule:
    return _Rule(re.compile(sentence, re.IGNORECASE), kind, reason, remedy)


_RULES = (
    _rule(r"marked for removal|removal of container .* in progress", TryLater, Reason.REMOVAL_IN_PROGRESS),
    _rule(r"name .* is already in use by container", TryLater, Reason.NAME_TAKEN),
    _rule(r"no space left on device|disk quota exceeded", TryLater, Reason.DISK_FULL, "make room on the host"),
    _rule(r"no such image", TryLater, Reason.IMAGE_MISSING),
    _rule(r"no such container", TryLater, Reason.CONTAINER_GONE),
    _rule(
        r"network .* not found|no such network(?! interface)", TryLater, Reason.NETWORK_MISSING, "it will be made anew"
    ),
    _rule(r"address already in use", TryLater, Reason.ADDRESS_TAKEN),
    _rule(
        r"does not belong to any of this network's subnets|no configured subnet or ip-range contain",
        TryLater,
        Reason.NETWORK_CHANGED,
    ),
    _rule(
        r"user specified ip address is supported",
        TryLater,
        Reason.NETWORK_UNFIT,
        "replicas need fixed addresses: remove that network (it will be made anew, with a subnet of its own), "
        "or have the controller use another",
    ),
    _rule(
        r"no available (ipv4 )?addresses|non-overlapping ipv4 address pool|fully subnetted",
        TryLater,
        Reason.NETWORK_UNFIT,
        "remove containers or networks that nobody needs, or give the Engine larger pools (`default-address-pools` in "
        "its daemon.json)",
    ),
    _rule(r"bind source path does not exist", TryLater, Reason.HOST_PATH_MISSING, "create it on the host"),
    _rule(
        r"exec: \"|exec format error|argument list too long|chdir to cwd|unable to find (user|group)|no such user",
        Rejected,
        Reason.START_REFUSED,
        "correct command, args or workingDir of the spec, or the image",
    ),
    _rule(
        r"log opt\b|log-opt\b",
        Rejected,
        Reason.CREATE_REFUSED,
        "the Engine's log driver takes no such bounds: leave `logging` out of the spec",
    ),
    _rule(r"mkdir.*is not a directory|is not directory|marked read-only", Rejected, Reason.CREATE_REFUSED),
    _rule(r"OCI runtime", TryLater, Reason.START_FAILED),
)


def explain(status: int | None, sentence: str, doing: str) -> ActionError:
    """The error that an Engine's answer is for whoever asked for an action; ``doing`` says in a few words for what."""
    message = f"{doing}: {sentence.strip() or f'the Engine answered {status} and nothing else'}"
    for rule in _RULES:
        if rule.sentence.search(sentence):
            return rule.kind(rule.reason, f"{message}; {rule.remedy}" if rule.remedy else message)
    if status == 400:
        return Rejected(Reason.CREATE_REFUSED, f"{message}; correct the spec")
    return TryLater(Reason.ENGINE_FAILED, message)
