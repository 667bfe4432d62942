-- lock_failing_schedules: active schedules whose last runs all failed, as often as they bear; held
-- for the transaction that pauses them.
SELECT schedule.id, schedule.project_id, schedule.probe_after_seconds,
       counters.consecutive_failures
  FROM schedule
  JOIN schedule_counters AS counters ON counters.schedule_id = schedule.id
 WHERE schedule.id = ANY (cast(:schedule_ids AS uuid[]))
   AND schedule.state = 'ACTIVE'
   AND counters.consecutive_failures >= schedule.pause_after_failures
 ORDER BY schedule.id
   FOR NO KEY UPDATE OF schedule
