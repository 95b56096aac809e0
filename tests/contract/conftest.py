"""Fixtures of the contract suites; what they start lives in ``tests/support``."""

from tests.support.postgres import postgres_server, postgres_url
from tests.support.stores import place

__all__ = ["place", "postgres_server", "postgres_url"]
