-- withdraw_all_prepared_runs: take back what ticks have prepared for instants still to come, in all
-- schedules, and put their cursors back, because the instance is being halted. hold_control keeps
-- ticks and claims away; schedules are locked before their runs, as whoever edits one does.
-- A run that somebody moved or added is prepared for the instant at which it fires, and its override
-- waits again.
WITH prepared AS MATERIALIZED (
    SELECT run.id, run.schedule_id, override.id AS override_id,
           coalesce(override.fires_at, run.scheduled_for) AS fires_at
      FROM run
      LEFT JOIN occurrence_override AS override
        ON override.schedule_id = run.schedule_id
       AND override.at = run.scheduled_for
       AND override.settled_at IS NOT NULL
       AND override.undone_at IS NULL
     WHERE run.state = 'QUEUED'
       AND run.cause = 'SCHEDULE'
       AND run.attempt = 0
       AND run.next_attempt_at > now()
       AND coalesce(override.fires_at, run.scheduled_for) > now()
), held AS MATERIALIZED (
    SELECT schedule.id
      FROM schedule
     WHERE schedule.id IN (SELECT prepared.schedule_id FROM prepared)
     ORDER BY schedule.id
       FOR NO KEY UPDATE
), withdrawn AS (
    DELETE FROM run
     USING prepared
      JOIN held ON held.id = prepared.schedule_id
     WHERE run.id = prepared.id
       AND run.state = 'QUEUED'
       AND run.attempt = 0
    RETURNING run.id, run.project_id, run.schedule_id, run.revision, prepared.fires_at,
              prepared.override_id
), reopened AS (
    UPDATE occurrence_override AS override
       SET settled_at = NULL
      FROM withdrawn
     WHERE override.id = withdrawn.override_id
    RETURNING override.schedule_id
), put_back AS (
    UPDATE schedule
       SET cursor_at = least(schedule.cursor_at, now()),
           next_run_at = CASE WHEN first.fires_again
                              THEN least(schedule.next_run_at, first.fires_at) END,
           state = CASE WHEN first.fires_again THEN 'ACTIVE' ELSE schedule.state END,
           state_reason = CASE WHEN first.fires_again THEN NULL ELSE schedule.state_reason END,
           has_overrides = schedule.has_overrides OR schedule.id IN (
               SELECT reopened.schedule_id FROM reopened),
           revision = schedule.revision + 1
      FROM (SELECT fired.id AS schedule_id, min(withdrawn.fires_at) AS fires_at,
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
