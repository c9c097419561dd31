"""Long work is a job that any worker can show and cancel; an import is written slice by slice and can be undone."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

RESTORED = sa.text('restored_by IS NOT NULL')


def upgrade() -> None:
    op.create_table('jobs',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('kind', sa.String(40), nullable=False),
    sa.Column('state', sa.String(), nullable=False),
    sa.Column('who', sa.String(200), nullable=False),
    sa.Column('via', sa.String(), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=False),
    sa.Column('done', sa.BigInteger(), nullable=False),
    sa.Column('fates', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('rows', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('result', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('error', sa.String(), nullable=False),
    sa.Column('undo', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('cancel_asked', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('started_at', sa.Double(), nullable=True),
    sa.Column('beat_at', sa.Double(), nullable=False),
    sa.Column('ended_at', sa.Double(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_jobs_ended_at'), 'jobs', ['ended_at'])
    op.create_index('ix_jobs_state', 'jobs', ['state'])
    op.add_column('keys', sa.Column('restored_by', sa.BigInteger(), nullable=True))
    op.add_column('keys', sa.Column('details', sa.JSON(none_as_null=True), nullable=True))
    op.create_index(
        'ix_keys_restored_by', 'keys', ['restored_by'], sqlite_where=RESTORED, postgresql_where=RESTORED
    )
    op.add_column('imports', sa.Column('name', sa.String(200), nullable=False, server_default=''))
    op.add_column('imports', sa.Column('job_id', sa.BigInteger(), nullable=True))
    op.add_column('imports', sa.Column('ended_at', sa.Double(), nullable=True))
    op.execute('UPDATE imports SET ended_at = at')


def downgrade() -> None:
    for column in ('ended_at', 'job_id', 'name'):
        op.drop_column('imports', column)
    op.drop_index('ix_keys_restored_by', table_name='keys')
    op.drop_column('keys', 'restored_by')
    op.drop_column('keys', 'details')
    op.drop_table('jobs')
