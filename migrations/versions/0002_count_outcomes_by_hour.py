"""Count outcomes by the hour; requests that are still in the log are counted at once."""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

# Whole numbers throughout: their division rounds down on either database.
HOUR = "CAST(r.at AS BIGINT) / 3600 * 3600"
REQUESTS = f"""
    INSERT INTO outcomes_hourly (hour, side, pool_id, model, operation, status, word, times)
    SELECT {HOUR}, 'request', COALESCE(r.pool_id, 0), r.model_used, r.operation, r.status,
           CASE WHEN r.outcome = 'ok' THEN 'ok'
                WHEN COALESCE(r.error_code, '') IN ('', 'ok') THEN r.outcome ELSE r.error_code END, COUNT(*)
    FROM requests r GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
ATTEMPTS = f"""
    INSERT INTO outcomes_hourly (hour, side, pool_id, model, operation, status, word, times)
    SELECT {HOUR}, 'attempt', COALESCE(r.pool_id, 0), r.model_used, r.operation, COALESCE(a.status, 0), a.outcome,
           COUNT(*)
    FROM attempts a JOIN requests r ON r.id = a.request_row GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


def upgrade() -> None:
    op.create_table('outcomes_hourly',
    sa.Column('hour', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('side', sa.String(10), nullable=False),
    sa.Column('pool_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('model', sa.String(200), nullable=False),
    sa.Column('operation', sa.String(40), nullable=False),
    sa.Column('status', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('word', sa.String(60), nullable=False),
    sa.Column('times', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('hour', 'side', 'pool_id', 'model', 'operation', 'status', 'word',
                            name=op.f('pk_outcomes_hourly')),
    sqlite_with_rowid=False
    )
    op.execute(REQUESTS)
    op.execute(ATTEMPTS)


def downgrade() -> None:
    op.drop_table('outcomes_hourly')
