"""Keep the quota a key rests for, beside the upstream's words."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('key_health', sa.Column('quota', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('key_health', 'quota')
