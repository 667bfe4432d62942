-- finish_runs: write the ends of many attempts at once. Conditional on the fencing token: a worker
-- whose run was given to another, or ended without it, changes nothing. An attempt that is tried
-- again goes back to QUEUED, unless a cancel was asked for while it ran: then the run ends here.
-- started_at becomes the entry into the handler, as the worker measured it from the claim on.
UPDATE run
   SET state = CASE WHEN ended.state = 'QUEUED' AND run.cancel_requested_at IS NOT NULL
                    THEN 'CANCELLED' ELSE ended.state END,
       -- A running run has a reason only if replace_runs has left it.
       reason = CASE WHEN ended.state IN ('QUEUED', 'CANCELLED')
                      AND run.cancel_requested_at IS NOT NULL
                     THEN coalesce(run.reason, 'CANCEL_REQUESTED') ELSE ended.reason END,
       -- Who asked for the cancel has left a word.
       message = CASE WHEN ended.state IN ('QUEUED', 'CANCELLED')
                       AND run.cancel_requested_at IS NOT NULL
                      THEN coalesce(run.message, ended.message) ELSE ended.message END,
       error = ended.error,
       result = ended.result,
       crash_count = run.crash_count + ended.crashes,
       progress = coalesce(ended.progress, run.progress),
       progress_message = coalesce(ended.progress_message, run.progress_message),
       next_attempt_at = CASE WHEN ended.state = 'QUEUED'
                              THEN now() + make_interval(secs => ended.delay_seconds)
                              ELSE run.next_attempt_at END,
       started_at = run.started_at + make_interval(secs => ended.entry_seconds),
       first_started_at = CASE WHEN run.attempt = 1
                               THEN run.started_at + make_interval(secs => ended.entry_seconds)
                               ELSE run.first_started_at END,
       finished_at = CASE WHEN ended.state = 'QUEUED' AND run.cancel_requested_at IS NULL
                          THEN NULL
                          ELSE run.started_at
                               + make_interval(secs => ended.entry_seconds + ended.duration_seconds)
                          END,
       lease_expires_at = NULL,
       revision = run.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:fencing_token AS bigint[]), cast(:state AS text[]),
              cast(:reason AS text[]), cast(:message AS text[]), cast(:error AS jsonb[]),
              cast(:result AS jsonb[]), cast(:crashes AS integer[]),
              cast(:delay_seconds AS double precision[]),
              cast(:entry_seconds AS double precision[]),
              cast(:duration_seconds AS double precision[]),
              cast(:progress AS double precision[]), cast(:progress_message AS text[]))
       AS ended (id, fencing_token, state, reason, message, error, result, crashes,
                 delay_seconds, entry_seconds, duration_seconds, progress, progress_message)
 WHERE run.id = ended.id
   AND run.fencing_token = ended.fencing_token
   AND run.state = 'RUNNING'
RETURNING run.id, run.project_id, run.job_id, run.schedule_id, run.revision, run.state,
          run.attempt, run.scheduled_for, run.started_at, run.first_started_at, run.due_at,
          run.started_at + make_interval(secs => ended.duration_seconds) AS ended_at
