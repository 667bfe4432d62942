-- count_schedules_by_state: how many schedules there are in each state. Reads the due index, which
-- holds those that fire, and the index of all the others; no rows.
SELECT 'ACTIVE' AS state, count(*) AS schedules
  FROM schedule
 WHERE schedule.next_run_at IS NOT NULL
 UNION ALL
SELECT schedule.state, count(*)
  FROM schedule
 WHERE schedule.next_run_at IS NULL
 GROUP BY schedule.state
