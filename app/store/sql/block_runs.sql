-- block_runs: move runs that must wait for their schedule or job out of the queue's way.
UPDATE run
   SET blocked_at = now()
 WHERE run.id = ANY (cast(:ids AS uuid[]))
   AND run.state = 'QUEUED'
