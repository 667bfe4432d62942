-- replace_runs: end what CANCEL_RUNNING replaces. A running one is asked to end: the worker that
-- holds its lease reads that with its next heartbeat, and only it may end the run. One that waits
-- for its next attempt ends here. Rows are locked in the order of their ids; one that another
-- worker is claiming is running when the lock is had.
WITH replaced AS MATERIALIZED (
    SELECT run.id
      FROM run
     WHERE run.id = ANY (cast(:ids AS uuid[]))
       AND run.state IN ('QUEUED', 'RUNNING')
     ORDER BY run.id
       FOR NO KEY UPDATE
)
UPDATE run
   SET state = CASE WHEN run.state = 'QUEUED' THEN 'CANCELLED' ELSE run.state END,
       reason = 'REPLACED',
       cancel_requested_at = coalesce(run.cancel_requested_at, now()),
       finished_at = CASE WHEN run.state = 'QUEUED' THEN greatest(now(), run.started_at) END,
       blocked_at = NULL,
       revision = run.revision + 1
  FROM replaced
 WHERE run.id = replaced.id
RETURNING run.id, run.project_id, run.schedule_id, run.revision, run.state
