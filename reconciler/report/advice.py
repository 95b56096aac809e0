"""What people can do about what is wrong with an app: a sentence for each cause, pure.

It reads what the status tells, and tells no more than that; nothing follows from it. Causes whose message says already
what would be right (a spec with a mistake, a refused volume) need no advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.report import contract

_ASKED = r"(?:[A-Z]+ \S+|tcp \S+): "
# What the last failed answer of a check says, and what that suggests.
_ANSWERS = (
    (
        re.compile(rf"^{_ASKED}connection refused"),
        "nothing listens where the check asks: compare containerPort, and a port of the check, with what the program "
        "listens on, which must not be 127.0.0.1 alone",
    ),
    (
        re.compile(rf"^{_ASKED}answered \d+"),
        "compare path and expectedStatusCodes of the check with what the program answers there",
    ),
    (
        re.compile(rf"^{_ASKED}no answer within"),
        "it hangs or is slow: see `orchestry logs {name}`; if it is only slow, give the check more timeoutSeconds",
    ),
)
_OF_REASONS = {
    "CrashLoopBackOff": "see what it wrote last, `orchestry logs {name} --previous`; a changed spec is tried at once",
    "CertificateExpired": "put a renewed certificate in its place, which nginx takes by itself",
    "EngineUnreachable": "see that the Docker Engine runs and answers: `docker info`",
    "AbsentFromSource": "bring its spec back, or confirm the deletion as the notice says",
}
_MEMORY = "give it more with spec.resources.memory, or see why it needs so much"
_FAILED = "correct the spec and commit, or revert; until then the version before goes on"
_ERRORS = "see `orchestry logs {name}`, and since when with `orchestry history {name}`"


def advice_on(app: contract.App) -> tuple[str, ...]:
    """What may be done, the most urgent first, each once; empty for an app with which nothing is wrong."""
    return tuple(dict.fromkeys(text.format(name=app.name) for text in _advice(app)))


def _advice(app: contract.App) -> Iterator[str]:
    if any(replica.out_of_memory for replica in app.instances):
        yield _MEMORY
    degraded = next((c for c in app.conditions if c.type == "Degraded" and c.status), None)
    if app.failed_version:
        yield from _on_answer(app.failed_version.answer)
        yield _FAILED
    elif degraded and degraded.reason in _OF_REASONS:
        yield _OF_REASONS[degraded.reason]
    for replica in app.instances:
        if replica.state == "down" and not replica.backoff:
            yield from _on_answer(replica.health_check.detail)
            yield from _on_answer(replica.readiness_check.detail if replica.readiness_check else "")
    if app.traffic and app.traffic.errors and app.warnings:
        yield _ERRORS


def _on_answer(answer: str) -> Iterator[str]:
    yield from (advice for pattern, advice in _ANSWERS if pattern.search(answer))
