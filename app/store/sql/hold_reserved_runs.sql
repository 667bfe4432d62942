-- hold_reserved_runs: hold the rows of reserved runs that are due by PostgreSQL's clock and still in
-- the queue, until the start commits; and the right to judge the overlap of their schedules (see
-- lock_startable_runs). SKIP LOCKED: what is being claimed, cancelled or withdrawn at this moment is
-- not this worker's to start.
SELECT held.id
  FROM (SELECT run.id, run.schedule_id, run.overlap
          FROM run
         WHERE run.id = ANY (cast(:ids AS uuid[]))
           -- Not false is true here, and keeps PostgreSQL from looking among all that wait.
           AND (run.state = 'QUEUED') IS NOT FALSE
           AND run.blocked_at IS NULL
           AND run.attempt = 0
           AND run.next_attempt_at <= now()
           FOR UPDATE SKIP LOCKED) AS held
 WHERE held.overlap = 'ALLOW'
    OR pg_try_advisory_xact_lock(hashtextextended(held.schedule_id::text, 7436190255))
