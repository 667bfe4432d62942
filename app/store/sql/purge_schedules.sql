-- purge_schedules: remove schedules for good whose archiving is longer ago than their project's
-- retention, once it has taken all their runs. With them go their counters, versions, overrides and
-- backfills. Nothing fires or edits an archived schedule, so nobody waits for these locks.
WITH gone AS MATERIALIZED (
    SELECT schedule.id
      FROM schedule
      JOIN project ON project.id = schedule.project_id
     WHERE schedule.archived_at < now() - make_interval(secs => project.retention_seconds)
       AND NOT EXISTS (SELECT 1 FROM run WHERE run.schedule_id = schedule.id)
     ORDER BY schedule.archived_at
     LIMIT :limit
       FOR UPDATE OF schedule SKIP LOCKED
), counters AS (
    DELETE FROM schedule_counters USING gone WHERE schedule_counters.schedule_id = gone.id
)
DELETE FROM schedule
 USING gone
 WHERE schedule.id = gone.id
RETURNING schedule.id, schedule.project_id, schedule.key
