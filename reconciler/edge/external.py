"""An nginx that somebody else runs: we write into a directory, and run the commands given to test and to reload.

Its own ``http`` block includes ``DIRECTORY/current/*.conf``, and it sees the directory under the same path as we.
The test command tests the whole of that nginx's configuration, so a generation is made current for the test and the
one before it again afterwards; nginx reads neither in between. Must never guess a command.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.edge.generations import Generations
from reconciler.edge.nginx import complaint, parse_version, run
from reconciler.edge.settings import Build, EdgeSettings
from reconciler.ports import Unavailable


class ExternalNginx:
    """An nginx reached by ``test_command`` and ``reload_command``."""

    mode = "external"

    def __init__(self, generations: Generations, settings: EdgeSettings) -> None:
        self._generations = generations
        self._settings = settings

    def identify(self) -> tuple[Build, str]:
        """What the test command with ``-V`` tells; where it is a script that does not, an old nginx is assumed."""
        _, output = self._run("test", (*self._settings.test_command, "-V"))
        try:
            version = parse_version(output)
        except Unavailable:
            version = Build().version
        return Build(version=version, root=f"{self._generations.root.resolve()}/", main_config=False), output

    def test(self, generation: str) -> str | None:
        before = self._generations.current
        self._generations.activate(generation)
        try:
            code, output = self._run("test", self._settings.test_command)
        finally:
            self._generations.activate(before)
        return None if code == 0 else output

    def alive(self) -> bool:
        return True

    def load(self) -> None:
        self._demand("reload", self._settings.reload_command)

    def reopen_logs(self) -> None:
        self.load()

    def stop(self) -> None:
        """Take our routes out of it: it is not ours to end, and goes on with the rest."""
        self._generations.activate(None)
        self.load()

    def close(self) -> None:
        """There is nothing to release."""

    def _demand(self, purpose: str, command: Sequence[str]) -> None:
        code, output = self._run(purpose, command)
        if code != 0:
            raise Unavailable(f"the {purpose} command failed with exit code {code}: {complaint(output)}")

    def _run(self, purpose: str, command: Sequence[str]) -> tuple[int, str]:
        if not command or command[0] == "-V":
            raise Unavailable(f"--edge external needs a {purpose} command in the settings")
        return run(command, self._settings.command_timeout_seconds)
