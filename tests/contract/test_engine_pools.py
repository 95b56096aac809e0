"""An Engine whose address pools are used up: what is said where no network can be made any more."""

from __future__ import annotations

import contextlib

import pytest
from docker.errors import APIError

from reconciler.ports import Unavailable
from reconciler.runtime.docker import DockerRuntime
from tests.support.dockerd import private_engine

pytestmark = pytest.mark.engine


def test_an_engine_without_a_subnet_left_is_told_with_its_remedies() -> None:
    with private_engine("10.202.0.0/20") as engine, engine.as_default():
        with contextlib.suppress(APIError), contextlib.closing(engine.client()) as api:
            # Refused where its bridge has the only subnet already.
            api.create_network("the-only-one")
        mounts = {"allow_host_paths": (), "allow_volumes": (), "volume_record": None, "secrets_key": None}
        runtime = DockerRuntime(
            instance="pools", network="pools", secrets_dir=None, wake=lambda: None, concurrency=1, **mounts
        )
        with contextlib.closing(runtime), pytest.raises(Unavailable) as told:
            runtime.prepare()
    message = str(told.value)
    assert message.startswith("the network pools can't be made")
    assert all(word in message for word in ("docker network prune", "default-address-pools", "--network NAME"))
