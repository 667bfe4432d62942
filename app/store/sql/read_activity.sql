-- read_activity: what the instance is doing at this moment. Reads indexes only: the due index, the
-- queue, and the running runs. A worker that was lost gives no uptime.
SELECT now() - (SELECT min(worker.started_at) FROM worker
                 WHERE worker.state IN ('ONLINE', 'DRAINING')
                   AND worker.heartbeat_at > now() - make_interval(secs => 2 * :lease_seconds))
       AS uptime,
       (SELECT count(*) FROM schedule WHERE schedule.next_run_at <= now()) AS due_now,
       (SELECT count(*) FROM schedule
         WHERE schedule.next_run_at >= now()
           AND schedule.next_run_at < now() + interval '1 minute') AS due_next_minute,
       (SELECT count(*) FROM run WHERE run.state = 'QUEUED' AND run.blocked_at IS NULL)
       + (SELECT count(*) FROM run WHERE run.state = 'QUEUED' AND run.blocked_at IS NOT NULL)
       AS queued_runs,
       (SELECT count(*) FROM run WHERE run.state = 'RUNNING') AS running_runs,
       now() - least(
           (SELECT min(run.next_attempt_at) FROM run
             WHERE run.state = 'QUEUED' AND run.blocked_at IS NULL
               AND run.next_attempt_at <= now()),
           (SELECT min(run.next_attempt_at) FROM run
             WHERE run.state = 'QUEUED' AND run.blocked_at IS NOT NULL
               AND run.next_attempt_at <= now()))
       AS oldest_queued_age
