"""The command line on a real terminal, of any width: what it prints there may be shorter than in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence

_END = "-- end of a command --"
_PROGRAM = f"""
import json, sys
from reconciler.cli import app
for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
    print({_END!r})
"""


def printed(columns: int | None, commands: Sequence[Sequence[str]]) -> list[list[str]]:
    """The lines that ``orchestry`` prints for each of these commands, on a terminal of so many columns; None: into a
    pipe."""
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    program = [sys.executable, "-c", _PROGRAM, json.dumps(commands)]
    if columns is None:
        text = subprocess.run(program, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    else:
        text = _on_terminal(columns, program, environment).replace("\r\n", "\n")
    return [part.strip("\n").split("\n") for part in text.split(f"{_END}\n")[:-1]]


def _on_terminal(columns: int, program: Sequence[str], environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with subprocess.Popen(program, stdout=theirs, env=environment) as process:
            os.close(theirs)
            text = _all_of(terminal.fileno())
        assert process.returncode == 0, text
    return text


def _all_of(terminal: int) -> str:
    """What is written to a terminal until nobody has it open any more."""
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)
