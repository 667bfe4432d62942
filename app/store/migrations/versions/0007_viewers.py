"""what a caller has chosen for itself

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('viewer_preference',
    sa.Column('actor_kind', sa.Enum('TOKEN', 'USER', 'SYSTEM', name='viewer_actor_kind', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('actor_id', sa.Text(), nullable=False),
    sa.Column('timezone', sa.String(length=100), nullable=False),
    sa.PrimaryKeyConstraint('actor_kind', 'actor_id')
    )
