"""what confines the processes of a worker's runs

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'worker',
        sa.Column('confinement', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
