-- unblock_idle_runs: what the sweep does for waiting runs that nobody woke: because the run they
-- waited for ended at the very moment they were found to wait, or because their job's limit was
-- raised. Only the first of each schedule that is idle now, and only of jobs that have a free slot.
-- SKIP LOCKED as in unblock_runs.
UPDATE run
   SET blocked_at = NULL
 WHERE run.id IN (
       SELECT waiting.id
         FROM run AS waiting
         JOIN job ON job.id = waiting.job_id
        WHERE waiting.state = 'QUEUED'
          AND waiting.blocked_at IS NOT NULL
          AND NOT waiting.blocked_on_queue
          AND (job.concurrency_limit IS NULL
               OR job.concurrency_limit > (
                  SELECT count(*)
                    FROM run AS busy
                   WHERE busy.job_id = waiting.job_id
                     AND busy.state = 'RUNNING'))
          -- A retry has begun before: it waits for its job only.
          AND (waiting.overlap = 'ALLOW' OR waiting.attempt > 0 OR NOT EXISTS (
              SELECT 1
                FROM run AS busy
               WHERE busy.schedule_id = waiting.schedule_id
                 AND (busy.state = 'RUNNING'
                      OR busy.state = 'QUEUED'
                     AND (busy.attempt > 0
                          OR busy.blocked_at IS NOT NULL
                         AND (busy.tier, busy.next_attempt_at, busy.id)
                             < (waiting.tier, waiting.next_attempt_at, waiting.id)))))
        ORDER BY waiting.tier, waiting.priority DESC, waiting.next_attempt_at, waiting.id
        LIMIT :limit
          FOR UPDATE OF waiting SKIP LOCKED)
RETURNING run.id
