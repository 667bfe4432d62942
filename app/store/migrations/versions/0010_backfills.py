"""backfills

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('backfill',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('schedule_id', sa.Uuid(), nullable=False),
    sa.Column('schedule_version', sa.Integer(), nullable=False),
    sa.Column('state', sa.Enum('RUNNING', 'PAUSED', 'COMPLETED', 'CANCELLED', name='backfill_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('started_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('until_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('only_missing', sa.Boolean(), nullable=False),
    sa.Column('overlap', sa.Enum('SKIP', 'ALLOW', 'QUEUE_ONE', 'QUEUE_ALL', 'CANCEL_RUNNING', name='backfill_overlap', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('rate_per_minute', sa.Integer(), nullable=True),
    sa.Column('counted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cursor_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('made', sa.Integer(), nullable=False),
    sa.Column('failed', sa.Integer(), nullable=False),
    sa.Column('next_due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('step_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('until_at >= from_at', name='backfill_range'),
    sa.CheckConstraint('rate_per_minute > 0', name='backfill_rate'),
    sa.CheckConstraint("(state IN ('RUNNING', 'PAUSED')) = (finished_at IS NULL)", name='backfill_is_over'),
    sa.CheckConstraint('finished_at IS NULL OR step_at IS NULL', name='backfill_over_is_left_alone'),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('backfill_step', 'backfill', ['step_at', 'id'], unique=False, postgresql_where=sa.text('step_at IS NOT NULL'))
    op.create_index('backfill_list', 'backfill', ['project_id', 'id'], unique=False)
    op.create_index('backfill_of_schedule', 'backfill', ['schedule_id', 'id'], unique=False)
    op.add_column('run', sa.Column('backfill_id', sa.Uuid(), nullable=True))
    op.create_index('run_of_backfill', 'run', ['backfill_id', 'scheduled_for'], unique=True, postgresql_where=sa.text('backfill_id IS NOT NULL'))
    op.create_index('run_busy_backfill', 'run', ['backfill_id', 'scheduled_for'], unique=False, postgresql_where=sa.text("state IN ('QUEUED', 'RUNNING') AND backfill_id IS NOT NULL"))
    op.create_index('run_again', 'run', ['schedule_id', 'scheduled_for'], unique=False, postgresql_where=sa.text("cause IN ('RERUN', 'BACKFILL')"))
