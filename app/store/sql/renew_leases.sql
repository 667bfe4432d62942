-- renew_leases: one statement a heartbeat for all runs of a worker. A lease that has expired but was
-- not taken is renewed too. What does not come back is no longer this worker's.
UPDATE run
   SET lease_expires_at = now() + make_interval(secs => :lease_seconds)
 WHERE run.worker_id = :worker_id
   AND run.state = 'RUNNING'
RETURNING run.id, run.fencing_token, run.cancel_requested_at IS NOT NULL AS cancel_requested
