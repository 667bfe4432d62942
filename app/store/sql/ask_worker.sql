-- ask_worker: ask a worker to drain; it reads that with its next heartbeat. From this moment on it
-- is given nothing more. A worker that is gone is not asked.
UPDATE worker
   SET state = CASE WHEN worker.state = 'ONLINE' THEN 'DRAINING' ELSE worker.state END,
       asked_to = coalesce(worker.asked_to, :asked_to),
       drain_seconds = coalesce(:drain_seconds, worker.drain_seconds)
 WHERE (cast(:worker_id AS uuid) IS NULL OR worker.id = :worker_id)
   AND worker.state <> 'STOPPED'
RETURNING worker.id
