-- lock_limited_schedules: hold the schedules that have a spacing or a maxRuns, in the order of their
-- ids, while the runs that are about to start are judged by them. Ticks that meet the lock skip the
-- schedule until their next second.
SELECT schedule.id, schedule.max_runs - schedule.runs_made AS runs_left,
       schedule.spacing_seconds, schedule.last_start_at, now() AS as_of
  FROM schedule
 WHERE schedule.id = ANY (cast(:schedule_ids AS uuid[]))
   AND (schedule.max_runs IS NOT NULL OR schedule.spacing_seconds IS NOT NULL)
 ORDER BY schedule.id
   FOR NO KEY UPDATE
