"""the decision ledger: versions of schedules, overrides of occurrences

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('occurrence_override',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('schedule_id', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('action', sa.Enum('SKIP', 'MOVE', 'ADD', 'UNDO', name='override_action', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('move_to', sa.DateTime(timezone=True), nullable=True),
    sa.Column('fires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('orphaned', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('undone_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('undone_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.CheckConstraint("(action = 'MOVE') = (move_to IS NOT NULL)", name='override_move'),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('occurrence_override_at', 'occurrence_override', ['schedule_id', 'at'], unique=True, postgresql_where=sa.text('undone_at IS NULL'))
    op.create_table('schedule_version',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('schedule_id', sa.Uuid(), nullable=False),
    sa.Column('sequence', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('change', sa.Enum('CREATED', 'UPDATED', 'PAUSED', 'RESUMED', 'COMPLETED', 'EXPIRED', 'QUARANTINED', 'ROLLED_BACK', 'ARCHIVED', 'FIRED', 'RUN_FINISHED', 'OVERRIDDEN', name='schedule_version_change', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('comment', sa.Text(), nullable=True),
    sa.Column('diff', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('snapshot', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('schedule_version_sequence', 'schedule_version', ['schedule_id', 'sequence'], unique=True, postgresql_include=['at', 'version'])
    op.create_index('run_range', 'run', ['schedule_id', sa.literal_column('scheduled_for DESC')], unique=False, postgresql_include=['range_end', 'id'], postgresql_where=sa.text('range_end IS NOT NULL'))
    op.add_column('schedule', sa.Column('has_overrides', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.execute(_FIRST_VERSIONS)


# Schedules that are older than their history: what they are now is what is known of them.
_FIRST_VERSIONS = """
INSERT INTO schedule_version (id, schedule_id, sequence, version, at, by, change, diff, snapshot)
SELECT gen_random_uuid(), schedule.id, 1, schedule.version, schedule.created_at,
       schedule.created_by, 'CREATED', '[]',
       to_jsonb(schedule) - '{id,project_id,version,revision,created_at,created_by,updated_at,
                              updated_by,definition_hash,has_overrides,cursor_at,next_run_at,
                              runs_made}'::text[]
  FROM schedule
"""
