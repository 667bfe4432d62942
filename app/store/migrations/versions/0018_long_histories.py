"""long histories: runs that did not succeed are found, and stretches of time by either instant

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('run_unsuccessful', 'run', ['project_id', 'state', 'id'], unique=False, postgresql_where=sa.text("state IN ('FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'SKIPPED', 'MISSED')"))
    op.create_index('run_reason', 'run', ['project_id', 'reason', 'id'], unique=False, postgresql_where=sa.text('reason IS NOT NULL'))
    op.create_index('run_times', 'run', ['finished_at', 'scheduled_for'], unique=False, postgresql_using='brin', postgresql_with={'pages_per_range': 32, 'autosummarize': 'on'})
    op.drop_index('run_finished', table_name='run')
