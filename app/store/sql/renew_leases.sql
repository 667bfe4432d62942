-- renew_leases: one statement a heartbeat for all runs a worker has in hand. Only those it names: a
-- run that was given to it by a claim whose answer it never got must lapse. A lease that has expired
-- but was not taken is renewed too. What does not come back is no longer this worker's.
-- SKIP LOCKED: a heartbeat waits for nobody, least of all for the finisher, which locks the same
-- rows in another order. A run that is being written at this moment keeps the lease it has.
WITH own AS (
    SELECT run.id, run.cancel_requested_at IS NOT NULL AS cancel_requested
      FROM unnest(cast(:id AS uuid[]), cast(:fencing_token AS bigint[]))
           AS held (id, fencing_token)
      JOIN run ON run.id = held.id
       AND run.fencing_token = held.fencing_token
       AND run.worker_id = :worker_id
       AND run.state = 'RUNNING'
), free AS MATERIALIZED (
    SELECT run.id
      FROM run
     WHERE run.id IN (SELECT own.id FROM own)
       FOR NO KEY UPDATE SKIP LOCKED
), renewed AS (
    UPDATE run
       SET lease_expires_at = now() + make_interval(secs => :lease_seconds)
      FROM unnest(cast(:id AS uuid[]), cast(:fencing_token AS bigint[]))
           AS held (id, fencing_token), free
     WHERE free.id = held.id
       AND run.id = held.id
       AND run.fencing_token = held.fencing_token
       AND run.state = 'RUNNING'
)
SELECT own.id, own.cancel_requested FROM own
