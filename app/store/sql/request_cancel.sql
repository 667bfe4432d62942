-- request_cancel: note on running runs that they are to end. The worker that holds the lease reads
-- it with its next heartbeat; only it may end the run.
UPDATE run
   SET cancel_requested_at = coalesce(run.cancel_requested_at, now()),
       revision = run.revision + 1
 WHERE run.id = ANY (cast(:ids AS uuid[]))
   AND run.state = 'RUNNING'
