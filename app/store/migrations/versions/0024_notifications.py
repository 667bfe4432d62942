"""notification rules, and the outbox of what they have to tell

Revision: 0024
Follows: 0023
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('notification_rule',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('events', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('target', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('filter', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('next_message_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['project_id'], ['project.id']),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('notification_rule_key', 'notification_rule', ['project_id', 'key'], unique=True)
    op.create_table('notification_message',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('rule_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Enum('WAITING', 'DELIVERED', 'GIVEN_UP', name='notification_message_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['rule_id'], ['notification_rule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('notification_message_due', 'notification_message', ['next_attempt_at'], postgresql_where=sa.text("state = 'WAITING'"))
    op.create_index('notification_message_of_rule', 'notification_message', ['rule_id'])
    op.create_index('notification_message_old', 'notification_message', ['created_at'], postgresql_where=sa.text("state <> 'WAITING'"))
    op.create_table('notification',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('rule_id', sa.Uuid(), nullable=False),
    sa.Column('message_id', sa.Uuid(), nullable=True),
    sa.Column('event', sa.Enum('RUN_FAILED', 'RUN_RECOVERED', 'SCHEDULE_AUTO_PAUSED', 'SCHEDULE_QUARANTINED', 'FINDING_OPENED', 'FINDING_RESOLVED', name='notification_event', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('occurrence', sa.Text(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['rule_id'], ['notification_rule.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['message_id'], ['notification_message.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('notification_occurrence', 'notification', ['rule_id', 'occurrence'], unique=True)
    op.create_index('notification_untold', 'notification', ['rule_id', 'id'], postgresql_where=sa.text('message_id IS NULL'))
    op.create_index('notification_of_message', 'notification', ['message_id'])
    op.create_table('notification_feed',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('position', sa.Text(), nullable=False),
    sa.CheckConstraint('id = 1', name='notification_feed_is_one_row'),
    sa.PrimaryKeyConstraint('id')
    )
    # Of what happened before there were rules nobody is told.
    op.execute('INSERT INTO notification_feed (id, position) VALUES (1, cast(pg_current_snapshot() AS text))')
