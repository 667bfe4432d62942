"""calendars, edits that take effect later, and the version of the zone rules

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('calendar',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('dates', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('rules', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['project.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('calendar_key', 'calendar', ['project_id', 'key'], unique=True)
    op.create_table('zone_rules',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version', sa.String(length=32), nullable=True),
    sa.Column('reached_id', sa.Uuid(), nullable=True),
    sa.Column('is_complete', sa.Boolean(), nullable=False),
    sa.Column('moved_count', sa.Integer(), nullable=False),
    sa.CheckConstraint('id = 1', name='zone_rules_is_one_row'),
    sa.PrimaryKeyConstraint('id')
    )
    # The defaults stay: a release before this one writes schedules without these columns.
    op.add_column('schedule', sa.Column('calendar_ids', postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('schedule', sa.Column('calendar_mode', sa.Enum('EXCLUDE', 'MOVE_PREVIOUS', 'MOVE_NEXT', name='schedule_calendar_mode', native_enum=False, create_constraint=True, length=32), server_default='EXCLUDE', nullable=False))
    op.add_column('schedule', sa.Column('effective_from', sa.DateTime(timezone=True), nullable=True))
    op.add_column('schedule', sa.Column('timing_before', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.create_index('schedule_calendars', 'schedule', ['calendar_ids'], unique=False, postgresql_using='gin', postgresql_where=sa.text("calendar_ids <> '{}'"))
    op.create_index('schedule_turn', 'schedule', ['effective_from'], unique=False, postgresql_where=sa.text('effective_from IS NOT NULL'))
    op.execute("INSERT INTO zone_rules (id, is_complete, moved_count) VALUES (1, true, 0)")
