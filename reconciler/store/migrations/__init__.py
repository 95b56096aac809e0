"""Alembic's scripts. The store runs them itself when it opens a database (`store.schema`)."""
