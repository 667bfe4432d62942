-- withdraw_prepared_runs: remove the runs that a tick prepared ahead of their instant, because their
-- schedules are being edited, paused or archived; the caller puts the cursors back and holds the
-- schedules. SKIP LOCKED: a run that is being claimed is due by now, and waiting for its claim, which
-- may wait for the schedule, would be a deadlock. A run that somebody moved or added is prepared for
-- the instant at which it fires; when it is withdrawn, its override waits again.
WITH prepared AS MATERIALIZED (
    SELECT run.id, override.id AS override_id
      FROM run
      LEFT JOIN occurrence_override AS override
        ON override.schedule_id = run.schedule_id
       AND override.at = run.scheduled_for
       AND override.settled_at IS NOT NULL
       AND override.undone_at IS NULL
     WHERE run.schedule_id = ANY (cast(:schedule_ids AS uuid[]))
       AND run.state = 'QUEUED'
       AND run.cause = 'SCHEDULE'
       AND run.attempt = 0
       AND coalesce(override.fires_at, run.scheduled_for) > :as_of
       FOR UPDATE OF run SKIP LOCKED
), reopened AS (
    UPDATE occurrence_override AS override
       SET settled_at = NULL
      FROM prepared
     WHERE override.id = prepared.override_id
    RETURNING override.schedule_id
), flagged AS (
    UPDATE schedule
       SET has_overrides = true
     WHERE schedule.id IN (SELECT reopened.schedule_id FROM reopened)
)
DELETE FROM run
 USING prepared
 WHERE run.id = prepared.id
RETURNING run.id, run.project_id, run.schedule_id,
          CASE WHEN prepared.override_id IS NULL THEN run.scheduled_for END AS occurrence_at
