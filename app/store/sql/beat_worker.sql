-- beat_worker: a worker's sign of life, in its own row. It returns what others have asked of it, and
-- whether everything is to be given back: the instance has stopped, and not in an emergency, which
-- cancels each run by itself.
UPDATE worker
   SET heartbeat_at = now(), busy = :busy,
       state = CASE WHEN worker.state <> 'LOST' THEN worker.state
                    WHEN worker.asked_to IS NULL THEN 'ONLINE'
                    ELSE 'DRAINING' END
 WHERE worker.id = :worker_id
RETURNING worker.state, worker.asked_to, worker.drain_seconds,
          (SELECT scheduler.state = 'STOPPED' AND NOT scheduler.is_emergency
             FROM scheduler_state AS scheduler) AS gives_back
