-- read_queues: what was said about each queue, and what it does. Queues nobody spoke about appear
-- while they have work, or had some in the last five minutes. :name narrows to one.
WITH present AS (
    SELECT run.queue AS name,
           count(*) FILTER (WHERE run.state = 'QUEUED' AND run.next_attempt_at <= now()) AS depth,
           count(*) FILTER (WHERE run.state = 'RUNNING') AS running,
           min(run.next_attempt_at) FILTER (
               WHERE run.state = 'QUEUED' AND run.next_attempt_at <= now()) AS oldest_at
      FROM run
     WHERE run.state IN ('QUEUED', 'RUNNING')
     GROUP BY run.queue
), past AS (
    SELECT run.queue AS name, count(*) AS ended
      FROM run
     WHERE run.finished_at >= now() - interval '5 minutes'
       AND run.first_started_at IS NOT NULL
     GROUP BY run.queue
)
SELECT name,
       coalesce(queue.paused, false) AS paused,
       queue.concurrency_limit AS "limit",
       coalesce(present.depth, 0) AS depth,
       coalesce(present.running, 0) AS running,
       now() - present.oldest_at AS oldest_age,
       coalesce(past.ended, 0) / 5.0::float AS throughput_per_minute
  FROM queue
  FULL JOIN present USING (name)
  FULL JOIN past USING (name)
 WHERE cast(:name AS text) IS NULL OR name = :name
 ORDER BY name
