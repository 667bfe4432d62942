-- count_started: count the scheduled runs that are about to start, and complete the schedule with
-- its last. lock_limited_schedules holds the rows.
UPDATE schedule
   SET runs_made = schedule.runs_made + starting.runs,
       state = CASE WHEN starting.is_last AND schedule.state = 'ACTIVE'
                    THEN 'COMPLETED' ELSE schedule.state END,
       state_reason = CASE WHEN starting.is_last AND schedule.state = 'ACTIVE'
                           THEN 'It has made the last of its runs.' ELSE schedule.state_reason END,
       next_run_at = CASE WHEN starting.is_last THEN NULL ELSE schedule.next_run_at END,
       revision = schedule.revision + 1
  FROM unnest(cast(:schedule_id AS uuid[]), cast(:runs AS integer[]),
              cast(:is_last AS boolean[])) AS starting (id, runs, is_last)
 WHERE schedule.id = starting.id
RETURNING schedule.id, schedule.project_id, schedule.revision, schedule.state
