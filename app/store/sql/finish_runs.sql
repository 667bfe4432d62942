-- finish_runs: write the ends of many attempts at once: the runs, the attempts' own records, the
-- counters of the schedules and the events. Conditional on the fencing token: a worker whose run was given to
-- another, or ended without it, changes nothing, counts nothing and records nothing. An attempt that
-- is tried again goes back to QUEUED, unless a cancel was asked for while it ran: then the run ends
-- here. started_at becomes the entry into the handler, as the worker measured it from the claim on.
-- Most attempts succeed without a word, so everything else comes in one value, `details`.
-- Runs are locked before counters, and counters in the order of their ids, so that two batches never
-- wait for one another in a circle.
WITH ended AS (
    UPDATE run
       SET state = CASE WHEN given.state = 'QUEUED' AND run.cancel_requested_at IS NOT NULL
                        THEN 'CANCELLED' ELSE given.state END,
           -- A running run has a reason only if replace_runs has left it.
           reason = CASE WHEN given.state IN ('QUEUED', 'CANCELLED')
                          AND run.cancel_requested_at IS NOT NULL
                         THEN coalesce(run.reason, 'CANCEL_REQUESTED')
                         ELSE given.details ->> 'reason' END,
           -- Who asked for the cancel has left a word.
           message = CASE WHEN given.state IN ('QUEUED', 'CANCELLED')
                           AND run.cancel_requested_at IS NOT NULL
                          THEN coalesce(run.message, given.details ->> 'message')
                          ELSE given.details ->> 'message' END,
           error = given.details -> 'error',
           result = given.details -> 'result',
           crash_count = run.crash_count + coalesce((given.details ->> 'crashes')::integer, 0),
           given_back_count = run.given_back_count
               + coalesce((given.details ->> 'given_back')::integer, 0),
           progress = coalesce((given.details ->> 'progress')::double precision, run.progress),
           progress_message = coalesce(given.details ->> 'progress_message', run.progress_message),
           next_attempt_at = CASE WHEN given.state = 'QUEUED'
                                  THEN now() + make_interval(secs => coalesce(
                                       (given.details ->> 'delay_seconds')::double precision, 0))
                                  ELSE run.next_attempt_at END,
           started_at = run.started_at + make_interval(secs => given.entry_seconds),
           first_started_at = CASE WHEN run.attempt = 1
                                   THEN run.started_at + make_interval(secs => given.entry_seconds)
                                   ELSE run.first_started_at END,
           finished_at = CASE WHEN given.state = 'QUEUED' AND run.cancel_requested_at IS NULL
                              THEN NULL
                              ELSE run.started_at + make_interval(
                                   secs => given.entry_seconds + given.duration_seconds) END,
           lease_expires_at = NULL,
           revision = run.revision + 1
      FROM unnest(cast(:id AS uuid[]), cast(:fencing_token AS bigint[]), cast(:state AS text[]),
                  cast(:entry_seconds AS double precision[]),
                  cast(:duration_seconds AS double precision[]), cast(:details AS jsonb[]))
           AS given (id, fencing_token, state, entry_seconds, duration_seconds, details)
     WHERE run.id = given.id
       AND run.fencing_token = given.fencing_token
       -- Not false is true here, and keeps PostgreSQL from looking for the rows among all that run,
       -- in an index that a herd fills with dead entries.
       AND (run.state = 'RUNNING') IS NOT FALSE
    RETURNING run.id, run.project_id, run.job_id, run.schedule_id, run.revision, run.state,
              run.attempt, run.scheduled_for, run.started_at,
              run.started_at + make_interval(secs => given.duration_seconds) AS ended_at,
              coalesce(given.details ->> 'outcome', given.state) AS outcome, given.details
), kept AS (
    INSERT INTO attempt (run_id, number, state, worker, started_at, finished_at, error, exit_code,
                         http_status)
    SELECT ended.id, ended.attempt, ended.outcome, coalesce(ended.details ->> 'worker', :worker),
           ended.started_at, ended.ended_at, ended.details -> 'error',
           (ended.details ->> 'exit_code')::integer, (ended.details ->> 'http_status')::integer
      FROM ended
        ON CONFLICT DO NOTHING
), final AS (
    SELECT ended.*,
           max(ended.ended_at) FILTER (WHERE ended.state = 'SUCCEEDED')
               OVER (PARTITION BY ended.schedule_id) AS last_success_at
      FROM ended
     WHERE ended.schedule_id IS NOT NULL
       AND ended.state <> 'QUEUED'
), counted AS (
    SELECT final.schedule_id,
           count(*) AS runs,
           count(*) FILTER (WHERE final.state = 'SUCCEEDED') AS successes,
           count(*) FILTER (WHERE final.state IN ('FAILED', 'TIMED_OUT', 'LOST')) AS failures,
           count(*) FILTER (WHERE final.state IN ('FAILED', 'TIMED_OUT', 'LOST')
                              AND (final.last_success_at IS NULL
                                   OR final.ended_at > final.last_success_at))
               AS failures_since_success,
           (array_agg(final.started_at ORDER BY final.ended_at DESC, final.id DESC))[1]
               AS last_run_at,
           (array_agg(final.id ORDER BY final.ended_at DESC, final.id DESC))[1] AS last_run_id,
           max(final.scheduled_for) FILTER (WHERE final.state = 'SUCCEEDED') AS last_success_for
      FROM final
     GROUP BY final.schedule_id
), locked AS MATERIALIZED (
    SELECT counted.*
      FROM counted
      JOIN schedule_counters AS counters ON counters.schedule_id = counted.schedule_id
     ORDER BY counted.schedule_id
       FOR NO KEY UPDATE OF counters
), counters AS (
    UPDATE schedule_counters AS counters
       SET revision = counters.revision + 1,
           run_count = counters.run_count + locked.runs,
           success_count = counters.success_count + locked.successes,
           failure_count = counters.failure_count + locked.failures,
           consecutive_failures = locked.failures_since_success
               + CASE WHEN locked.successes > 0 THEN 0 ELSE counters.consecutive_failures END,
           last_run_at = greatest(counters.last_run_at, locked.last_run_at),
           last_run_id = CASE WHEN locked.last_run_at
                                   >= coalesce(counters.last_run_at, '-infinity')
                              THEN locked.last_run_id ELSE counters.last_run_id END,
           last_success_for = greatest(counters.last_success_for, locked.last_success_for)
      FROM locked
     WHERE counters.schedule_id = locked.schedule_id
    RETURNING counters.schedule_id, counters.revision, counters.consecutive_failures
), told AS (
    INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
    SELECT ended.project_id, 'RUN', :change, array_agg(ended.id), array_agg(ended.revision),
           array_agg(ended.schedule_id)
      FROM ended
     GROUP BY ended.project_id
     UNION ALL
    SELECT schedule.project_id, 'SCHEDULE', 'RUN_FINISHED', array_agg(schedule.id),
           array_agg(counters.revision), NULL
      FROM counters
      JOIN schedule ON schedule.id = counters.schedule_id
     GROUP BY schedule.project_id
)
-- One below the other: PostgreSQL expects few rows of each, and would join them row by row.
SELECT ended.id, ended.project_id, ended.job_id, ended.schedule_id, ended.revision, ended.state,
       cast(NULL AS integer) AS consecutive_failures
  FROM ended
 UNION ALL
SELECT NULL, NULL, NULL, counters.schedule_id, counters.revision, NULL,
       counters.consecutive_failures
  FROM counters
