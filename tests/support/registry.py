"""A real image registry on a loopback port, to push to and pull from. Engines need no TLS to speak to 127.0.0.1."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from docker.errors import ImageNotFound

from tests.support.engine import client
from tests.support.tcp import unused_port
from tests.support.waiting import eventually

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
USER, PASSWORD = "user", "swordfish"
# Of that password, by bcrypt, the one way that the registry knows.
_HASHED = "$2b$04$uxJJVXdQFDvU1Uf0mDWUZ.hWB3qU5DURCAycqC1yoTRok7DBuma0q"
_LOGIN = """\
auth: {{htpasswd: {{realm: test, path: {path}}}}}
"""


@contextlib.contextmanager
def registry(directory: Path, *, login: bool = False) -> Iterator[str]:
    """Its address, as images are named by it. Afterwards the host knows no image by such a name. With ``login`` it is
    open to `USER` alone."""
    port = unused_port()
    config = directory / "registry.yml"
    text = _CONFIG.format(root=directory / "images", port=port)
    if login:
        passwords = directory / "registry.htpasswd"
        passwords.write_text(f"{USER}:{_HASHED}\n", encoding="utf-8")
        text += _LOGIN.format(path=passwords)
    config.write_text(text, encoding="utf-8")
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        eventually(lambda: _accepts(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        _forget(f"127.0.0.1:{port}/")


def push(image: str, name: str) -> None:
    """Push an image of the host under another name, and forget that name."""
    repository, _, tag = name.rpartition(":")
    client().tag(image, repository, tag)
    for step in client().push(repository, tag=tag, stream=True, decode=True):
        assert "error" not in step, step
    client().remove_image(name)


def _forget(prefix: str) -> None:
    for image in client().images(all=True):
        for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
            if name.startswith(prefix):
                with contextlib.suppress(ImageNotFound):  # a digest goes with its last tag
                    client().remove_image(name)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
