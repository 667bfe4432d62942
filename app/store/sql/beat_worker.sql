-- beat_worker: a worker's sign of life, in its own row. It returns what others have asked of it.
UPDATE worker
   SET heartbeat_at = now(), busy = :busy,
       state = CASE WHEN worker.state = 'LOST' THEN 'ONLINE' ELSE worker.state END
 WHERE worker.id = :worker_id
RETURNING worker.state
