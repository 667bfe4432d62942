-- recompute_schedules: write where schedules stand after the rules that decide when they fire have
-- changed beneath them (a calendar, the zone rules); the caller holds them. Unlike the tick it may
-- put a cursor back, because it has withdrawn what was prepared beyond.
UPDATE schedule
   SET cursor_at = standing.cursor_at,
       next_run_at = standing.next_run_at,
       state = standing.state,
       state_reason = coalesce(standing.state_reason, schedule.state_reason),
       passed_over = cast(standing.passed_over AS timestamptz[]),
       last_error = coalesce(standing.last_error, schedule.last_error),
       revision = schedule.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:cursor_at AS timestamptz[]),
              cast(:next_run_at AS timestamptz[]), cast(:state AS text[]),
              cast(:state_reason AS text[]), cast(:last_error AS jsonb[]),
              cast(:passed_over AS text[]))
       AS standing (id, cursor_at, next_run_at, state, state_reason, last_error, passed_over)
 WHERE schedule.id = standing.id
RETURNING schedule.id, schedule.revision
