"""What a PostgreSQL role may not do, told with the statement that would let it.

The server says what it refused, but neither to whom nor what would help. Where its words are of another language, or of
a kind that isn't known here, they stand as they are beside a statement that helps in most cases.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_INSUFFICIENT_PRIVILEGE = "42501"
# A refused connection has no code.
_DENIED = re.compile(
    r'permission denied for (?P<kind>table|view|sequence|schema|database|relation) "?(?P<name>[^"\n]+)'
)
_OWNED = re.compile(r'must be (?:the )?owner of (?:table|relation|sequence|index) "?(?P<name>[^"\n]+)')
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_TO_READ = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
_TO_WRITE = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; "
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}"
)


class User(NamedTuple):
    """Who asks: the role that a URL names, "" where it names none; and whether to write, or only to read."""

    role: str
    writes: bool


def missing_right(cause: BaseException, user: User) -> str | None:
    """Which right was missing, and what would grant it; None where the cause is another. Quotes nothing of values."""
    said = str(cause).partition("\n")[0].strip()
    owned, denied = _OWNED.search(said), _DENIED.search(said)
    if not (owned or denied or getattr(cause, "pgcode", None) == _INSUFFICIENT_PRIVILEGE):
        return None
    who = f"the role {user.role}" if user.role else "the role that connects"
    role = _quoted(user.role) if user.role else "it"
    if owned:
        return f"{who} may not change {owned['name']}, which another role owns; GRANT that role TO {role}"
    grant = (_TO_WRITE if user.writes else _TO_READ).format(role=role)
    if not denied:
        return f"{who} lacks a right ({said}); {grant}"
    kind, name = denied["kind"], denied["name"]
    if kind == "database":
        return f"{who} may not connect to database {name}; GRANT CONNECT ON DATABASE {_quoted(name)} TO {role}"
    if kind == "schema":
        rights = "USAGE, CREATE" if user.writes else "USAGE"
        grant = f"GRANT {rights} ON SCHEMA {_quoted(name)} TO {role}"
    return f"{who} may not {_verb(cause)} {'in' if kind == 'schema' else 'on'} {kind} {name}; {grant}"


def no_schema(user: User) -> str:
    """What is said where tables may be there, but no schema may be looked into."""
    role = _quoted(user.role) if user.role else "it"
    return f"the role {user.role} may not look into any schema; GRANT USAGE ON SCHEMA public TO {role}"


def _verb(cause: BaseException) -> str:
    """What was tried, by the first word of the statement."""
    query = getattr(getattr(cause, "cursor", None), "query", None) or b""
    words = query.split(maxsplit=1)
    return words[0].decode("ascii", "replace").upper() if words else "act"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return name if _PLAIN_NAME.fullmatch(name) else f'"{escaped}"'
