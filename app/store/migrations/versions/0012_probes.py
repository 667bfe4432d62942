"""probes of schedules that paused themselves

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedule', sa.Column('probe_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('schedule', sa.Column('probe_run_id', sa.Uuid(), nullable=True))
    op.create_index('schedule_probe', 'schedule', ['probe_at'], unique=False, postgresql_where=sa.text("state = 'PAUSED' AND probe_at IS NOT NULL"))
