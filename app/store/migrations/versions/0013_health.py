"""health: findings, the monitor's rounds, schedules that do not fire at hand

Revision: 0013
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('health_finding',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=True),
    sa.Column('code', sa.Enum('HIGH_FAILURE_RATE', 'CONSECUTIVE_FAILURES', 'OVERDUE', 'STALE', 'SLOWER_THAN_USUAL', 'QUARANTINED', 'NO_NEXT_RUN', 'TICKER_SILENT', 'NO_WORKER', 'CLOCK_SKEW', 'LEASES_NOT_SWEPT', name='health_finding_code', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('severity', sa.Enum('INFO', 'WARNING', 'CRITICAL', name='health_finding_severity', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('schedule_id', sa.Uuid(), nullable=True),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('acknowledged_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('acknowledged_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['project.id']),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('health_finding_open', 'health_finding', ['code', 'subject'], unique=True, postgresql_where=sa.text('resolved_at IS NULL'))
    op.create_index('health_finding_list', 'health_finding', ['project_id', 'id'], unique=False)
    op.create_index('health_finding_of_schedule', 'health_finding', ['schedule_id'], unique=False)
    op.create_index('health_finding_resolved', 'health_finding', ['resolved_at'], unique=False, postgresql_where=sa.text('resolved_at IS NOT NULL'))
    op.create_table('health_round',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('examined_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reached_id', sa.Uuid(), nullable=True),
    sa.CheckConstraint('id = 1', name='health_round_is_one_row'),
    sa.PrimaryKeyConstraint('id')
    )
    op.execute("INSERT INTO health_round (id, began_at, examined_until) VALUES (1, to_timestamp(0), now())")
    op.create_index('schedule_aside', 'schedule', ['state', 'project_id', 'id'], unique=False, postgresql_where=sa.text('next_run_at IS NULL'))
