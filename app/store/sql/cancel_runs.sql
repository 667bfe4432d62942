-- cancel_runs: end queued runs at once, and note on running ones that they are to end: the worker
-- that holds the lease reads that with its next heartbeat, and only it may end the run. SKIP LOCKED:
-- whoever finishes runs locks many rows in an order of its own, and waiting for it while holding
-- some of them would be a deadlock. The caller looks again at those that do not come back.
WITH wanted AS MATERIALIZED (
    SELECT run.id
      FROM run
     WHERE run.id = ANY (cast(:ids AS uuid[]))
       AND (cast(:project_id AS uuid) IS NULL OR run.project_id = :project_id)
       AND run.state IN ('QUEUED', 'RUNNING')
       FOR UPDATE SKIP LOCKED
)
UPDATE run
   SET state = CASE WHEN run.state = 'QUEUED' THEN 'CANCELLED' ELSE run.state END,
       reason = CASE WHEN run.state = 'QUEUED' THEN 'CANCEL_REQUESTED' ELSE run.reason END,
       message = CASE WHEN run.cancel_requested_at IS NULL OR :force
                      THEN :message ELSE run.message END,
       cancel_requested_at = coalesce(run.cancel_requested_at, now()),
       cancel_is_forced = run.cancel_is_forced OR :force,
       finished_at = CASE WHEN run.state = 'QUEUED' THEN greatest(now(), run.started_at) END,
       blocked_at = NULL,
       revision = run.revision + 1
  FROM wanted
 WHERE run.id = wanted.id
RETURNING run.id, run.project_id, run.job_id, run.schedule_id, run.revision, run.state,
          run.attempt, run.scheduled_for, run.started_at
