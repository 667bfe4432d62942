-- lock_limited_schedules: hold the schedules that have a maxRuns, in the order of their ids, while
-- the runs that are about to start are counted against it. Ticks that meet the lock skip the
-- schedule until their next second.
SELECT schedule.id, schedule.max_runs - schedule.runs_made AS left_to_start
  FROM schedule
 WHERE schedule.id = ANY (cast(:schedule_ids AS uuid[]))
   AND schedule.max_runs IS NOT NULL
 ORDER BY schedule.id
   FOR NO KEY UPDATE
