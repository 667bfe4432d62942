-- advance_schedules: move the cursors of the schedules this tick holds (claim_due_schedules locked
-- them) and set when to look again.
UPDATE schedule
   SET cursor_at = greatest(schedule.cursor_at, advanced.cursor_at),
       next_run_at = advanced.next_run_at,
       state = advanced.state,
       state_reason = coalesce(advanced.state_reason, schedule.state_reason),
       last_error = coalesce(advanced.last_error, schedule.last_error),
       revision = schedule.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:cursor_at AS timestamptz[]),
              cast(:next_run_at AS timestamptz[]), cast(:state AS text[]),
              cast(:state_reason AS text[]), cast(:last_error AS jsonb[]))
       AS advanced (id, cursor_at, next_run_at, state, state_reason, last_error)
 WHERE schedule.id = advanced.id
RETURNING schedule.id, schedule.revision
