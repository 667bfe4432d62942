-- unblock_runs: put back the first waiting run of each schedule and the first waiting ones of each
-- limited job whose run has just ended; they are judged again when they are claimed. SKIP LOCKED:
-- a run that is being cancelled at this moment needs no unblocking.
UPDATE run
   SET blocked_at = NULL
 WHERE run.id IN (
       SELECT waiting.id
         FROM run AS waiting
        WHERE waiting.state = 'QUEUED'
          AND waiting.blocked_at IS NOT NULL
          AND (waiting.schedule_id = ANY (cast(:schedule_ids AS uuid[]))
               OR waiting.job_id = ANY (cast(:job_ids AS uuid[])))
        ORDER BY waiting.priority DESC, waiting.next_attempt_at, waiting.id
        LIMIT :limit
          FOR UPDATE SKIP LOCKED)
