"""Who changed an app, when and how, in one line for people."""

from __future__ import annotations

from reconciler.model.version import short
from reconciler.report import contract
from reconciler.report.times import age


def told(change: contract.Change) -> str:
    """The commit that changed an app last: ``changed by Jane Doe 2 h ago in 1f2e3d4c5b6a: Scale web to 3``."""
    what = "file last changed" if change.of_file else "changed"
    subject = f": {change.subject}" if change.subject else ""
    return f"{what} by {change.author or 'nobody'} {age(change.age_seconds)} ago in {short(change.commit)}{subject}"
