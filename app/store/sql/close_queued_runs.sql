-- close_queued_runs: end queued runs that will never start (skipped, cancelled), each with its
-- reason. Conditional on the state it leaves.
UPDATE run
   SET state = closed.state,
       reason = closed.reason,
       message = coalesce(closed.message, run.message),
       finished_at = now(),
       blocked_at = NULL,
       revision = run.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:state AS text[]), cast(:reason AS text[]),
              cast(:message AS text[])) AS closed (id, state, reason, message)
 WHERE run.id = closed.id
   AND run.state = 'QUEUED'
RETURNING run.id, run.project_id, run.schedule_id, run.revision, run.state, run.scheduled_for
