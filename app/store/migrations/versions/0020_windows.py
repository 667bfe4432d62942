"""find paused schedules whose window has ended

Revision: 0020
Follows: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('schedule_paused_window', 'schedule', ['end_at'], unique=False, postgresql_where=sa.text("state = 'PAUSED' AND paused_until IS NULL AND end_at IS NOT NULL"))
