"""Which record a controller wrote last, so that one whose COMMIT was not answered can tell whether it arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("controllers", sa.Column("last_record", sa.Text))
