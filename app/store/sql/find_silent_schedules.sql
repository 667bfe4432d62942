-- find_silent_schedules: the next slice of all schedules, in the order of their ids, and which of them
-- fire but have had no run for a week. A round takes one slice, so that a million schedules are
-- passed in hours and cost no round more than a thousand do.
WITH slice AS MATERIALIZED (
    SELECT schedule.id, schedule.next_run_at, schedule.updated_at
      FROM schedule
     WHERE cast(:reached_id AS uuid) IS NULL OR schedule.id > cast(:reached_id AS uuid)
     ORDER BY schedule.id
     LIMIT :limit
)
SELECT (SELECT CASE WHEN count(*) < :limit THEN NULL
                    ELSE (array_agg(slice.id ORDER BY slice.id DESC))[1] END
          FROM slice) AS reached_id,
       (SELECT coalesce(array_agg(slice.id), '{}')
          FROM slice
          JOIN schedule_counters AS counters ON counters.schedule_id = slice.id
         WHERE slice.next_run_at IS NOT NULL
           AND greatest(counters.last_run_at, slice.updated_at) < now() - interval '7 days')
       AS silent_ids
