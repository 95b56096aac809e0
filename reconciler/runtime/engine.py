"""The connection to the Docker Engine: made when first needed, shared by all threads, honouring ``DOCKER_HOST`` and
its family as docker's own command line does.

It tells apart an Engine that does not answer (`Unavailable`, with the remedy) from one that refuses (docker's
`APIError`, which `failures` explains). It knows nothing about what is asked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException, StreamParseError
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError as TransportError

from reconciler.ports import Fence, Unavailable, no_fence
from reconciler.runtime.client import BoundedClient

TIMEOUT_SECONDS = 60
# Besides the workers: the loop's own calls and the event stream.
_SPARE_CONNECTIONS = 3


class Engine:
    """The connection to the Engine. ``concurrency`` is how many threads will perform actions at a time; ``fence`` is
    asked before any request that changes something."""

    def __init__(self, concurrency: int, fence: Fence = no_fence) -> None:
        self._fence = fence
        self._pool_size = concurrency + _SPARE_CONNECTIONS
        self._lock = threading.Lock()
        self._connected: BoundedClient | None = None

    @contextmanager
    def reach(self) -> Iterator[BoundedClient]:
        """The client to ask with. Raises Unavailable where no Engine answers; an APIError passes."""
        try:
            yield self._client()
        except APIError:
            raise
        except (OSError, DockerException, StreamParseError, TransportError) as error:
            raise Unavailable(f"the Docker Engine at {_endpoint()} {_explain(error)}") from error

    @contextmanager
    def read(self) -> Iterator[BoundedClient]:
        """The client to look with: an Engine that refuses to answer is as unavailable as one that can't."""
        try:
            with self.reach() as client:
                yield client
        except APIError as error:
            raise Unavailable(f"the Docker Engine at {_endpoint()} answered: {sentence_of(error)}") from error

    def close(self) -> None:
        """Close idle connections. It may be used again."""
        with self._lock:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    def _client(self) -> BoundedClient:
        with self._lock:
            if self._connected is None:
                self._connected = BoundedClient(
                    **kwargs_from_env(),
                    fence=self._fence,
                    version="auto",
                    timeout=TIMEOUT_SECONDS,
                    max_pool_size=self._pool_size,
                )
            return self._connected


def sentence_of(error: APIError) -> str:
    """The Engine's own words in an error."""
    return error.explanation or str(error)


def _endpoint() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _explain(error: BaseException) -> str:
    """What happened, and what people can do about it."""
    for cause in _causes(error):
        match cause:
            case PermissionError():
                return "may not be used by this user: run as root, or as a member of the group docker"
            case FileNotFoundError() | ConnectionRefusedError():
                return "does not answer: start it, or name another by DOCKER_HOST"
            case TimeoutError():
                return "did not answer in time: it is overloaded or out of reach"
    return f"can't be reached: {error}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that libraries have wrapped into this one, the innermost first."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return reversed(chain)
