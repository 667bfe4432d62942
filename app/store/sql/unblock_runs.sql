-- unblock_runs: put back the first waiting run of each schedule that a run has left, and as many of
-- each job as runs have left it; they are judged again when they are claimed. No more than can
-- start: a thousand waiting runs would be judged and set aside again at the end of each.
-- Usually nothing waits at all, which is found out first.
-- SKIP LOCKED: a run that is being judged or cancelled at this moment needs no unblocking; should
-- it go on waiting, the sweep finds it.
UPDATE run
   SET blocked_at = NULL
 WHERE (SELECT EXISTS (SELECT 1
                         FROM run AS waiting
                        WHERE waiting.state = 'QUEUED'
                          AND waiting.blocked_at IS NOT NULL))
   AND run.id IN (
       SELECT first.id
         FROM unnest(cast(:schedule_ids AS uuid[])) AS ended (schedule_id)
        CROSS JOIN LATERAL (
              SELECT waiting.id
                FROM run AS waiting
               WHERE waiting.schedule_id = ended.schedule_id
                 AND waiting.state = 'QUEUED'
                 AND waiting.blocked_at IS NOT NULL
                 AND NOT waiting.blocked_on_queue
               ORDER BY waiting.tier, waiting.next_attempt_at, waiting.id
               LIMIT 1
                 FOR UPDATE SKIP LOCKED) AS first
        UNION ALL
       SELECT first.id
         FROM unnest(cast(:job_ids AS uuid[]), cast(:job_runs AS integer[])) AS ended (job_id, runs)
        CROSS JOIN LATERAL (
              SELECT waiting.id
                FROM run AS waiting
               WHERE waiting.job_id = ended.job_id
                 AND waiting.state = 'QUEUED'
                 AND waiting.blocked_at IS NOT NULL
                 AND NOT waiting.blocked_on_queue
                 AND (waiting.overlap = 'ALLOW' OR NOT EXISTS (
                      SELECT 1
                        FROM run AS busy
                       WHERE busy.schedule_id = waiting.schedule_id
                         AND busy.state = 'RUNNING'))
               ORDER BY waiting.tier, waiting.priority DESC, waiting.next_attempt_at, waiting.id
               LIMIT ended.runs
                 FOR UPDATE SKIP LOCKED) AS first)
