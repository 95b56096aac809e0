"""Real git repositories to read from."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


class Repository:
    """A work tree in a directory, made by the real git."""

    def __init__(self, path: Path, *, algorithm: str = "sha1") -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", f"--object-format={algorithm}")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files below the work tree; None removes one."""
        for name, text in files.items():
            path = self.path / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")

    def commit(self, files: Mapping[str, str | None], message: str = "change", author: str = "") -> str:
        """Write and commit; returns the commit."""
        self.write(files)
        self.git("add", "--all")
        by = [f"--author={author} <{author}@example.com>"] if author else []
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}", *by)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def url(self) -> str:
        return f"file://{self.path}"
