"""Every configuration that was published, each in a directory of its own, and the one that is current.

Decides names, places and the order of writing: files first, synced, then one atomic rename of the symlink
``current``. A generation is never changed once it is current, so going back is a rename as well. It must never
remove a generation that is current or anything a kept generation refers to.

::

    generations/000042-3f2a91c04b7d/{nginx.conf,http.conf,servers,manifest.json}
    current -> generations/000042-3f2a91c04b7d
    assets/   certificates, keys and Lua, under names that change with their content
    run/      the control socket of each generation still served, and the pid file
    logs/     access.log, error.log
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from reconciler.edge.manifest import MANIFEST_JSON, NOTHING, Manifest

_MANIFEST_FILE = "manifest.json"
# Workers run as another user: they look into logs and temp, by relative paths, and into nothing else.
_DIRECTORY_MODES = {"": 0o711, "logs": 0o755, "temp": 0o711, "generations": 0o700, "assets": 0o700, "run": 0o700}


class Generations:
    """The directory ``root`` and all in it. Every method may raise OSError."""

    def __init__(self, root: Path, keep: int) -> None:
        self.root = root
        self.access_log = root / "logs" / "access.log"
        self.error_log = root / "logs" / "error.log"  # where an nginx of ours reports; an external one has its own
        self._keep = keep
        self._manifests: dict[str, Manifest] = {}

    def prepare(self) -> None:
        """Make what is missing, and leave an unsealed generation whose config test was cut short; else harmless."""
        for name, mode in _DIRECTORY_MODES.items():
            directory = self.root / name
            if not directory.is_dir():
                directory.mkdir(parents=True)
                directory.chmod(mode)
        if (self.root / "current").is_symlink() and self.current is None:
            self.activate(next(reversed(self._whole()), None))

    def listen_to_errors(self) -> Callable[[], str]:
        """A function that reads what nginx has reported since now."""
        start = self.error_log.stat().st_size if self.error_log.exists() else 0

        def errors() -> str:
            with suppress(FileNotFoundError), self.error_log.open(errors="replace") as log:
                log.seek(start)
                return log.read()
            return ""

        return errors

    @property
    def current(self) -> str | None:
        """The name of the current generation, where there is a whole one."""
        link = self.root / "current"
        return link.readlink().name if (link / _MANIFEST_FILE).is_file() else None

    @property
    def served(self) -> Manifest:
        """What the current generation serves: nothing, where there is none."""
        name = self.current
        return self.manifest(name) if name else NOTHING

    def manifest(self, name: str) -> Manifest:
        """What a generation serves: nothing, where that can't be read, so that it is published anew."""
        if name not in self._manifests:
            file = self._directory(name) / _MANIFEST_FILE
            try:
                self._manifests[name] = MANIFEST_JSON.validate_json(file.read_bytes())
            except (FileNotFoundError, ValidationError):
                return NOTHING
        return self._manifests[name]

    def text(self, file_name: str) -> str:
        """A file of the current generation; empty where there is none."""
        name = self.current
        return (self._directory(name) / file_name).read_text() if name else ""

    def next_sequence(self) -> int:
        return max(map(_sequence, self._names()), default=0) + 1

    def write(self, name: str, files: Mapping[str, str]) -> None:
        """Write an unsealed generation: on disk, and nothing more."""
        directory = self._directory(name)
        directory.mkdir(exist_ok=True)
        for file_name, text in files.items():
            (directory / file_name).write_text(text)

    def derive(self, name: str, origin: str, files: Mapping[str, str]) -> None:
        """Write a generation that differs from another in these files only."""
        self.discard(name)
        self._directory(name).mkdir()
        for path in self._directory(origin).iterdir():
            if path.name not in (*files, _MANIFEST_FILE):
                (self._directory(name) / path.name).hardlink_to(path)
        self.write(name, files)

    def add_asset(self, name: str, text: str) -> None:
        path = self.root / name
        if not path.exists():
            path.write_text(text)
            _sync(path)

    def discard(self, name: str) -> None:
        self._manifests.pop(name, None)
        shutil.rmtree(self._directory(name), ignore_errors=True)

    def seal(self, name: str, manifest: Manifest) -> None:
        """Complete a generation that passed its config test, durably: after a power cut it is whole or not current."""
        directory = self._directory(name)
        (directory / _MANIFEST_FILE).write_bytes(MANIFEST_JSON.dump_json(manifest, exclude_unset=True))
        for path in directory.iterdir():
            if path.stat().st_nlink == 1:  # else it was synced with the generation it comes from
                _sync(path)
        _sync(directory)
        self._manifests[name] = manifest

    def activate(self, name: str | None) -> None:
        """Make a generation current, in one step; None: none."""
        link, new_link = self.root / "current", self.root / "current.new"
        if name is None:
            link.unlink(missing_ok=True)
            return
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(Path("generations") / name)
        new_link.replace(link)
        _sync(self.root)

    def prune(self) -> None:
        """Keep the last few generations and what they refer to; unsealed ones go."""
        keep = {*self._whole()[-self._keep :], self.current}
        for name in self._names():
            if name not in keep:
                self.discard(name)
        used = {asset for name in self._names() for asset in self.manifest(name).assets}
        for path in (self.root / "assets").iterdir():
            if f"assets/{path.name}" not in used:
                path.unlink()

    def _names(self) -> list[str]:
        """All generations, oldest first; whatever else lies there, such as a probe that was cut short, before all."""
        return sorted((path.name for path in (self.root / "generations").iterdir()), key=_sequence)

    def _whole(self) -> list[str]:
        """The generations that were sealed, oldest first."""
        return [name for name in self._names() if (self._directory(name) / _MANIFEST_FILE).exists()]

    def _directory(self, name: str) -> Path:
        return self.root / "generations" / name


def _sequence(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
