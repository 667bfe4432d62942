-- read_due_probes: schedules that paused themselves and whose probe is due: it is to be let through, or
-- the run that was let through has ended, or is gone. No locks: whoever acts on one locks it and looks
-- again. Nothing is let through while the instance is halted.
SELECT schedule.project_id, schedule.id
  FROM schedule
  LEFT JOIN run ON run.id = schedule.probe_run_id
 WHERE schedule.state = 'PAUSED'
   AND schedule.probe_at <= now()
   AND (run.id IS NULL OR run.state NOT IN ('QUEUED', 'RUNNING'))
   AND (SELECT scheduler.state = 'RUNNING' FROM scheduler_state AS scheduler)
 ORDER BY schedule.probe_at
 LIMIT :limit
