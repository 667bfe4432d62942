-- insert_backfill_runs: queue runs of one backfill. An occurrence that already has its run is left
-- alone: the unique index run_of_backfill refuses a second one, whatever was forgotten in a crash.
INSERT INTO run (
       id, project_id, job_id, schedule_id, schedule_version, backfill_id, state, cause,
       triggered_by, overlap, scheduled_for, scheduled_local, previous_success_for, due_at,
       next_attempt_at, parameters, tags, queue, priority, max_attempts,
       revision, attempt, crash_count, created_at)
SELECT id, :project_id, :job_id, :schedule_id, :schedule_version, :backfill_id, 'QUEUED', 'BACKFILL',
       cast(:triggered_by AS jsonb), :overlap, scheduled_for, scheduled_local, previous_at, due_at,
       due_at, cast(:parameters AS jsonb), cast(:tags AS jsonb), :queue, :priority, :max_attempts,
       1, 0, 0, now()
  FROM unnest(cast(:id AS uuid[]), cast(:scheduled_for AS timestamptz[]),
              cast(:scheduled_local AS text[]), cast(:previous_at AS timestamptz[]),
              cast(:due_at AS timestamptz[]))
       AS planned (id, scheduled_for, scheduled_local, previous_at, due_at)
    ON CONFLICT (backfill_id, scheduled_for) WHERE backfill_id IS NOT NULL DO NOTHING
RETURNING id
