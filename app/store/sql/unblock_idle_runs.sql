-- unblock_idle_runs: what the sweep does for waiting runs that nobody woke, because the run they
-- waited for ended at the very moment they were found to wait. SKIP LOCKED as in unblock_runs.
UPDATE run
   SET blocked_at = NULL
 WHERE run.id IN (
       SELECT waiting.id
         FROM run AS waiting
        WHERE waiting.state = 'QUEUED'
          AND waiting.blocked_at IS NOT NULL
          AND NOT EXISTS (
              SELECT 1
                FROM run AS busy
               WHERE busy.schedule_id = waiting.schedule_id
                 AND busy.state IN ('QUEUED', 'RUNNING')
                 AND busy.blocked_at IS NULL
                 AND (busy.state = 'RUNNING' OR busy.attempt > 0)
                 AND waiting.overlap <> 'ALLOW')
        ORDER BY waiting.priority DESC, waiting.next_attempt_at, waiting.id
        LIMIT :limit
          FOR UPDATE SKIP LOCKED)
RETURNING run.id
