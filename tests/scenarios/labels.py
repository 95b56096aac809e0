"""What the labels of our containers say of them."""

from __future__ import annotations

from reconciler.runtime.translate import ADDRESS, APP, SPEC_HASH
from tests.fakes.engine import FakeContainer


def app_of(container: FakeContainer) -> str:
    return str(container.config["Labels"][APP])


def hash_of(container: FakeContainer) -> str:
    return str(container.config["Labels"][SPEC_HASH])


def address_of(container: FakeContainer) -> str:
    return str(container.config["Labels"][ADDRESS])
