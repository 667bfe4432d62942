-- withdraw_prepared_runs: remove the runs that a tick prepared ahead of their instant, because their
-- schedule is being edited, paused or archived; the caller puts the cursor back and holds the
-- schedule. SKIP LOCKED: a run that is being claimed is due by now, and waiting for its claim, which
-- may wait for the schedule, would be a deadlock.
DELETE FROM run
 WHERE run.id IN (
       SELECT prepared.id
         FROM run AS prepared
        WHERE prepared.schedule_id = :schedule_id
          AND prepared.state = 'QUEUED'
          AND prepared.cause = 'SCHEDULE'
          AND prepared.attempt = 0
          AND prepared.scheduled_for > :as_of
          FOR UPDATE SKIP LOCKED)
RETURNING run.id, run.scheduled_for
