-- start_runs: give the runs this claim locked to a worker: a lease, and a fencing token that is
-- higher than any the run had before (the sequence alone does not see to that: each connection
-- draws a thousand numbers ahead). Conditional on QUEUED, though the lock already says so. What
-- an earlier attempt left is in that attempt's own record.
UPDATE run
   SET state = 'RUNNING',
       attempt = run.attempt + 1,
       worker_id = :worker_id,
       fencing_token = greatest(nextval('fencing_token'), run.fencing_token + 1),
       lease_expires_at = now() + make_interval(secs => :lease_seconds),
       started_at = now(),
       first_started_at = coalesce(run.first_started_at, now()),
       previous_success_for = CASE WHEN run.attempt = 0 THEN given.previous_success_for
                                   ELSE run.previous_success_for END,
       blocked_at = NULL,
       reason = NULL,
       message = NULL,
       error = NULL,
       progress = NULL,
       progress_message = NULL,
       revision = run.revision + 1
  FROM unnest(cast(:id AS uuid[]), cast(:previous_success_for AS timestamptz[]))
       AS given (id, previous_success_for)
 WHERE run.id = given.id
   -- Not false is true here, and keeps PostgreSQL from looking for the rows among all that wait.
   AND (run.state = 'QUEUED') IS NOT FALSE
RETURNING run.id, run.fencing_token, run.started_at, run.revision, run.previous_success_for
