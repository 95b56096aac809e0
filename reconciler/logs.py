"""How the controller's log lines are written: one line a fact, for people or as JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

log = logging.getLogger("orchestry")

_FIELDS = ("type", "app", "details")


class TextFormatter(logging.Formatter):
    """Formats a line for people: ``2026-01-31T12:00:00Z INFO action app=web create web-1 at …: first deploy``"""

    def format(self, record: logging.LogRecord) -> str:
        app = getattr(record, "app", None)
        parts = [_time(record), record.levelname, getattr(record, "type", "controller")]
        parts += [f"app={app}"] if app else []
        return " ".join((*parts, _one_line(record.getMessage())))


class JsonFormatter(logging.Formatter):
    """Formats a line as one JSON object: time, level, message, and type, app and details where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _time(record), "level": record.levelname, "message": record.getMessage()}
        fields |= {name: value for name in _FIELDS if (value := getattr(record, name, None))}
        return json.dumps(fields, ensure_ascii=False)


def set_up(log_format: Literal["text", "json"]) -> None:
    """Send the program's log to standard error in this format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if log_format == "text" else JsonFormatter())
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
