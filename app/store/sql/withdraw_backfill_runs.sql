-- withdraw_backfill_runs: remove the runs of a backfill that have not begun, because it is being
-- paused; the caller holds it and puts its cursor back. SKIP LOCKED: a run that is being claimed at
-- this moment begins.
WITH waiting AS MATERIALIZED (
    SELECT run.id
      FROM run
     WHERE run.backfill_id = :backfill_id
       AND run.state = 'QUEUED'
       AND run.attempt = 0
       FOR UPDATE SKIP LOCKED
)
DELETE FROM run
 USING waiting
 WHERE run.id = waiting.id
RETURNING run.id, run.revision, run.scheduled_for, run.due_at
