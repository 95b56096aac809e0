"""The sign of life of a controller beside its lease, and since when each side is out of its reach that is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("controllers", sa.Column("outages", sa.Text, nullable=False, server_default="{}"))
    op.add_column("leases", sa.Column("seen_at", sa.Double))
    op.add_column("leases", sa.Column("sign", sa.Text))
