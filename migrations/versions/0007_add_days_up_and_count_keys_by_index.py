"""Days are added up once; how keys stand is counted by indexes that hold all they need."""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

DEAD = sa.text('dead_at IS NOT NULL')
DISABLED = sa.text('disabled_at IS NOT NULL')
UNTRIED = sa.text('checked_at IS NULL AND requests = 0 AND deleted_at IS NULL')
INDEXES = {
    'ix_keys_dead': (['dead_at', 'deleted_at'], DEAD),
    'ix_keys_disabled': (['disabled_at', 'disabled_until', 'dead_at', 'deleted_at'], DISABLED),
    'ix_keys_untested': (['id'], UNTRIED),
}
TALLY = (
    'requests', 'successes', 'errors', 'attempts', 'tokens_in', 'tokens_out', 'tokens_cached', 'tokens_thinking',
    'estimated', 'cost_nano', 'latency_ms', 'ttfb_ms', 'ms_100', 'ms_250', 'ms_500', 'ms_1000', 'ms_2500', 'ms_5000',
    'ms_10000', 'ms_30000', 'ms_60000', 'ms_more',
)


def upgrade() -> None:
    op.drop_index('ix_keys_dead', table_name='keys')
    op.drop_index('ix_keys_disabled', table_name='keys')
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, 'keys', columns, sqlite_where=where, postgresql_where=where)
    op.create_index('ix_key_health_key_id', 'key_health', ['key_id', 'until'])
    op.create_index('ix_usage_hourly_model', 'usage_hourly', ['model', 'hour', 'key_id'])
    op.create_table('traffic_daily',
    sa.Column('hour', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('pool_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('client_key_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('model', sa.String(200), nullable=False),
    *(sa.Column(name, sa.BigInteger(), nullable=False) for name in TALLY),
    sa.PrimaryKeyConstraint('hour', 'pool_id', 'client_key_id', 'model', name=op.f('pk_traffic_daily')),
    sqlite_with_rowid=False
    )
    op.create_table('outcomes_daily',
    sa.Column('hour', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('side', sa.String(10), nullable=False),
    sa.Column('pool_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('model', sa.String(200), nullable=False),
    sa.Column('operation', sa.String(40), nullable=False),
    sa.Column('status', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('word', sa.String(60), nullable=False),
    sa.Column('times', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('hour', 'side', 'pool_id', 'model', 'operation', 'status', 'word',
                            name=op.f('pk_outcomes_daily')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.execute("DELETE FROM meta WHERE name = 'days_until'")
    op.drop_table('outcomes_daily')
    op.drop_table('traffic_daily')
    op.drop_index('ix_usage_hourly_model', table_name='usage_hourly')
    op.drop_index('ix_key_health_key_id', table_name='key_health')
    for name in INDEXES:
        op.drop_index(name, table_name='keys')
    op.create_index('ix_keys_dead', 'keys', ['dead_at'], sqlite_where=DEAD, postgresql_where=DEAD)
    op.create_index('ix_keys_disabled', 'keys', ['disabled_at'], sqlite_where=DISABLED, postgresql_where=DISABLED)
