"""the right of a project to shell lines

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'project',
        sa.Column('shell_allowed', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    )
