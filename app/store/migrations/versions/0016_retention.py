"""retention: archived jobs and schedules are found, and what is removed is vacuumed early

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('job_archived', 'job', ['archived_at'], unique=False, postgresql_where=sa.text('archived_at IS NOT NULL'))
    op.create_index('schedule_archived', 'schedule', ['archived_at'], unique=False, postgresql_where=sa.text('archived_at IS NOT NULL'))
    for table in ('attempt', 'run_log', 'event'):
        op.execute(f'ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)')
