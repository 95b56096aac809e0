"""One controller for each instance on an Engine, whatever its state directory and database are.

The store keeps two controllers from one record; this keeps them from one set of containers. An abstract socket is the
lock: it is gone with the process that holds it, however that ends. It reaches as far as the machine, and so does an
Engine's socket; controllers on several machines share a database, whose lease tells them apart.
"""

from __future__ import annotations

import errno
import socket

from reconciler.ports import AlreadyRunning


class InstanceLock:
    """The lock on the containers of one instance, held from its making until `release`. Raises AlreadyRunning where
    another process holds it."""

    def __init__(self, engine_id: str, instance: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0orchestry/{engine_id}/{instance}")
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise AlreadyRunning(
                f"another controller runs instance {instance} on this Engine: stop that one first, "
                f"or name another instance with --instance"
            ) from error

    def release(self) -> None:
        self._socket.close()
