"""One controller per instance: who holds it, and how a second one is kept out.

On one host a lock on a file in the state directory settles it; the kernel releases it when its holder dies, however
it dies. Where a PostgreSQL server is shared, a lease row is needed as well. The lease runs on the database's clock,
so that hosts need not agree on the time, and carries an epoch that every write checks, and every change of anything
outside right before it: a holder that was paused past the end of its lease finds its successor's epoch, can write
nothing more and does nothing more. An advisory lock would promise less: a paused holder keeps it, and a standby that is
promoted grants it again.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from reconciler import alive
from reconciler.locked_file import has_name, locked
from reconciler.model.recorded import SignOfLife
from reconciler.ports import CHECKPOINT_SECONDS, AlreadyRunning, LeadershipUnknown
from reconciler.store.sqlite import make_readable_directory, reaching
from reconciler.store.tables import leases

LEASE_SECONDS = 3 * CHECKPOINT_SECONDS


def whoami() -> str:
    return f"pid {os.getpid()} on {socket.gethostname()}"


class FileLock:
    """The lock on this host. ``holder`` names the state directory, for good: it is written into the file once."""

    def __init__(self, state_dir: Path, instance: str) -> None:
        """Raises AlreadyRunning while another process holds it, Unavailable where the file can't be had."""
        self._path = state_dir / f"controller-{instance}.lock"
        self._instance = instance
        with reaching(str(self._path)):
            self._file, self.holder = self._acquire()

    def confirm(self) -> None:
        """Take the lock again where its file was removed under us.

        Raises AlreadyRunning where another was faster, Unavailable where that can't be told just now.
        """
        with reaching(str(self._path)):
            if not has_name(self._file, self._path):
                # The old one is kept until there is a new one: without, the next call would have none to look at.
                old = self._file
                self._file, _ = self._acquire()
                old.close()

    def check(self) -> None:
        """Look whether it is still ours. Raises LeadershipUnknown where it isn't, which `confirm` will settle."""
        try:
            ours = has_name(self._file, self._path)
        except (OSError, ValueError) as error:  # ValueError: it is being taken again at this moment
            raise LeadershipUnknown(f"{self._path} can't be looked at: {error}") from error
        if not ours:
            raise LeadershipUnknown(f"{self._path} was removed or replaced, and is to be locked anew first")

    def release(self) -> None:
        self._file.close()

    def _acquire(self) -> tuple[FileIO, str]:
        """The file, locked and signed, and the state directory's name in it."""
        make_readable_directory(self._path.parent)
        file = locked(self._path, self._taken)
        try:
            return file, self._sign(file)
        except BaseException:
            file.close()
            raise

    def _taken(self, file: FileIO) -> AlreadyRunning:
        return AlreadyRunning(
            f"another controller ({self._read(file)[1]}) runs instance {self._instance!r} in {self._path.parent}: "
            "stop that one, or give this one another --instance and --state-dir"
        )

    def _read(self, file: FileIO) -> tuple[str, str]:
        holder, _, held_by = os.pread(file.fileno(), 4096, 0).decode(errors="replace").partition("\n")
        return holder, held_by.strip() or "of unknown pid"

    def _sign(self, file: FileIO) -> str:
        """Write who holds it over what stands there, and only then cut off the rest: on a full disk the directory keeps
        its name."""
        holder = self._read(file)[0] or uuid.uuid4().hex
        text = f"{holder}\n{whoami()}\n".encode()
        os.pwrite(file.fileno(), text, 0)
        file.truncate(len(text))
        return holder


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write an instance's rows on a shared server, as long as nobody has a higher epoch."""

    instance: str
    epoch: int

    def renew(self, connection: sa.Connection) -> None:
        """Check and renew, in the transaction that is to write. Raises AlreadyRunning where another has taken over."""
        if self._expire(connection, _now() + LEASE_SECONDS).rowcount == 0:
            raise self._taken(connection)

    def check(self, connection: sa.Connection) -> None:
        """Look whether another has taken over, in one short query. Raises AlreadyRunning where one has."""
        if connection.scalar(sa.select(leases.c.epoch).where(leases.c.instance == self.instance)) != self.epoch:
            raise self._taken(connection)

    def release(self, connection: sa.Connection) -> None:
        """Let the next controller start at once."""
        self._expire(connection, 0.0)

    def announce(self, connection: sa.Connection, sign: SignOfLife) -> None:
        """Write a sign of life beside the lease, dated by the database's clock. It renews nothing: a process that lives
        and whose loop doesn't is no reason to keep another one out."""
        connection.execute(leases.update().where(self._mine).values(seen_at=_now(), sign=alive.encode(sign)))

    def _taken(self, connection: sa.Connection) -> AlreadyRunning:
        return AlreadyRunning(f"{_holder(connection, self.instance)} has taken instance {self.instance!r} over")

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return (leases.c.instance == self.instance) & (leases.c.epoch == self.epoch)

    def _expire(self, connection: sa.Connection, at: float | sa.ColumnElement[float]) -> sa.CursorResult[Any]:
        return connection.execute(leases.update().where(self._mine).values(expires_at=at))


def last_sign(connection: sa.Connection, instance: str) -> SignOfLife | None:
    """The sign of life beside an instance's lease, dated by this host's clock; None where there is none."""
    query = sa.select(leases.c.sign, _now() - leases.c.seen_at).where(leases.c.instance == instance)
    row = connection.execute(query.where(leases.c.sign.is_not(None))).one_or_none()
    if row is None or (sign := alive.decode(row[0])) is None:
        return None
    return replace(sign, at=time.time() - float(row[1]))


def acquire(connection: sa.Connection, instance: str, holder: str) -> Lease:
    """Take the lease when it is free, has ended, or is our own state directory's: whoever held that one is dead,
    since we hold its lock. Raises AlreadyRunning with who holds it and for how long."""
    row = insert(leases).values(
        instance=instance, epoch=1, holder=holder, held_by=whoami(), expires_at=_now() + LEASE_SECONDS
    )
    taken = row.on_conflict_do_update(
        index_elements=[leases.c.instance],
        set_={
            "epoch": leases.c.epoch + 1,
            **{name: row.excluded[name] for name in ("holder", "held_by", "expires_at")},
        },
        where=(leases.c.expires_at < _now()) | (leases.c.holder == holder),
    ).returning(leases.c.epoch)
    epoch = connection.scalar(taken)
    if epoch is None:
        raise AlreadyRunning(
            f"{_holder(connection, instance)} runs instance {instance!r} on this database: stop that one, "
            f"or give this one another --instance; a holder that died is given up after {LEASE_SECONDS:.0f} s"
        )
    return Lease(instance, epoch)


def _now() -> sa.ColumnElement[float]:
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def _holder(connection: sa.Connection, instance: str) -> str:
    held_by = connection.scalar(sa.select(leases.c.held_by).where(leases.c.instance == instance))
    return f"another controller ({held_by or 'unknown'})"
