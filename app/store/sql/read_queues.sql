-- read_queues: what was said about each queue, and what it does. Queues nobody spoke about appear
-- while they have work, or had some in the last five minutes. :name narrows to one. Three reads of
-- three partial indexes: one condition over all of them would read the whole table.
WITH present AS (
    SELECT run.queue, run.next_attempt_at, false AS is_running
      FROM run
     WHERE run.state = 'QUEUED' AND run.blocked_at IS NULL
     UNION ALL
    SELECT run.queue, run.next_attempt_at, false
      FROM run
     WHERE run.state = 'QUEUED' AND run.blocked_at IS NOT NULL
     UNION ALL
    SELECT run.queue, run.next_attempt_at, true
      FROM run
     WHERE run.state = 'RUNNING'
), present_by_queue AS (
    SELECT present.queue AS name,
           count(*) FILTER (WHERE NOT is_running AND next_attempt_at <= now()) AS depth,
           count(*) FILTER (WHERE is_running) AS running,
           min(next_attempt_at) FILTER (WHERE NOT is_running AND next_attempt_at <= now())
           AS oldest_at
      FROM present
     GROUP BY present.queue
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
       coalesce(present_by_queue.depth, 0) AS depth,
       coalesce(present_by_queue.running, 0) AS running,
       now() - present_by_queue.oldest_at AS oldest_age,
       coalesce(past.ended, 0) / 5.0::float AS throughput_per_minute
  FROM queue
  FULL JOIN present_by_queue USING (name)
  FULL JOIN past USING (name)
 WHERE cast(:name AS text) IS NULL OR name = :name
 ORDER BY name
