"""Keep every auth key that has a grace left, not the last one only."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('pools', sa.Column('older_auth', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('pools', 'older_auth')
