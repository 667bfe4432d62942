"""runs by the instant at which they ended

Revision: 0029
Follows: 0028
"""

import sqlalchemy as sa
from alembic import op

revision = '0029'
down_revision = '0028'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('run_finished', 'run', ['project_id', 'finished_at', 'id'], postgresql_where=sa.text('finished_at IS NOT NULL'))
    op.drop_index('run_times', table_name='run')
    op.create_index('run_times', 'run', ['scheduled_for'], postgresql_using='brin', postgresql_with={'pages_per_range': 32, 'autosummarize': 'on'})
