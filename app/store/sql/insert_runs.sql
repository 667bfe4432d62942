-- insert_runs: write the runs and the records of one tick. An occurrence that already has its row
-- is left alone: the unique index run_occurrence refuses the duplicate, whoever was first.
-- Column order follows app.store.firing.RunRow.
INSERT INTO run (
       id, project_id, job_id, schedule_id, schedule_version, state, reason, message, cause,
       overlap, scheduled_for, scheduled_local, due_at, next_attempt_at, range_end, range_count,
       parameters, tags, queue, priority, max_attempts, other_locals,
       revision, attempt, crash_count, created_at, finished_at)
SELECT id, project_id, job_id, schedule_id, schedule_version, state, reason, message, cause,
       overlap, scheduled_for, scheduled_local, due_at, due_at, range_end, range_count,
       parameters, tags, queue, priority, max_attempts, other_locals,
       1, 0, 0, now(), CASE WHEN state <> 'QUEUED' THEN now() END
  FROM unnest(
       cast(:id AS uuid[]), cast(:project_id AS uuid[]), cast(:job_id AS uuid[]),
       cast(:schedule_id AS uuid[]), cast(:schedule_version AS integer[]),
       cast(:state AS text[]), cast(:reason AS text[]), cast(:message AS text[]),
       cast(:cause AS text[]), cast(:overlap AS text[]),
       cast(:scheduled_for AS timestamptz[]), cast(:scheduled_local AS text[]),
       cast(:due_at AS timestamptz[]), cast(:range_end AS timestamptz[]),
       cast(:range_count AS integer[]), cast(:parameters AS jsonb[]), cast(:tags AS jsonb[]),
       cast(:queue AS text[]), cast(:priority AS integer[]), cast(:max_attempts AS integer[]),
       cast(:other_locals AS jsonb[]))
       AS planned (
       id, project_id, job_id, schedule_id, schedule_version, state, reason, message, cause,
       overlap, scheduled_for, scheduled_local, due_at, range_end, range_count,
       parameters, tags, queue, priority, max_attempts, other_locals)
    ON CONFLICT (schedule_id, scheduled_for) WHERE cause IN ('SCHEDULE', 'CATCH_UP') DO NOTHING
RETURNING id
