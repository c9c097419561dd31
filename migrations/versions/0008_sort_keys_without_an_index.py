"""No index of a key's figures: each was written at every request, and a page that sorts by one reads all keys as soon."""

from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

FIGURES = ('last_used_at', 'requests')


def upgrade() -> None:
    for column in FIGURES:
        op.drop_index(f'ix_keys_{column}', table_name='keys')


def downgrade() -> None:
    for column in FIGURES:
        op.create_index(f'ix_keys_{column}', 'keys', [column])
