-- find_emergency_runs: what an emergency stop has still to cancel: running runs, and queued ones
-- that are due or have begun before. Those that were asked for after it wait for the next start.
-- Only while that stop stands. No locks: cancel_runs takes them.
SELECT run.id, scheduler.reason, scheduler.changed_by ->> 'name' AS actor
  FROM scheduler_state AS scheduler
  JOIN run ON run.created_at <= scheduler.changed_at
 WHERE scheduler.is_emergency
   AND (run.state = 'RUNNING' AND run.cancel_requested_at IS NULL
        OR run.state = 'QUEUED' AND (run.next_attempt_at <= now() OR run.attempt > 0))
 LIMIT :limit
