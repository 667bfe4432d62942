-- withdraw_prepared_runs_of_many: as withdraw_prepared_runs, for many schedules that the caller
-- holds. SKIP LOCKED: a run that is being claimed is due by now, and waiting for its claim would be
-- a deadlock.
DELETE FROM run
 WHERE run.id IN (
       SELECT prepared.id
         FROM run AS prepared
        WHERE prepared.schedule_id = ANY (cast(:schedule_ids AS uuid[]))
          AND prepared.state = 'QUEUED'
          AND prepared.cause = 'SCHEDULE'
          AND prepared.attempt = 0
          AND prepared.scheduled_for > :as_of
          FOR UPDATE SKIP LOCKED)
RETURNING run.id, run.project_id, run.schedule_id
