-- count_started: count the scheduled runs that are about to start, note when they do, and complete the
-- schedule with its last. lock_limited_schedules holds the rows.
UPDATE schedule
   SET runs_made = schedule.runs_made + starting.runs,
       last_start_at = CASE WHEN schedule.spacing_seconds IS NOT NULL
                            THEN starting.last_start_at END,
       state = CASE WHEN starting.completes THEN 'COMPLETED' ELSE schedule.state END,
       state_reason = CASE WHEN starting.completes THEN 'It has made the last of its runs.'
                           ELSE schedule.state_reason END,
       next_run_at = CASE WHEN starting.completes THEN NULL ELSE schedule.next_run_at END,
       revision = schedule.revision + least(starting.runs, 1)
  FROM (SELECT given.id, given.runs, given.last_start_at,
               fired.state = 'ACTIVE'
               AND coalesce(fired.runs_made + given.runs >= fired.max_runs, false) AS completes
          FROM unnest(cast(:schedule_id AS uuid[]), cast(:runs AS integer[]),
                      cast(:last_start_at AS timestamptz[])) AS given (id, runs, last_start_at)
          JOIN schedule AS fired ON fired.id = given.id) AS starting
 WHERE schedule.id = starting.id
RETURNING schedule.id, schedule.project_id, schedule.revision, starting.runs, starting.completes
