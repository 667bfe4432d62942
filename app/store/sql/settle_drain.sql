-- settle_drain: a draining instance is stopped when nothing runs any more, or when its time is up:
-- what still runs then is given back by its worker, which reads the state with its heartbeat.
UPDATE scheduler_state
   SET state = 'STOPPED', drain_until = NULL, version = version + 1
 WHERE state = 'DRAINING'
   AND (drain_until <= now()
        OR NOT EXISTS (SELECT 1 FROM run WHERE run.state = 'RUNNING'))
RETURNING version
