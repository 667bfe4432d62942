-- read_activity: what the instance is doing at this moment. Reads indexes only: the due index, the
-- queue, the running runs, and the newest rows of the run list for the rates.
SELECT now() AS server_time,
       now() - (SELECT min(started_at) FROM worker WHERE state IN ('ONLINE', 'DRAINING')) AS uptime,
       (SELECT max(last_tick_at) FROM worker) AS last_tick_at,
       (SELECT count(*) FROM schedule WHERE next_run_at IS NOT NULL) AS active_schedules,
       (SELECT count(*) FROM schedule WHERE next_run_at < now() - interval '10 seconds') AS overdue,
       (SELECT count(*) FROM schedule
         WHERE next_run_at >= now() AND next_run_at < now() + interval '1 minute')
       AS due_next_minute,
       (SELECT count(*) FROM run WHERE state = 'QUEUED' AND blocked_at IS NULL) AS queued_runs,
       (SELECT count(*) FROM run WHERE state = 'RUNNING') AS running_runs,
       now() - (SELECT min(next_attempt_at) FROM run
                 WHERE state = 'QUEUED' AND blocked_at IS NULL AND next_attempt_at <= now())
       AS oldest_queued_age,
       (SELECT count(*) FROM worker
         WHERE state = 'ONLINE' AND heartbeat_at > now() - interval '30 seconds') AS workers_online
