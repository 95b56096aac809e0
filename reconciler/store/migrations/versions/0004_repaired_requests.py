"""Samples also count the requests that another replica had failed before, and those that clients gave up.

Of samples that were taken before nobody knows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("repaired", "given_up"):
        op.add_column("samples", sa.Column(name, sa.BigInteger))
