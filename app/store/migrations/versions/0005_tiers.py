"""tiers of the queue: live runs before caught-up ones, those before backfills

A stored column that PostgreSQL computes: it rewrites the run table once.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index('run_queue', table_name='run')
    op.drop_index('run_held', table_name='run')
    op.add_column('run', sa.Column('tier', sa.SmallInteger(), sa.Computed("CASE cause WHEN 'CATCH_UP' THEN 1 WHEN 'BACKFILL' THEN 2 ELSE 0 END", persisted=True), nullable=False))
    op.create_index('run_queue', 'run', ['tier', sa.literal_column('priority DESC'), 'next_attempt_at', 'id'], unique=False, postgresql_where=sa.text("state = 'QUEUED' AND blocked_at IS NULL"))
    op.create_index('run_held', 'run', ['queue', 'tier', sa.literal_column('priority DESC'), 'next_attempt_at', 'id'], unique=False, postgresql_where=sa.text("state = 'QUEUED' AND blocked_at IS NOT NULL AND blocked_on_queue"))
