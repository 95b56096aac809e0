"""`orchestry settings`: what is in force, and where each setting was given. No credential is shown."""

from __future__ import annotations

import json
from typing import Any

from reconciler.report.documents import OUTPUTS, document
from reconciler.report.tables import table
from reconciler.settings import DECLARED, HostPath, Loaded, Settings, default_of, masked_url


def settings(loaded: Loaded, output: str) -> str:
    """The settings in force, as ``text``, ``json`` or ``yaml``."""
    values = {name: _in_force(loaded.settings, name) for name in DECLARED}
    if output in OUTPUTS:
        origins = {name: {"from": origin.kind, "where": origin.name} for name, origin in loaded.origins.items()}
        shown = {name: {"value": values[name], **origins[name]} for name in values}
        return document(shown, output, default=_as_written)
    rows = [(name, _cell(name, value), " ".join(filter(None, loaded.origins[name]))) for name, value in values.items()]
    return table(("SETTING", "VALUE", "FROM"), rows, has_message=False)


def _in_force(settings: Settings, name: str) -> Any:
    computed: dict[str, Any] = {"network": settings.network_name, "secrets_dir": settings.secrets}
    value = computed.get(name, getattr(settings, name))
    return masked_url(value) if value and DECLARED[name]["credential"] else value


def _cell(name: str, value: Any) -> str:
    if value in (None, "", ()):
        return default_of(name)
    return json.dumps(value, default=_as_written) if isinstance(value, bool | tuple) else str(value)


def _as_written(value: Any) -> Any:
    """A value as it stands in the settings file."""
    return {"path": value.path, "readOnly": value.read_only} if isinstance(value, HostPath) else str(value)
