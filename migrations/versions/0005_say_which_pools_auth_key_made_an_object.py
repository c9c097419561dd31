"""Say which pool's auth key made an upstream object, where no user key did."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('affinity', sa.Column('pool_id', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('affinity', 'pool_id')
