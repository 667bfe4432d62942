-- release_held_runs: put back runs that their queue has held, as many as it has room for: a thousand
-- at most, which are judged again when they are claimed. Of the queues named, or of all. SKIP
-- LOCKED: a run that is being cancelled at this moment needs no releasing.
WITH room AS (
    SELECT queue.name,
           CASE WHEN queue.paused THEN 0
                ELSE least(1000, queue.concurrency_limit - (
                     SELECT count(*)
                       FROM run AS busy
                      WHERE busy.queue = queue.name
                        AND busy.state = 'RUNNING'))
           END AS runs
      FROM queue
     WHERE cast(:names AS text[]) IS NULL
        OR queue.name = ANY (cast(:names AS text[]))
)
UPDATE run
   SET blocked_at = NULL,
       blocked_on_queue = false
 WHERE run.id IN (
       SELECT held.id
         FROM room
        CROSS JOIN LATERAL (
              SELECT waiting.id
                FROM run AS waiting
               WHERE waiting.queue = room.name
                 AND waiting.state = 'QUEUED'
                 AND waiting.blocked_at IS NOT NULL
                 AND waiting.blocked_on_queue
               ORDER BY waiting.tier, waiting.priority DESC, waiting.next_attempt_at, waiting.id
               LIMIT greatest(room.runs, 0)
                 FOR UPDATE SKIP LOCKED) AS held)
