-- renew_leases: one statement a heartbeat for all runs a worker has in hand. Only those it names: a
-- run that was given to it by a claim whose answer it never got must lapse. A lease that has expired
-- but was not taken is renewed too. What does not come back is no longer this worker's.
UPDATE run
   SET lease_expires_at = now() + make_interval(secs => :lease_seconds)
  FROM unnest(cast(:id AS uuid[]), cast(:fencing_token AS bigint[])) AS held (id, fencing_token)
 WHERE run.id = held.id
   AND run.fencing_token = held.fencing_token
   AND run.worker_id = :worker_id
   AND run.state = 'RUNNING'
RETURNING run.id, run.cancel_requested_at IS NOT NULL AS cancel_requested
