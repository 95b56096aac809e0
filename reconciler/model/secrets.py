"""What may be known of secrets: by reference a keyed digest of their value, which tells whether it is another by now.

A reference is ``database``, or ``database.password`` for a field. A digest begins with what names its key, so that
digests by different keys are never taken for a change. No value is ever here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from reconciler.model.spec import App, SecretVariable

# How much of a digest names its key.
KEY_NAME_LENGTH = 4


def secret_variables(app: App) -> tuple[SecretVariable, ...]:
    """The variables of an app that secrets are the values of."""
    return tuple(variable for variable in app.spec.environment if isinstance(variable, SecretVariable))


def reference_of(variable: SecretVariable) -> str:
    """The secret that a variable names, as people are told of it."""
    return f"{variable.key}.{variable.field}" if variable.field else variable.key


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets of which both know the digest, by the same key, and know another one."""
    return tuple(name for name in sorted(before.keys() & after.keys()) if _differ(before[name], after[name]))


def combined(digests: Mapping[str, str]) -> str:
    """One digest for all of these; "" where there are none."""
    if not digests:
        return ""
    text = json.dumps(dict(digests), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _differ(before: str, after: str) -> bool:
    return before != after and before[:KEY_NAME_LENGTH] == after[:KEY_NAME_LENGTH]
