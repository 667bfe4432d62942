-- count_schedules: a project's schedules by state and by kind of timing; archived ones are left out.
-- A million schedules share a few hundred timings, so these are grouped first and opened then. A
-- schedule counts once for each kind it has; a cron timing given as a frequency is of that kind.
WITH definition AS MATERIALIZED (
    SELECT schedule.state, schedule.timings, count(*) AS schedules
      FROM schedule
     WHERE schedule.project_id = :project_id AND schedule.archived_at IS NULL
     GROUP BY schedule.state, schedule.timings
)
SELECT 'STATE' AS what, definition.state AS word, sum(definition.schedules)::bigint AS schedules
  FROM definition
 GROUP BY definition.state
 UNION ALL
SELECT 'KIND', kind.word, sum(definition.schedules)::bigint
  FROM definition
 CROSS JOIN LATERAL (
       SELECT DISTINCT CASE WHEN timing ? 'interval' THEN 'INTERVAL'
                            WHEN timing ? 'calendarInterval' THEN 'CALENDAR_INTERVAL'
                            WHEN timing ? 'once' THEN 'ONCE'
                            ELSE coalesce(timing -> 'cron' ->> 'frequency', 'CRON') END AS word
         FROM jsonb_array_elements(definition.timings) AS timing) AS kind
 GROUP BY kind.word
