-- withdraw_all_prepared_runs: take back what ticks have prepared for instants still to come, in all
-- schedules, and put their cursors back, because the instance is being halted. hold_control keeps
-- ticks and claims away; schedules are locked before their runs, as whoever edits one does.
WITH prepared AS MATERIALIZED (
    SELECT run.schedule_id, min(run.scheduled_for) AS next_run_at
      FROM run
     WHERE run.state = 'QUEUED'
       AND run.cause = 'SCHEDULE'
       AND run.attempt = 0
       AND run.next_attempt_at > now()
       AND run.scheduled_for > now()
     GROUP BY run.schedule_id
), held AS MATERIALIZED (
    SELECT schedule.id
      FROM schedule
     WHERE schedule.id IN (SELECT prepared.schedule_id FROM prepared)
     ORDER BY schedule.id
       FOR NO KEY UPDATE
), withdrawn AS (
    DELETE FROM run
     USING held
     WHERE run.schedule_id = held.id
       AND run.state = 'QUEUED'
       AND run.cause = 'SCHEDULE'
       AND run.attempt = 0
       AND run.scheduled_for > now()
    RETURNING run.id, run.project_id, run.schedule_id, run.revision, run.scheduled_for
), put_back AS (
    UPDATE schedule
       SET cursor_at = least(schedule.cursor_at, now()),
           next_run_at = CASE WHEN first.fires_again
                              THEN least(schedule.next_run_at, first.scheduled_for) END,
           state = CASE WHEN first.fires_again THEN 'ACTIVE' ELSE schedule.state END,
           state_reason = CASE WHEN first.fires_again THEN NULL ELSE schedule.state_reason END,
           revision = schedule.revision + 1
      FROM (SELECT fired.id AS schedule_id, min(withdrawn.scheduled_for) AS scheduled_for,
                   -- One whose last occurrence was withdrawn is not completed after all.
                   fired.state IN ('ACTIVE', 'COMPLETED', 'EXPIRED')
                   AND (fired.max_runs IS NULL OR fired.runs_made < fired.max_runs) AS fires_again
              FROM withdrawn
              JOIN schedule AS fired ON fired.id = withdrawn.schedule_id
             GROUP BY fired.id) AS first
     WHERE schedule.id = first.schedule_id
    RETURNING schedule.id, schedule.project_id, schedule.revision
)
SELECT 'RUN' AS subject, withdrawn.id, withdrawn.project_id, withdrawn.schedule_id,
       withdrawn.revision
  FROM withdrawn
 UNION ALL
SELECT 'SCHEDULE', put_back.id, put_back.project_id, NULL, put_back.revision
  FROM put_back
