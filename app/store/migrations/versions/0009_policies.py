"""more policies of schedules: spacing, the bound of QUEUE_ALL, the rate of catching up, probes

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedule', sa.Column('spacing_seconds', sa.Float(), nullable=True))
    op.add_column('schedule', sa.Column('overlap_limit', sa.Integer(), nullable=True))
    op.add_column('schedule', sa.Column('catch_up_rate_per_minute', sa.Integer(), nullable=True))
    op.add_column('schedule', sa.Column('probe_after_seconds', sa.Float(), nullable=True))
    op.add_column('schedule', sa.Column('last_start_at', sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint('schedule_spacing', 'schedule', 'spacing_seconds > 0')
    op.create_check_constraint('schedule_overlap_limit', 'schedule', 'overlap_limit > 0')
    op.create_check_constraint('schedule_catch_up_rate', 'schedule', 'catch_up_rate_per_minute > 0')
    op.create_check_constraint('schedule_probe_after', 'schedule', 'probe_after_seconds > 0')
