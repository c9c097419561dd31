"""Failures by pool, user key, key and model: a busy one may have few among millions of requests."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

COLUMNS = ('pool_id', 'client_key_id', 'key_id', 'model_used')
FAILED = sa.text("outcome <> 'ok'")


def upgrade() -> None:
    for column in COLUMNS:
        op.create_index(
            f'ix_requests_failed_{column}', 'requests', [column, 'at', 'id'],
            sqlite_where=FAILED, postgresql_where=FAILED,
        )


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f'ix_requests_failed_{column}', table_name='requests')
