"""instance control, halts, queues, forced cancels and what workers are asked to do

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('halt',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Enum('RUNNING', 'PAUSED', 'DRAINING', 'STOPPED', name='halt_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('missed', sa.Enum('SKIP', 'LATEST', 'ALL', 'DRIP', name='halt_missed', native_enum=False, create_constraint=True, length=32), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('halt_ended', 'halt', ['ended_at'], unique=False)
    op.create_table('queue',
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('paused', sa.Boolean(), nullable=False),
    sa.Column('concurrency_limit', sa.Integer(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('changed_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.CheckConstraint('concurrency_limit > 0', name='queue_concurrency'),
    sa.PrimaryKeyConstraint('name')
    )
    # The defaults stay: a release before this one writes these tables without the new columns.
    op.add_column('scheduler_state', sa.Column('drain_until', sa.DateTime(timezone=True), nullable=True))
    op.add_column('scheduler_state', sa.Column('is_emergency', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('worker', sa.Column('asked_to', sa.Enum('DRAIN', 'RESTART', name='worker_asked_to', native_enum=False, create_constraint=True, length=32), nullable=True))
    op.add_column('worker', sa.Column('drain_seconds', sa.Float(), nullable=True))
    op.add_column('run', sa.Column('blocked_on_queue', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('run', sa.Column('cancel_is_forced', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.create_index('run_held', 'run', ['queue', sa.literal_column('priority DESC'), 'next_attempt_at', 'id'], unique=False, postgresql_where=sa.text("state = 'QUEUED' AND blocked_at IS NOT NULL AND blocked_on_queue"))
