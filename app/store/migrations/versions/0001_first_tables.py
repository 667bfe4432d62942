"""first tables

Revision: 0001
Follows: 
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.models.columns import TransactionId

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=True),
    sa.Column('actor', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('subject_kind', sa.Text(), nullable=False),
    sa.Column('subject_id', sa.Uuid(), nullable=True),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('changes', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('request_id', sa.Text(), nullable=True),
    sa.Column('address', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('audit_list', 'audit', ['project_id', 'id'], unique=False)
    op.create_index('audit_of_subject', 'audit', ['subject_id', 'id'], unique=False)
    op.create_table('event',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('transaction_id', TransactionId(), server_default=sa.text('pg_current_xact_id()'), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('change', sa.Text(), nullable=False),
    sa.Column('entity_ids', sa.ARRAY(sa.Uuid()), nullable=False),
    sa.Column('revisions', sa.ARRAY(sa.Integer()), nullable=False),
    sa.Column('parent_ids', sa.ARRAY(sa.Uuid()), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('event_at', 'event', ['at'], unique=False)
    op.create_index('event_transaction', 'event', ['transaction_id', 'id'], unique=False)
    op.create_table('idempotency',
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False),
    sa.Column('content_hash', sa.String(length=64), nullable=False),
    sa.Column('result_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'key')
    )
    op.create_index('idempotency_at', 'idempotency', ['created_at'], unique=False)
    op.create_table('project',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('defaults', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('retention_seconds', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('retention_seconds > 0', name='project_retention'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('key')
    )
    op.create_table('scheduler_state',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('state', sa.Enum('RUNNING', 'PAUSED', 'DRAINING', 'STOPPED', name='scheduler_state_word', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('changed_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.CheckConstraint('id = 1', name='scheduler_state_is_one_row'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('worker',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('state', sa.Enum('ONLINE', 'DRAINING', 'LOST', 'STOPPED', name='worker_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('queues', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('slots', sa.Integer(), nullable=False),
    sa.Column('busy', sa.Integer(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('heartbeat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_tick_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('api_token',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('role', sa.Enum('VIEWER', 'OPERATOR', 'EDITOR', 'ADMIN', name='api_token_role', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('secret_hash', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['project_id'], ['project.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('job',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('kind', sa.Enum('HTTP', 'COMMAND', 'PYTHON', name='job_kind', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('config', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('parameters_schema', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('parameters', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('queue', sa.String(length=200), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('timeout_seconds', sa.Float(), nullable=False),
    sa.Column('concurrency_limit', sa.Integer(), nullable=True),
    sa.Column('retry', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('on_worker_lost', sa.Enum('RETRY', 'FAIL', name='job_on_worker_lost', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('tags', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.CheckConstraint('concurrency_limit > 0', name='job_concurrency'),
    sa.CheckConstraint('timeout_seconds > 0', name='job_timeout'),
    sa.ForeignKeyConstraint(['project_id'], ['project.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('job_key', 'job', ['project_id', 'key'], unique=True, postgresql_where=sa.text('archived_at IS NULL'))
    op.create_index('job_list', 'job', ['project_id', 'id'], unique=False)
    op.create_table('schedule',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('owner', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('state', sa.Enum('ACTIVE', 'PAUSED', 'COMPLETED', 'EXPIRED', 'QUARANTINED', 'ARCHIVED', name='schedule_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('state_reason', sa.Text(), nullable=True),
    sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('paused_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('paused_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('resume_with', sa.Enum('SKIP', 'LATEST', 'ALL', 'DRIP', name='schedule_resume_with', native_enum=False, create_constraint=True, length=32), nullable=True),
    sa.Column('last_error', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('timings', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('timezone', sa.String(length=100), nullable=False),
    sa.Column('dst_gap', sa.Enum('RUN_AT_GAP_END', 'SHIFT', 'SKIP', name='schedule_dst_gap', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('dst_fold', sa.Enum('FIRST', 'LAST', 'BOTH', name='schedule_dst_fold', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('start_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('end_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('max_runs', sa.Integer(), nullable=True),
    sa.Column('jitter_seconds', sa.Float(), nullable=False),
    sa.Column('overlap', sa.Enum('SKIP', 'ALLOW', 'QUEUE_ONE', 'QUEUE_ALL', 'CANCEL_RUNNING', name='schedule_overlap', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('catch_up', sa.Enum('NONE', 'LATEST', 'ALL', name='schedule_catch_up', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('catch_up_window_seconds', sa.Float(), nullable=False),
    sa.Column('catch_up_limit', sa.Integer(), nullable=False),
    sa.Column('pause_after_failures', sa.Integer(), nullable=True),
    sa.Column('parameters', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=True),
    sa.Column('tags', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('definition_hash', sa.String(length=64), nullable=False),
    sa.Column('cursor_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('next_run_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('runs_made', sa.Integer(), nullable=False),
    sa.CheckConstraint("state = 'ACTIVE' OR next_run_at IS NULL", name='schedule_only_active_is_due'),
    sa.CheckConstraint('end_at > start_at', name='schedule_window'),
    sa.CheckConstraint('jitter_seconds >= 0', name='schedule_jitter'),
    sa.CheckConstraint('max_runs > 0', name='schedule_max_runs'),
    sa.CheckConstraint('next_run_at > cursor_at', name='schedule_next_after_cursor'),
    sa.ForeignKeyConstraint(['job_id'], ['job.id'], ),
    sa.ForeignKeyConstraint(['project_id'], ['project.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('schedule_due', 'schedule', ['next_run_at', 'id'], unique=False, postgresql_where=sa.text('next_run_at IS NOT NULL'))
    op.create_index('schedule_key', 'schedule', ['project_id', 'key'], unique=True, postgresql_where=sa.text('archived_at IS NULL'))
    op.create_index('schedule_list', 'schedule', ['project_id', 'id'], unique=False)
    op.create_index('schedule_of_job', 'schedule', ['job_id', 'id'], unique=False)
    op.create_index('schedule_paused_until', 'schedule', ['paused_until'], unique=False, postgresql_where=sa.text("state = 'PAUSED' AND paused_until IS NOT NULL"))
    op.create_index('schedule_same_definition', 'schedule', ['project_id', 'definition_hash'], unique=False, postgresql_where=sa.text('archived_at IS NULL'))
    op.create_table('run',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('schedule_id', sa.Uuid(), nullable=True),
    sa.Column('schedule_version', sa.Integer(), nullable=True),
    sa.Column('rerun_of_id', sa.Uuid(), nullable=True),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('state', sa.Enum('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'SKIPPED', 'MISSED', name='run_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('reason', sa.Enum('PAUSED', 'STOPPED', 'OUTSIDE_WINDOW', 'OVERRIDDEN', 'ARCHIVED', 'CIRCUIT_BREAKER', 'DEPENDENCY', 'OVERLAP', 'TOO_LATE', 'COALESCED', 'CATCH_UP_NONE', 'CALENDAR', 'SPACING', 'LIMIT', 'QUARANTINED', 'CANCEL_REQUESTED', 'REPLACED', 'WORKER_LOST', 'TIMEOUT', 'ERROR', 'REJECTED', name='run_reason', native_enum=False, create_constraint=True, length=32), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('cause', sa.Enum('SCHEDULE', 'CATCH_UP', 'MANUAL', 'BACKFILL', 'RERUN', 'CHAIN', name='run_cause', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('triggered_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('overlap', sa.Enum('SKIP', 'ALLOW', 'QUEUE_ONE', 'QUEUE_ALL', 'CANCEL_RUNNING', name='run_overlap', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('scheduled_for', sa.DateTime(timezone=True), nullable=False),
    sa.Column('scheduled_local', sa.String(length=32), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('range_end', sa.DateTime(timezone=True), nullable=True),
    sa.Column('range_count', sa.Integer(), nullable=True),
    sa.Column('previous_success_for', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('blocked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('parameters', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('result', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('error', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('tags', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('queue', sa.String(length=200), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('max_attempts', sa.Integer(), nullable=False),
    sa.Column('crash_count', sa.Integer(), nullable=False),
    sa.Column('progress', sa.Float(), nullable=True),
    sa.Column('progress_message', sa.Text(), nullable=True),
    sa.Column('worker_id', sa.Uuid(), nullable=True),
    sa.Column('fencing_token', sa.BigInteger(), nullable=True),
    sa.Column('lease_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('first_started_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(state IN ('QUEUED', 'RUNNING')) = (finished_at IS NULL)", name='run_finished_is_over'),
    sa.CheckConstraint("state <> 'RUNNING' OR (fencing_token IS NOT NULL AND lease_expires_at IS NOT NULL AND started_at IS NOT NULL)", name='run_running_has_lease'),
    sa.CheckConstraint('attempt <= max_attempts + crash_count', name='run_attempts'),
    sa.CheckConstraint('finished_at >= started_at', name='run_ends_after_start'),
    sa.CheckConstraint('range_end >= scheduled_for', name='run_range'),
    sa.ForeignKeyConstraint(['job_id'], ['job.id'], ),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('run_blocked', 'run', ['schedule_id', 'job_id'], unique=False, postgresql_where=sa.text("state = 'QUEUED' AND blocked_at IS NOT NULL"))
    op.create_index('run_busy', 'run', ['schedule_id', 'next_attempt_at'], unique=False, postgresql_where=sa.text("state IN ('QUEUED', 'RUNNING') AND schedule_id IS NOT NULL"))
    op.create_index('run_busy_job', 'run', ['job_id'], unique=False, postgresql_where=sa.text("state = 'RUNNING'"))
    op.create_index('run_finished', 'run', ['finished_at'], unique=False, postgresql_using='brin', postgresql_with={'pages_per_range': 32, 'autosummarize': 'on'})
    op.create_index('run_lease', 'run', ['worker_id'], unique=False, postgresql_where=sa.text("state = 'RUNNING'"))
    op.create_index('run_list', 'run', ['project_id', 'id'], unique=False)
    op.create_index('run_occurrence', 'run', ['schedule_id', 'scheduled_for'], unique=True, postgresql_where=sa.text("cause IN ('SCHEDULE', 'CATCH_UP')"))
    op.create_index('run_of_job', 'run', ['job_id', 'id'], unique=False)
    op.create_index('run_of_schedule', 'run', ['schedule_id', 'id'], unique=False, postgresql_where=sa.text('schedule_id IS NOT NULL'))
    op.create_index('run_queue', 'run', [sa.literal_column('priority DESC'), 'next_attempt_at', 'id'], unique=False, postgresql_where=sa.text("state = 'QUEUED' AND blocked_at IS NULL"))
    op.create_table('schedule_counters',
    sa.Column('schedule_id', sa.Uuid(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('run_count', sa.Integer(), nullable=False),
    sa.Column('success_count', sa.Integer(), nullable=False),
    sa.Column('failure_count', sa.Integer(), nullable=False),
    sa.Column('skip_count', sa.Integer(), nullable=False),
    sa.Column('miss_count', sa.Integer(), nullable=False),
    sa.Column('consecutive_failures', sa.Integer(), nullable=False),
    sa.Column('last_run_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_run_id', sa.Uuid(), nullable=True),
    sa.Column('last_success_for', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ),
    sa.PrimaryKeyConstraint('schedule_id')
    )
    op.create_table('attempt',
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('state', sa.Enum('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'SKIPPED', 'MISSED', name='attempt_state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('error', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('exit_code', sa.Integer(), nullable=True),
    sa.Column('http_status', sa.Integer(), nullable=True),
    sa.CheckConstraint('finished_at >= started_at', name='attempt_ends_after_start'),
    sa.CheckConstraint("state NOT IN ('QUEUED', 'RUNNING')", name='attempt_is_over'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'number')
    )
    op.create_table('run_log',
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('sequence', sa.Integer(), nullable=False),
    sa.Column('line_count', sa.Integer(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('dropped', sa.Integer(), nullable=False),
    sa.Column('lines', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'sequence')
    )
    for sql in _BEYOND_THE_MODELS:
        op.execute(sql)


# What SQLModel cannot say.
_BEYOND_THE_MODELS = (
    # A stale worker holds an older token than the one that took its run over.
    "CREATE SEQUENCE fencing_token AS bigint CACHE 1000",
    # Room on the page for the updates of a run's life, and vacuum before the table has doubled.
    "ALTER TABLE run SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE schedule SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE schedule_counters SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE worker SET (fillfactor = 50)",
    """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit is append-only';
    END
    $$
    """,
    """
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()
    """,
    """
    CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
    """,
    "INSERT INTO scheduler_state (id, state, version) VALUES (1, 'RUNNING', 1)",
    """
    INSERT INTO project (id, key, name, version, defaults, retention_seconds)
    VALUES ('01900000-0000-7000-8000-000000000001', 'default', 'Default', 1, '{}', 7776000)
    """,
)
