-- read_queues: depth and age of each queue that has work.
SELECT run.queue AS name,
       count(*) FILTER (WHERE run.state = 'QUEUED' AND run.next_attempt_at <= now()) AS depth,
       count(*) FILTER (WHERE run.state = 'RUNNING') AS running,
       now() - min(run.next_attempt_at) FILTER (
           WHERE run.state = 'QUEUED' AND run.next_attempt_at <= now()) AS oldest_age
  FROM run
 WHERE run.state IN ('QUEUED', 'RUNNING')
 GROUP BY run.queue
 ORDER BY run.queue
