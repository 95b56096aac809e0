"""A real Docker Engine for tests: a client, the demo image, names of one's own, and nothing left behind.

A test never touches a container it did not make: everything here is named and labelled with a random instance name, and
`playground` removes what carries it, whatever the test did in between.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.utils import kwargs_from_env

_BUILD = Path(__file__).parents[2] / "deploy" / "demo" / "build"


@functools.cache
def client() -> docker.APIClient:
    """One low-level client for the whole test run; an Engine that doesn't answer fails the test that asked."""
    return docker.APIClient(**kwargs_from_env(), version="auto", timeout=60)


@functools.cache
def demo_image(version: str = "1") -> str:
    """The demo image whose server says it is ``version``, built where it is missing; its name with tag."""
    subprocess.run([_BUILD, version], check=True, timeout=120, capture_output=True)
    return f"orchestry-demo:{version}"


@dataclass(frozen=True, slots=True)
class Playground:
    """Names that no other test and no other person on this Engine uses."""

    instance: str
    network: str

    @property
    def name_prefix(self) -> str:
        """What container names of this instance begin with."""
        return f"{self.instance}-"


@contextlib.contextmanager
def playground() -> Iterator[Playground]:
    """A random instance and network name; afterwards everything that carries them is gone."""
    instance = f"test-{secrets.token_hex(4)}"
    place = Playground(instance, network=f"orchestry-{instance}")
    try:
        yield place
    finally:
        clean_up(place)


def clean_up(place: Playground) -> None:
    """Remove the containers labelled or named with the instance, the volumes named with it, and its network."""
    api = client()
    for filters in ({"label": f"orchestry.instance={place.instance}"}, {"name": place.instance}):
        for container in api.containers(all=True, filters=filters):
            with contextlib.suppress(NotFound):
                remove(container["Id"])
    for volume in api.volumes(filters={"name": place.instance})["Volumes"] or ():
        api.remove_volume(volume["Name"], force=True)
    with contextlib.suppress(NotFound):
        api.remove_network(place.network)


def remove(container_id: str) -> None:
    """Kill and remove a container with its anonymous volumes, also one that is being removed already."""
    try:
        client().remove_container(container_id, v=True, force=True)
    except APIError as error:
        if error.status_code != 409:  # removal in progress
            raise
        client().wait(container_id, condition="removed")


def run_foreign(name: str, *, network: str = "none", address: str | None = None) -> str:
    """Start a demo container that carries none of our labels; its id.

    With the playground's ``name_prefix`` before its name it is removed with the playground.
    """
    api = client()
    endpoint = api.create_endpoint_config(ipv4_address=address)
    container = api.create_container(
        demo_image(),
        name=name,
        host_config=api.create_host_config(network_mode=network),
        networking_config={"EndpointsConfig": {network: endpoint}} if address else None,
    )
    api.start(container["Id"])
    return str(container["Id"])
