-- block_runs: move runs that must wait out of the queue's way: for their schedule or job, or
-- (:on_queue) for their queue.
UPDATE run
   SET blocked_at = now(),
       blocked_on_queue = :on_queue
 WHERE run.id = ANY (cast(:ids AS uuid[]))
   AND run.state = 'QUEUED'
