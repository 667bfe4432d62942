-- read_busy_schedules: what else is under way for schedules whose overlap this worker judges: runs
-- that are running or wait for a retry (is_running), and queued ones that are due. No locks: the
-- advisory lock of lock_startable_runs keeps other judges away.
SELECT run.schedule_id, run.id, run.tier, run.next_attempt_at,
       run.state = 'RUNNING' OR run.attempt > 0 AS is_running
  FROM run
 WHERE run.schedule_id = ANY (cast(:schedule_ids AS uuid[]))
   AND run.state IN ('QUEUED', 'RUNNING')
   AND (run.state = 'RUNNING' OR run.attempt > 0 OR run.next_attempt_at <= now())
   AND run.id <> ALL (cast(:candidate_ids AS uuid[]))
